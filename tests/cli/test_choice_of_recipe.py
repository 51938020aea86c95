import dataclasses

import numpy as np
import pytest

import train_unsupervised_autoencoder as train_script
from pyimagesearch import InputError
from pyimagesearch.cli import training_arguments
from pyimagesearch.data import datasets
from pyimagesearch.training.recipes import RECIPES, make_recipe
from tests.photos import photos

FILES = ["-d", "images.pickle", "-m", "autoencoder.model"]


def parse(*flags):
    return training_arguments.training_parser().parse_args([*FILES, *flags])


def save(folder, images):
    import cv2

    folder.mkdir(exist_ok=True)
    for i, image in enumerate(images):
        cv2.imwrite(str(folder / f"{i}.png"), np.rint(image[..., ::-1] * 255).astype(np.uint8))
    return str(folder)


@pytest.fixture
def folder(tmp_path):
    return save(tmp_path / "photos", photos(3))


def test_auto_takes_photos_for_image_files_and_reads_them_at_their_size(folder):
    source = datasets.load(folder)
    assert source.images.shape == (3, 64, 96, 3)
    recipe, resized = training_arguments.recipe_for(parse(), source)
    assert recipe == RECIPES["photos"]
    assert resized.images.shape == (3, 256, 256, 3)
    assert resized.names == source.names


def test_auto_keeps_the_size_that_is_asked_for(folder):
    args = parse("--image-size", "64", "80")
    source = datasets.load(folder, **training_arguments.reading(args))
    recipe, source = training_arguments.recipe_for(args, source)
    assert recipe == RECIPES["photos"]
    assert source.images.shape == (3, 64, 80, 3)


def test_auto_takes_robust_for_images_under_64_pixels(tmp_path):
    source = datasets.load(save(tmp_path / "small", photos(3, size=(63, 96))))
    recipe, unchanged = training_arguments.recipe_for(parse(), source)
    assert recipe == RECIPES["robust"]
    assert unchanged is source


def test_auto_takes_robust_for_arrays_of_any_size(folder):
    source = datasets.load(folder)
    source = dataclasses.replace(source, images=source.images[:])
    assert training_arguments.recipe_for(parse(), source)[0] == RECIPES["robust"]


@pytest.mark.parametrize(
    "flags",
    [
        ["--arch", "cnn"],
        ["--filters", "8"],
        ["--no-batch-norm"],
        ["--batch-size", "3"],
        ["--lr", "0.1"],
        ["--corrupt", "noise:0.1"],
        ["--loss", "bce"],
    ],
)
def test_auto_takes_robust_where_a_flag_is_one_of_networks_of_pixels(folder, flags):
    recipe, source = training_arguments.recipe_for(parse(*flags), datasets.load(folder))
    assert recipe.arch != "features"
    assert source.images.shape == (3, 64, 96, 3)
    with pytest.raises(InputError, match=f"expected no {flags[0].replace('no-', '')} with"):
        training_arguments.recipe_from_args(parse("--recipe", "photos", *flags))


def test_flags_of_photos_are_those_of_its_recipe():
    args = parse(*("--backbone", "ResNet50", "--latent-dim", "4", "--epochs", "2", "--trim", "0.1"))
    expected = make_recipe("photos", backbone="ResNet50", latent_dim=4, epochs=2, trim=0.1)
    assert training_arguments.recipe_from_args(args, "photos") == expected
    assert dataclasses.asdict(expected)["backbone"] == "ResNet50"


@pytest.mark.parametrize(
    "flags", [["--backbone", "ResNet50"], ["--backbone-weights", "x.h5"]], ids=lambda f: f[0]
)
def test_backbone_without_photos_is_refused(flags):
    for other in (["--recipe", "robust"], ["--arch", "cnn"]):
        with pytest.raises(InputError, match=f"--recipe photos to go with {flags[0]}"):
            training_arguments.recipe_from_args(parse(*flags, *other))


def test_weights_of_the_backbone_are_never_written_over(folder, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    weights = tmp_path / "mine.pth"
    weights.write_bytes(b"precious")
    flags = ["-d", "i.pickle", "-m", str(weights), "--source", folder]
    assert train_script.main([*flags, "--backbone-weights", str(weights)]) == 2
    assert weights.read_bytes() == b"precious"
    assert "error: " in capsys.readouterr().err


def test_other_weights_than_those_of_the_backbone_are_refused(
    folder, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    weights = tmp_path / "other.pth"
    weights.write_bytes(b"something else")
    flags = ["-d", "i.pickle", "-m", "a.model", "--source", folder]
    assert train_script.main([*flags, "--backbone-weights", str(weights)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: expected the weights of EfficientNet-Lite0")
    assert error.count("\n") == 1
    assert not (tmp_path / "a.model").exists()

"""What people type or have stored keeps its name: written out, so that no renaming slips through.

A name may be added to these lists. One that is taken away or changed breaks somebody's commands,
scripts or stored results.
"""

import csv
import json
import re

import keras
import numpy as np
import pytest

import train_unsupervised_autoencoder as train
from pyimagesearch.cli import detection_arguments, training_arguments
from pyimagesearch.data import corruptions
from pyimagesearch.detection import feature_scores, scores, thresholds
from pyimagesearch.models import architectures, backbone
from pyimagesearch.storage import atomic
from pyimagesearch.training import recipes
from tests.running import network_of, report_of, training_flags

TRAINING_FLAGS = """
    -h --help -d --dataset -m --model -v --vis -p --plot --source --split --valid-label
    --anomaly-label --contam --image-size --grayscale --no-grayscale --max-pickle-mib --recipe --arch --filters
    --latent-dim --batch-norm --no-batch-norm --loss --corrupt --trim --epochs --batch-size --lr
    --seed --precision --strategy --resume --logdir --quiet --backbone --backbone-weights
    --aspect-ratio --background
"""
DETECTION_FLAGS = """
    -h --help -d --dataset -m --model --split --score -q --quantile --std --contamination --auto
    --threshold --scores --corrupt --corrupt-fraction --output --top --precision --strategy --quiet
"""
CHOICES = {
    "split": "train test all",
    "recipe": "auto robust shapes tutorial photos",
    "backbone": "efficientnet-lite0 MobileNetV3Large EfficientNetV2B0 ResNet50 MobileNet MobileNet-0.25",
    "aspect_ratio": "stretch pad crop",
    "arch": "conv cnn dense dense-deep",
    "loss": "mse bce",
    "precision": "float32 bf16",
    "strategy": "auto mirrored multiworker",
    "score": "auto mse local code neighbours combined global quality",
}
REPORT = {
    "": "written_by n_images n_flagged estimated_contamination seconds images_per_second skipped "
    "skipped_because duplicates flagged flagged_list calibration "
    "score threshold threshold_rule metrics",
    "metrics": "auroc average_precision precision_at_k precision recall f1 n_anomalies",
}
RECIPE = """
    arch filters latent_dim batch_norm momentum epochs min_steps batch_size learning_rate schedule
    trim centred even_contrast noise loss corrupt
"""
ABOUT = {
    "": "written_by run_again command recipe source skipped n_images image_shape fingerprint versions "
    "training scores recommended_score preprocessing trained_on names",
    "command": "dataset model vis plot source split valid_label anomaly_label contam image_size "
    "grayscale max_pickle_mib recipe arch filters latent_dim batch_norm loss corrupt trim epochs "
    "batch_size lr seed precision strategy resume logdir quiet backbone backbone_weights aspect_ratio "
    "background",
    "recipe": RECIPE,
    "versions": "python tensorflow keras numpy opencv-python scikit-learn",
    "training": "loss val_loss seconds suspects interrupted",
    "scores": "mse local code neighbours",
}
SCORE, SUMMARY = "trained held_out threshold pixel_threshold", "n mean std min median max mad"
REFERENCES = """
    local/mean local/precision code/bank code/mean code/precision neighbours/bank
    neighbours/suspects
"""
CHECKPOINT = "settings loss val_loss seconds weights variable/N"
CHECKPOINT_SETTINGS = f"{RECIPE} seed precision"
# What Keras calls a layer by itself; it counts on.
UNNAMED = r"(conv2d|conv2d_transpose|dense|flatten|reshape|leaky_re_lu|cropping2d)(_\d+)?"


def names(text):
    """The names in a text, sorted."""
    return sorted(text.split())


def layer_names(model):
    """The names of all layers of a network, but for those that Keras numbers."""
    found = {model.name}
    for layer in model.layers:
        inner = layer_names(layer) if isinstance(layer, keras.Model) else {layer.name}
        found |= {name for name in inner if not re.fullmatch(UNNAMED, name)}
    return found


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    """A folder in which the recipe for shapes has been trained, and left its checkpoint."""
    folder = tmp_path_factory.mktemp("shapes")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(atomic.Transaction, "remove", lambda *_: None)
        flags = training_flags(folder, "--recipe", "shapes", "--quiet")
        flags[flags.index("--epochs") + 1] = "1"
        assert train.main(flags) == 0
    return folder


@pytest.mark.parametrize(
    ("parser", "flags"),
    [
        (training_arguments.training_parser, TRAINING_FLAGS),
        (detection_arguments.detection_parser, DETECTION_FLAGS),
    ],
)
def test_flags_and_their_choices(parser, flags):
    actions = parser()._actions
    assert sorted(flag for action in actions for flag in action.option_strings) == names(flags)
    for action in actions:
        if action.choices:
            assert list(action.choices) == CHOICES[action.dest].split()


def test_names_in_the_tables():
    assert list(scores.SCORES) == ["mse", "local", "code", "neighbours"]
    feature_names = ["combined", "local", "global", "neighbours", "quality", "mse"]
    assert list(feature_scores.NAMES) == feature_names
    assert list(recipes.RECIPES) == ["robust", "shapes", "tutorial", "photos"]
    assert list(recipes.BACKBONES) == list(backbone.NAMES)
    stored = "backbone latent_dim epochs trim arch loss corruption"
    assert sorted(recipes.RECIPES["photos"].as_dict()) == names(stored)
    assert list(recipes.ARCHITECTURES) == ["conv", "cnn", "dense", "dense-deep"]
    assert list(architectures.BUILDERS) == list(recipes.ARCHITECTURES)
    assert list(corruptions.CORRUPTIONS) == ["noise", "blur", "rotate"]
    assert list(thresholds.RULES) == ["quantile", "std", "contamination", "auto", "threshold"]


def test_keys_of_the_report(trained):
    report = report_of(trained)
    assert sorted(report) == names(REPORT[""])
    assert sorted(report["metrics"]) == names(REPORT["metrics"])
    assert sorted(report["flagged"][0]) == ["index", "name", "score"]


def test_keys_of_the_settings_beside_a_model(trained):
    about = json.loads((trained / "autoencoder.json").read_text())
    assert sorted(about) == names(ABOUT[""])
    for part in [part for part in ABOUT if part]:
        assert sorted(about[part]) == names(ABOUT[part]), part
    for calibration in about["scores"].values():
        assert sorted(calibration) == names(SCORE)
        assert sorted(calibration["trained"]) == sorted(calibration["held_out"]) == names(SUMMARY)


@pytest.mark.parametrize(
    ("table", "header"),
    [
        ("images.csv", "index name label"),
        ("anomalies.csv", "rank index name score flagged label z_score"),
    ],
)
def test_columns_of_the_tables(trained, table, header):
    with (trained / table).open(newline="") as file:
        assert next(csv.reader(file)) == header.split()


def test_names_in_the_reference(trained):
    with np.load(trained / "autoencoder.npz") as archive:
        assert sorted(archive.files) == names(REFERENCES)


def test_members_of_the_checkpoint(shapes):
    with np.load(shapes / ".autoencoder.model.resume") as archive:
        found = {re.sub(r"(?<=^variable/)\d+$", "N", name) for name in archive.files}
        settings = json.loads(archive["settings"].tobytes())
    assert sorted(found) == names(CHECKPOINT)
    assert sorted(settings) == sorted(
        [*CHECKPOINT_SETTINGS.split(), "fingerprint of the images"],
    )


def test_names_of_layers(trained, shapes):
    conv = "autoencoder encoder decoder image latent standardised code around_the_mean pixels"
    model = network_of(trained)
    assert sorted(layer_names(model)) == names(conv)
    assert [layer.name for layer in model.layers] == ["image", "encoder", "decoder"]
    model = network_of(shapes)
    assert {"autoencoder", "image", "contrast", "encoder", "decoder"} <= layer_names(model)
    assert [layer.name for layer in model.layers] == ["image", "contrast", "encoder", "decoder"]
    dense = architectures.build(recipes.make_recipe(arch="dense"), (8, 8, 1))
    assert sorted(layer_names(dense)) == names(
        "autoencoder encoder decoder image latent code pixels"
    )

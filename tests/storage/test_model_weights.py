"""Weights of an archive are read if they are exactly those of our own network, and refused if not."""

import io
import json
import pathlib
import tempfile
import zipfile

import keras
import numpy as np
import pytest

from pyimagesearch import InputError
from pyimagesearch.storage import model_files
from pyimagesearch.torture.malicious_files import zip_archive, zip_members
from pyimagesearch.torture.malicious_models import (
    MALICIOUS_WEIGHTS,
    repack,
    with_setting,
    with_weights,
)


def build(seed, width=4):
    """A small network with another one inside, as one with a backbone has it."""
    keras.utils.set_random_seed(seed)
    layers = keras.layers
    inner = keras.Input((6, 6, width))
    x = layers.BatchNormalization()(layers.DepthwiseConv2D(3, padding="same")(inner))
    inner = keras.Model(inner, x, name="inner")
    image = keras.Input((6, 6, 1))
    x = inner(layers.Conv2D(width, 3, padding="same")(image))
    return keras.Model(image, layers.Conv2D(1, 1)(x))


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A network and the bytes of its archive."""
    model = build(seed=1)
    path = tmp_path_factory.mktemp("saved") / "a.keras"
    model_files.save_model(path, model)
    return model, path.read_bytes()


def load(tmp_path, content, model=None):
    """Load the weights of an archive of such content into a network with others."""
    path = tmp_path / "a.model"
    path.write_bytes(content)
    model = model or build(seed=2)
    model_files.load_weights(path, model)
    return model


def refusal(tmp_path, content, model=None):
    """The one line in which an archive is refused; nothing of it is taken over."""
    model = model or build(seed=2)
    before = model.get_weights()
    with pytest.raises(InputError, match=r"a\.model") as refused:
        load(tmp_path, content, model)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_load_weights_when_sound_gives_the_same_network(saved, tmp_path, rng):
    model, content = saved
    loaded = load(tmp_path, content)
    for one, other in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    images = rng.random((3, 6, 6, 1), np.float32)
    np.testing.assert_array_equal(model(images), loaded(images))


def test_load_weights_when_only_repacked_or_rewritten_loads(saved, tmp_path):
    """The ways in which the other tests change an archive do not break it by themselves."""
    model, content = saved
    for same in (repack(content), with_weights(content, lambda file: None)):
        np.testing.assert_array_equal(load(tmp_path, same).get_weights()[0], model.get_weights()[0])


def test_load_weights_never_reads_the_description_of_the_network(saved, tmp_path):
    model, content = saved
    changed = repack(content, config=lambda old: b"not JSON")
    np.testing.assert_array_equal(load(tmp_path, changed).get_weights()[0], model.get_weights()[0])


REASONS = {
    "another array": "/layers/conv2d/vars has 3 entries, not 2",
    "another array at the top": "/ has 3 entries, not 2",
    "another group": "/layers/conv2d/vars has 3 entries, not 2",
    "another layer": "/layers has 4 entries, not 3",
    "a missing array": "/layers/conv2d/vars has 1 entries, not 2",
    "an array by another name": "vars/0 is missing",
    "no layers": "/ has 1 entries, not 2",
    "a part of an array": "vars/0 has the shape (1, 3, 1, 4), not (3, 3, 1, 4)",
    "an array of one axis": "vars/0 has the shape (36,)",
    "an array of 2^60 numbers": "vars/0 has the shape (1048576, 1048576, 1048576)",
    **dict.fromkeys(
        ("float64", "big-endian", "whole numbers", "texts", "references"),
        "vars/0 has another type than float32",
    ),
    **dict.fromkeys(
        (
            "chunks",
            "compressed chunks",
            "chunks with checksums",
            "an array without end",
            "numbers in another file",
            "a virtual dataset",
            "numbers in a header",
            "numbers that are not there",
        ),
        "vars/0 is not stored in one piece",
    ),
    "an external link": "vars/0 is only a link",
    "a soft link": "vars/0 is only a link",
    "a type for an array": "vars/0 is a Datatype, not a Dataset",
    "a group for an array": "vars/0 is a Group, not a Dataset",
    "a cycle": "/layers/conv2d has 3 entries, not 1",
    "an attribute of the file": "/ has 1 attributes, not 0",
    "an attribute of a group": "/layers has 1 attributes, not 0",
    "an attribute of an array": "vars/0 has 1 attributes, not 0",
    "not a number": "vars/0 has numbers that are not finite",
    "infinity": "vars/0 has numbers that are not finite",
}


@pytest.mark.parametrize("name", MALICIOUS_WEIGHTS)
def test_load_weights_when_the_weights_file_differs_refuses(name, saved, tmp_path):
    changed = with_weights(saved[1], MALICIOUS_WEIGHTS[name])
    assert REASONS[name] in refusal(tmp_path, changed)


def test_load_weights_when_an_inner_network_differs_refuses(saved, tmp_path):
    def change(file):
        file.create_dataset("layers/functional/layers/depthwise_conv2d/vars/2", data=[1.0])

    assert "depthwise_conv2d/vars has 3 entries" in refusal(
        tmp_path, with_weights(saved[1], change)
    )


def test_load_weights_when_the_group_of_the_input_is_missing_loads(saved, tmp_path):
    """Keras leaves it out of a network that shares its input with the one around it."""
    changed = with_weights(
        saved[1], lambda file: file["layers/functional/layers"].pop("input_layer")
    )
    weights = load(tmp_path, changed).get_weights()
    np.testing.assert_array_equal(weights[0], saved[0].get_weights()[0])


def test_load_weights_when_of_another_network_refuses(saved, tmp_path):
    message = refusal(tmp_path, saved[1], build(seed=2, width=3))
    assert "has the shape" in message
    assert "the network that the settings beside it describe" in message


def altered(content, **members):
    """The archive with some members added, or replaced by others."""
    return zip_archive({**zip_members(content), **members}.items())


def members_packed(content):
    """The archive with its weights compressed."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in zip_members(content).items():
            packed = name.endswith(".h5")
            archive.writestr(name, data, zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda content: altered(content, evil=b"x"), "its members are config.json, evil, meta"),
        (lambda content: altered(content, **{"../evil": b"x"}), "its members are ../evil, config"),
        (lambda content: zip_archive(list(zip_members(content).items())[:2]), "its members are co"),
        (lambda content: zip_archive([]), "its members are none"),
        (
            lambda content: altered(content, **{"config.jsoN": b""}).replace(b".jsoN", b".json"),
            "its members are config.json, config.json",
        ),
        (members_packed, "model.weights.h5 is packed"),
        (lambda content: content[: len(content) // 2], "is not a whole .keras archive"),
        (lambda content: content[:-100], "is not a whole .keras archive"),
        (lambda content: content[:15_000] + content[15_040:], "can't be loaded as a Keras model"),
        (lambda content: b"", "is not a whole .keras archive"),
        (lambda content: b"\x89HDF\r\n\x1a\n" + bytes(100), "is an HDF5 file"),
        (lambda content: altered(content, **{"model.weights.h5": b""}), "can't be loaded as a Ker"),
        (lambda content: altered(content, **{"model.weights.h5": b"x" * 99}), "can't be loaded as"),
        (lambda content: altered(content, **{"config.json": bytes(2**20)}), "but it has 1,0"),
        (lambda content: altered(content, **{"config.json": bytes(2**17)}), "config.json has 131,"),
    ],
)
def test_load_weights_when_the_archive_differs_refuses(change, reason, saved, tmp_path):
    assert reason in refusal(tmp_path, change(saved[1]))


def scaled(seed):
    """A network with constants: a mean of each pixel, and a standard deviation."""
    keras.utils.set_random_seed(seed)
    offset = np.random.default_rng(seed).random((4, 4, 1)).round(4).tolist()
    image = keras.Input((4, 4, 1))
    inner = keras.layers.Rescaling(1 / (seed + 3), offset, name="inner_scaling")
    inner = keras.Model(image, inner(image), name="inner")
    return keras.Model(image, keras.layers.Conv2D(1, 1)(inner(image)))


def load_scaled(tmp_path, content, with_constants=True):
    """Load such a network from an archive of such content."""
    (tmp_path / "a.model").write_bytes(content)
    model = scaled(seed=2)
    model_files.load_weights(tmp_path / "a.model", model, with_constants)
    return model


@pytest.fixture(scope="module")
def saved_scaled(tmp_path_factory):
    """A network with constants and the bytes of its archive."""
    path = tmp_path_factory.mktemp("scaled") / "a.keras"
    model_files.save_model(path, scaled(seed=1))
    return scaled(seed=1), path.read_bytes()


@pytest.mark.parametrize("with_constants", [True, False])
def test_load_weights_takes_constants_over_where_that_is_asked(
    with_constants, saved_scaled, tmp_path, rng
):
    model, content = saved_scaled
    loaded = load_scaled(tmp_path, content, with_constants)
    images = rng.random((3, 4, 4, 1), np.float32)
    assert np.array_equal(model(images), loaded(images)) == with_constants


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("offset", [[[0.5]] * 4] * 5, "offset of inner_scaling is no array of shape (4, 4, 1)"),
        ("offset", 0.5, "offset of inner_scaling is no array of shape (4, 4, 1)"),
        ("offset", [[[0.5]] * 4, [[0.5]] * 3], "can't be loaded as a Keras model"),
        ("offset", [[["1"]] * 4] * 4, "offset of inner_scaling is no array of shape (4, 4, 1)"),
        ("offset", [[[float("nan")]] * 4] * 4, "offset of inner_scaling has numbers that are not"),
        ("scale", [0.5], "scale of inner_scaling is no array of shape ()"),
        ("scale", True, "scale of inner_scaling is no array of shape ()"),
        ("scale", None, "scale of inner_scaling is no array of shape ()"),
        ("scale", {"class_name": "Zeros"}, "scale of inner_scaling is no array of shape ()"),
        ("scale", 10**400, "scale of inner_scaling is no array of shape ()"),
        ("scale", 1e39, "scale of inner_scaling has numbers that are not finite"),
        ("scale", float("-inf"), "scale of inner_scaling has numbers that are not finite"),
    ],
)
def test_load_weights_when_a_constant_differs_refuses(name, value, reason, saved_scaled, tmp_path):
    model, content = saved_scaled
    changed = with_setting(content, name, value, class_name="Rescaling")
    with pytest.raises(InputError, match=r"a\.model") as refused:
        load_scaled(tmp_path, changed)
    assert reason in str(refused.value)


@pytest.mark.parametrize(
    "config",
    [
        lambda old: b"{",
        lambda old: [old],
        lambda old: {"config": {"layers": old["config"]["layers"][1:]}},
        lambda old: {"config": {"layers": [*old["config"]["layers"], {}]}},
        lambda old: b"[" * 5000,
    ],
)
def test_load_weights_when_constants_have_no_place_in_the_description_refuses(
    config, saved_scaled, tmp_path
):
    with pytest.raises(InputError, match="can't be loaded as a Keras model") as refused:
        load_scaled(tmp_path, repack(saved_scaled[1], config=config))
    assert "\n" not in str(refused.value)


def test_load_weights_when_a_byte_of_a_number_is_altered_refuses(saved, tmp_path):
    """The checksum in the archive is of the weights file as it was."""
    content = bytearray(saved[1])
    content[content.index(saved[0].get_weights()[0].tobytes())] ^= 1
    assert "can't be loaded as a Keras model (Bad CRC-32" in refusal(tmp_path, bytes(content))


def test_load_weights_when_the_disk_is_full_says_so(saved, tmp_path, monkeypatch):
    def full(path):
        raise OSError(28, "No space left on device")

    model = build(seed=2)
    monkeypatch.setattr(model, "save_weights", full)
    (tmp_path / "a.model").write_bytes(saved[1])
    with pytest.raises(InputError, match=r"cannot write .*ours\.weights\.h5: No space left"):
        model_files.load_weights(tmp_path / "a.model", model)


def test_load_weights_leaves_no_temporary_file(saved, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    load(tmp_path, saved[1])
    refusal(tmp_path, saved[1][:-100])
    scratch = pathlib.Path(tmp_path, "pyimagesearch")
    assert not [path for path in tmp_path.rglob("*") if path not in (scratch, tmp_path / "a.model")]


def test_archive_opens_in_keras(saved, tmp_path):
    model, content = saved
    (tmp_path / "a.keras").write_bytes(content)
    same = keras.saving.load_model(tmp_path / "a.keras")
    assert json.loads(same.to_json())["config"]["name"] == model.name

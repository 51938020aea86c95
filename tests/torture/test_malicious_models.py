"""Every malicious model of the tables, loaded beside the settings of an intact one."""

import contextlib
import tracemalloc

import keras
import numpy as np
import pytest

import find_anomalies
from pyimagesearch import InputError
from pyimagesearch.detection.trained_model import load_network
from pyimagesearch.storage import files
from pyimagesearch.torture import malicious_files
from pyimagesearch.torture.malicious_models import (
    MALICIOUS_DESCRIPTIONS,
    MALICIOUS_MODELS,
    lambda_code,
)

REASONS = {
    "HDF5": "is an HDF5 file, which can hide code",
    **dict.fromkeys(("pickle", "empty", "truncated", "truncated at its end"), "not a whole .keras"),
    **dict.fromkeys(
        (
            "empty archive",
            "without weights",
            "zip bomb as weights",
            "weights that are no HDF5",
        ),
        "of more weights",
    ),
    "path up": "its members are ../evil, config.json",
    "path from the root": "its members are /tmp/evil, config.json",
    "an extra member": "its members are assets/evil.py, config.json",
    "a member twice": "its members are config.json, config.json",
    "zip bomb as config": "metadata.json is packed",
    "huge config": "bytes, and at most",
    "not JSON": "can't be loaded as a Keras model",
    "a list": "can't be loaded as a Keras model",
    "deeply nested": "bytes, and at most",
}


def load(content, trained, tmp_path):
    """Load a model of such content beside the settings of the intact one."""
    for suffix, data in (("model", content), ("json", (trained / "autoencoder.json").read_bytes())):
        (tmp_path / f"some.{suffix}").write_bytes(data)
    return load_network(tmp_path / "some.model", files.load_json(tmp_path / "some.json"))


@pytest.fixture(scope="module")
def intact(trained, tmp_path_factory):
    """The bytes of an intact model, and the weights that are read from them."""
    content = (trained / "autoencoder.model").read_bytes()
    return content, load(content, trained, tmp_path_factory.mktemp("intact")).get_weights()


@pytest.mark.parametrize("name", MALICIOUS_MODELS)
def test_load_network_when_malicious_refuses_and_takes_no_memory(name, trained, intact, tmp_path):
    content = MALICIOUS_MODELS[name](intact[0])
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match=r"some\.(model|json) ") as refusal:
            load(content, trained, tmp_path)
        assert tracemalloc.get_traced_memory()[1] < 50 * 2**20
    finally:
        tracemalloc.stop()
    assert REASONS[name] in str(refusal.value)
    assert "\n" not in str(refusal.value)


QUICK = ("os.system as activation", "claim of a huge convolution", "custom layer")


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name in QUICK else pytest.mark.slow)
        for name in MALICIOUS_DESCRIPTIONS
    ],
)
def test_load_network_never_builds_what_a_description_says(name, trained, intact, tmp_path):
    canary = tmp_path / "executed"
    content = MALICIOUS_DESCRIPTIONS[name](intact[0], f"touch {canary}")
    # Its constants are looked up in their places, where there may be none any more.
    with contextlib.suppress(InputError):
        found = load(content, trained, tmp_path).get_weights()
        for one, other in zip(found, intact[1], strict=True):
            np.testing.assert_array_equal(one, other)
    assert not canary.exists()


def test_lambda_code_when_executed_makes_the_canary(tmp_path):
    import base64
    import marshal
    import types

    canary = tmp_path / "executed"
    code = marshal.loads(base64.b64decode(lambda_code(f"touch {canary}")))  # noqa: S302
    types.FunctionType(code, {})(None)
    assert canary.exists()


def test_model_that_is_not_ours_is_refused_in_one_line(tmp_path, capfd):
    image = keras.Input((8, 8, 1))
    same = keras.Model(image, keras.layers.Conv2D(1, 3, padding="same")(image))
    same.save(tmp_path / "theirs.keras")
    np.save(tmp_path / "images.npy", np.zeros((3, 8, 8), np.float32))
    flags = ["-d", str(tmp_path / "images.npy"), "-m", str(tmp_path / "theirs.keras")]
    assert find_anomalies.main([*flags, "--output", str(tmp_path / "out")]) == 2
    printed = capfd.readouterr().err
    assert printed.count("\n") == 1
    assert f"expected beside {tmp_path / 'theirs.keras'} its settings" in printed


def reference(**arrays):
    return malicious_files.array_archive(**{f"local/{name}": a for name, a in arrays.items()})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (reference(mean=np.zeros((28, 28, 4), np.float32)), "does not fit it"),
        (reference(mean=np.zeros((9, 9, 4)), precision=np.zeros((9, 9, 4, 4))), "does not fit it"),
        (reference(mean=np.array([None])), "not a whole .npz file"),
        (reference(mean=np.full((28, 28, 4), np.nan)), "NaN or infinity"),
        (reference(mean=np.zeros((2**12, 2**12, 2), np.float32)), "would unpack to"),
        (reference(other=np.zeros(3, np.float32)), "does not fit it"),
        (malicious_files.mnist_like(), "the score local needs"),
        (b"", "not a whole .npz file"),
    ],
)
def test_find_when_the_reference_file_does_not_fit_prints_one_line(
    content, message, trained, tmp_path, capfd
):
    for suffix in ("model", "json"):
        (tmp_path / f"a.{suffix}").write_bytes((trained / f"autoencoder.{suffix}").read_bytes())
    (tmp_path / "a.npz").write_bytes(content)
    flags = ["-d", str(trained / "images.pickle"), "-m", str(tmp_path / "a.model")]
    assert (
        find_anomalies.main([*flags, "--output", str(tmp_path), "--score", "local", "-q", "1"]) == 2
    )
    printed = capfd.readouterr().err
    assert printed.count("\n") == 1
    assert message in printed

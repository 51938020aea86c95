"""Every malicious model of the table, and models that are not, loaded as the scripts load them."""

import tracemalloc

import numpy as np
import pytest

import find_anomalies
from pyimagesearch import InputError
from pyimagesearch.models import architectures
from pyimagesearch.storage import model_files
from pyimagesearch.torture import malicious_files, malicious_models
from pyimagesearch.training.recipes import ARCHITECTURES, make_recipe


@pytest.mark.parametrize("name", malicious_models.MALICIOUS_MODELS)
def test_load_model_when_malicious_refuses_and_runs_nothing(name, trained, tmp_path):
    canary = tmp_path / "executed"
    intact = (trained / "autoencoder.model").read_bytes()
    path = tmp_path / "some.model"
    path.write_bytes(malicious_models.MALICIOUS_MODELS[name](intact, f"touch {canary}"))
    with pytest.raises(InputError, match=r"some\.model ") as refusal:
        model_files.load_model(path)
    assert not canary.exists()
    assert "\n" not in str(refusal.value)


def test_load_model_when_only_repacked_loads(trained, tmp_path):
    """The tables' ways of changing a model do not break it by themselves."""
    intact = (trained / "autoencoder.model").read_bytes()
    (tmp_path / "a.model").write_bytes(malicious_models.repack(intact, config=lambda old: old))
    model_files.load_model(tmp_path / "a.model")
    (tmp_path / "a.model").write_bytes(malicious_models.with_weights(intact, lambda file: None))
    model_files.load_model(tmp_path / "a.model")
    (tmp_path / "a.model").write_bytes(malicious_models.with_setting(intact, "activation", "relu"))
    model_files.load_model(tmp_path / "a.model")


@pytest.mark.slow
@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_load_model_when_of_any_architecture_loads_all_weights(arch, tmp_path):
    built = architectures.build(make_recipe("tutorial", arch, batch_norm=True), (9, 8, 3), seed=0)
    model_files.save_model(tmp_path / "a.keras", built)
    loaded = model_files.load_model(tmp_path / "a.keras")
    for one, other in zip(built.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_lambda_code_when_executed_makes_the_canary(tmp_path):
    import base64
    import marshal
    import types

    canary = tmp_path / "executed"
    code = marshal.loads(base64.b64decode(malicious_models.lambda_code(f"touch {canary}")))  # noqa: S302
    types.FunctionType(code, {})(None)
    assert canary.exists()


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("Lambda layer", "keras.layers.Lambda"),
        ("os.system as activation", "os.function.system"),
        ("keras.utils.get_file", "keras.utils.function.get_file"),
        ("custom layer", "evil.layers.Evil"),
        ("path up", "'../evil'"),
        ("zip bomb as weights", "to be unpacked"),
        ("external link", "the ExternalLink"),
        ("external storage", "lies in another file"),
        ("claim of a huge layer", "more weights than it holds"),
        ("claim of huge weights", "more numbers than its weights file has bytes for"),
        ("HDF5", "is an HDF5 file, which can hide code"),
    ],
)
def test_load_model_when_malicious_names_the_reason(name, reason, trained, tmp_path):
    intact = (trained / "autoencoder.model").read_bytes()
    (tmp_path / "a.model").write_bytes(malicious_models.MALICIOUS_MODELS[name](intact, "true"))
    with pytest.raises(InputError) as refusal:
        model_files.load_model(tmp_path / "a.model")
    assert reason in str(refusal.value)


@pytest.mark.parametrize(
    "name",
    [name for name in malicious_models.MALICIOUS_MODELS if "claim" in name or "bomb" in name],
)
def test_load_model_when_it_claims_huge_sizes_takes_no_memory(name, trained, tmp_path):
    intact = (trained / "autoencoder.model").read_bytes()
    (tmp_path / "a.model").write_bytes(malicious_models.MALICIOUS_MODELS[name](intact, "true"))
    tracemalloc.start()
    try:
        with pytest.raises(InputError):
            model_files.load_model(tmp_path / "a.model")
        assert tracemalloc.get_traced_memory()[1] < 50 * 2**20
    finally:
        tracemalloc.stop()


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
    (tmp_path / "a.model").write_bytes((trained / "autoencoder.model").read_bytes())
    (tmp_path / "a.npz").write_bytes(content)
    flags = ["-d", str(trained / "images.pickle"), "-m", str(tmp_path / "a.model")]
    assert (
        find_anomalies.main([*flags, "--output", str(tmp_path), "--score", "local", "-q", "1"]) == 2
    )
    printed = capfd.readouterr().err
    assert printed.count("\n") == 1
    assert message in printed


def test_load_model_when_its_size_is_undefined_names_the_shape(tmp_path):
    import keras

    image = keras.Input((None, None, 1))
    same = keras.Model(image, keras.layers.Conv2D(1, 3, padding="same")(image))
    model_files.save_model(tmp_path / "a.keras", same)
    with pytest.raises(InputError, match=r"\(None, None, None, 1\) to"):
        model_files.load_model(tmp_path / "a.keras")


def test_load_model_when_trained_with_keras_alone_gives_the_same(tmp_path, rng):
    """A compiled model with other layers, an optimizer and a regularizer."""
    import keras

    layers = keras.layers
    theirs = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Rescaling(2.0, offset=-1.0),
            layers.Conv2D(4, 3, padding="same", activation="relu", kernel_regularizer="l2"),
            layers.BatchNormalization(),
            layers.MaxPooling2D(),
            layers.Dropout(0.1),
            layers.UpSampling2D(),
            layers.Conv2D(1, 3, padding="same", activation="sigmoid"),
        ]
    )
    theirs.compile("adam", "mse")
    images = rng.random((4, 8, 8, 1), np.float32)
    model_files.save_model(tmp_path / "a.keras", theirs)
    ours = model_files.load_model(tmp_path / "a.keras")
    np.testing.assert_array_equal(ours(images), theirs(images))
    assert not ours.compiled

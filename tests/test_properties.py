"""Properties that hold for any input, tried on generated examples that are always the same."""

import contextlib
import io
import json
import pickle
import random

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from pyimagesearch import InputError
from pyimagesearch.cli import console
from pyimagesearch.data import dataset_files, datasets
from pyimagesearch.data.arrays import as_images
from pyimagesearch.detection import scoring, thresholds, trained_model
from pyimagesearch.reporting import html_report
from pyimagesearch.storage import files
from pyimagesearch.storage.safe_pickle import load_array
from pyimagesearch.torture import file_trials, malicious_files

settings.register_profile(
    "pyimagesearch",
    max_examples=40,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
settings.load_profile("pyimagesearch")

SCORES = npst.arrays(np.float32, st.integers(1, 60), elements=st.floats(0, 1, width=32))
NUMERIC = npst.boolean_dtypes() | npst.integer_dtypes() | npst.floating_dtypes()
# Names of files as the system gives them: any text, and bytes that are no text.
NAMES = st.text(max_size=20) | st.binary(max_size=20).map(
    lambda b: b.decode("utf-8", "surrogateescape")
)
PLAIN = st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5)
KEYS = st.sampled_from(
    ["scores", "mse", "trained", "held_out", "n", "mean", "std", "threshold", "pixel_threshold"]
    + ["command", "valid_label"]
)
JSON = st.recursive(
    PLAIN, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5)
)


@given(npst.arrays(NUMERIC, npst.array_shapes(min_dims=0, max_dims=4)), st.integers(0, 5))
def test_numeric_arrays_come_back_from_a_pickle(array, protocol):
    loaded = load_array(io.BytesIO(pickle.dumps(array, protocol)), "it")
    assert loaded.dtype == array.dtype.newbyteorder("=")
    np.testing.assert_array_equal(loaded, array)


@given(st.binary(max_size=200), st.sampled_from([b"", b"\x80\x02", b"\x80\x04"]))
def test_any_bytes_are_an_array_or_refused(data, start):
    with contextlib.suppress(InputError):
        assert load_array(io.BytesIO(start + data + b"."), "it").dtype.kind in "buif"


@given(npst.arrays(NUMERIC, npst.array_shapes(min_dims=0, max_dims=5, min_side=0)))
def test_any_array_is_images_in_the_common_form_or_refused(array):
    try:
        images, _ = as_images(array, "it")
    except InputError:
        return
    assert images.dtype == np.float32
    assert images.ndim == 4
    assert images.shape[:3] == array.shape[:3]
    assert 0 <= images.min() <= images.max() <= 1


@settings(max_examples=15)
@given(st.lists(NAMES, min_size=1, max_size=8), st.randoms())
def test_any_names_come_back_from_a_manifest(tmp_path, names, rng):
    labels = np.array([rng.choice((-1, 0, 1)) for _ in names], np.int8)
    dataset_files.save_manifest(tmp_path / "a.csv", names, labels)
    loaded, found = dataset_files.load_manifest(tmp_path / "a.csv", len(names))
    assert loaded == names
    np.testing.assert_array_equal(found, labels)


@given(NAMES, st.sampled_from(["ascii", "latin1", "utf-8"]))
def test_any_name_is_printed_in_one_line_without_control_characters(name, encoding):
    stream = io.TextIOWrapper(io.BytesIO(), encoding, newline="")
    console.print_line(f"error: {name}", stream)
    stream.seek(0)
    printed = stream.read()
    assert printed.count("\n") == 1
    assert printed.removesuffix("\n").isprintable()


@given(
    st.dictionaries(NAMES, NAMES | st.floats(), max_size=4), st.sampled_from(["<script>", "-->"])
)
def test_any_names_lie_in_a_page_as_data_and_never_as_tags(content, tag):
    written = html_report.as_json({"names": content, "tag": tag})
    assert not {"<", ">", "&"} & set(written)
    assert json.loads(written)["tag"] == tag


@given(JSON)
def test_any_json_is_a_calibration_or_refused(content):
    about = content if isinstance(content, dict) else {"scores": {"mse": content}}
    try:
        calibration, labels = trained_model.parse_calibration(about, "mse", "it")
    except InputError:
        return
    # What is let through can be used by every rule, and written down again.
    for rule, value in (("std", 3.0), ("threshold", "trained")):
        with contextlib.suppress(InputError):
            assert np.isfinite(thresholds.RULES[rule](value, np.zeros(3), calibration))
    json.dumps([calibration, labels], allow_nan=False)


@given(SCORES, st.floats(0, 1))
def test_quantile_flags_no_more_than_its_fraction(scores, q):
    flagged = thresholds.flag(scores, thresholds.quantile(q, scores))
    assert flagged.sum() <= np.ceil((1 - q) * (len(scores) - 1) + 1e-6)
    if flagged.any() and not flagged.all():
        assert scores[flagged].min() > scores[~flagged].max()


@given(SCORES, st.floats(0.001, 0.999))
def test_contamination_flags_no_more_than_its_fraction(scores, share):
    flagged = thresholds.flag(scores, thresholds.contamination(share, scores))
    assert flagged.sum() <= round(share * len(scores))


@given(SCORES)
def test_ranking_has_every_image_once_and_the_highest_first(scores):
    order = scoring.rank(scores)
    assert sorted(order.tolist()) == list(range(len(scores)))
    assert (np.diff(scores[order]) <= 0).all()


@given(st.integers(0, 2**32 - 1), st.integers(1, 50), st.integers(0, 20), st.floats(0, 1))
def test_contaminated_set_has_its_fraction_of_anomalies_and_depends_on_the_seed_alone(
    seed, normal, anomalous, contam
):
    labels = np.repeat([1, 3], [normal, anomalous])
    expected = int(normal * contam + 1e-9)

    def picked():
        return datasets.build_unsupervised_dataset(
            np.arange(len(labels)), labels, contam=contam, seed=seed
        )

    if expected > anomalous or (contam and not anomalous):
        with pytest.raises(InputError):
            picked()
        return
    np.testing.assert_array_equal(picked(), picked())
    assert (labels[picked()] == 1).sum() == normal
    assert (labels[picked()] == 3).sum() == expected


@pytest.mark.slow
@settings(max_examples=8)
@given(
    st.integers(1, 20),
    st.integers(1, 20),
    st.integers(1, 4),
    st.sampled_from(["conv", "cnn", "dense"]),
)
def test_networks_return_images_of_the_size_of_their_inputs(height, width, depth, arch):
    from pyimagesearch.models import architectures
    from pyimagesearch.training.recipes import make_recipe

    built = architectures.build(
        make_recipe("robust", arch, filters=(3, 2)), (height, width, depth), 0
    )
    assert built.output_shape == (None, height, width, depth)


@pytest.mark.parametrize("suffix", [".pickle", ".npz", ".npy", ".csv", ".json", ".png", ".jpg"])
def test_files_with_some_bytes_changed_are_read_or_refused(suffix, trained, tmp_path):
    """A short run of what `python -m pyimagesearch.torture --only fuzz` does for long."""
    rng, load = random.Random(0), file_trials.loaders()[suffix]
    sound = {
        ".pickle": pickle.dumps(np.zeros((2, 3, 4), np.float32)),
        ".npz": malicious_files.mnist_like(),
        ".npy": malicious_files.npy_header((1, 1, 1)),
        ".csv": (trained / "images.csv").read_bytes(),
        ".json": (trained / "autoencoder.json").read_bytes(),
    }
    data = sound.get(suffix) or malicious_files.encoded_image(suffix)
    for _ in range(100):
        path = tmp_path / f"a{suffix}"
        path.write_bytes(file_trials.mutate(rng, data))
        with contextlib.suppress(InputError):
            load(path)


@pytest.mark.slow
def test_models_with_some_bytes_changed_are_read_or_refused(trained, tmp_path):
    rng = random.Random(0)
    members = malicious_files.zip_members((trained / "autoencoder.model").read_bytes())
    beside = files.load_json(trained / "autoencoder.json")
    for name in ("config.json", "model.weights.h5") * 5:
        changed = {**members, name: file_trials.mutate(rng, members[name])}
        (tmp_path / "a.model").write_bytes(malicious_files.zip_archive(changed.items()))
        with contextlib.suppress(InputError):
            trained_model.load_network(tmp_path / "a.model", beside)

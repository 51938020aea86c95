import keras
import numpy as np
import pytest
import tensorflow as tf

from pyimagesearch.data.batches import subsample
from pyimagesearch.detection import scoring
from pyimagesearch.detection.image_quality import sharpness_and_exposure
from pyimagesearch.runtime.distribution import Cluster
from pyimagesearch.training import feature_extraction
from pyimagesearch.training.feature_store import FeatureStore


@pytest.fixture(scope="module")
def extractor():
    """Four stages of 3, 4, 5 and 2 channels on halved grids, and an embedding of 6 numbers."""
    keras.utils.set_random_seed(0)
    x = images = keras.Input((12, 8, 3))
    maps = []
    for channels in (3, 4, 5, 2):
        x = keras.layers.Conv2D(channels, 3, strides=2 if maps else 1, padding="same")(x)
        x = keras.layers.GaussianNoise(0.5)(keras.layers.LeakyReLU()(x))  # in training alone
        maps.append(x)
    embedding = keras.layers.Dense(6)(keras.layers.Flatten()(x))
    return keras.Model(images, [*maps, embedding])


def standardized_by_hand(raw, counted, most):
    """Channels of mean 0 and deviation 1, or as many principal components of these, the last first."""
    patches = raw[counted].reshape(-1, raw.shape[-1]).astype(float)
    mean, deviation = patches.mean(0), patches.std(0) + 1e-3
    x, patches = (raw - mean) / deviation, (patches - mean) / deviation
    if raw.shape[-1] <= most:
        return x
    _, singular, rows = np.linalg.svd(patches, full_matrices=False)
    variances = singular[:most] ** 2 / len(patches)
    return (x @ rows[:most].T / np.sqrt(variances + 1e-3))[..., ::-1]


@pytest.mark.parametrize("kept_bytes", [2**20, 0], ids=["kept", "made again"])
def test_features_are_standardized_as_in_numpy(extractor, kept_bytes, rng, monkeypatch):
    """Of 14 of 25 images in no order, by the scale of nine of these, wide stages projected."""
    monkeypatch.setattr(feature_extraction, "MAX_CHANNELS", (3, 3, 4, 2))
    monkeypatch.setattr(feature_extraction, "MAX_SCALE_IMAGES", 9)
    monkeypatch.setattr(feature_extraction, "MAX_KEPT_BYTES", kept_bytes)
    monkeypatch.setattr(feature_extraction, "BATCH_SIZE", 5)
    monkeypatch.setattr(scoring, "BATCH_SIZE", 8)
    monkeypatch.setattr(scoring, "BATCH_SIZE_ON_GPU", 8)
    images = rng.random((25, 12, 8, 3), np.float32) * np.linspace(0.3, 1, 25)[:, None, None, None]
    images = images.astype(np.float32)
    order, done = rng.permutation(25)[:14], []
    features = feature_extraction.ImageFeatures(
        images, order, extractor, FeatureStore, 7, Cluster(), lambda *counts: done.append(counts)
    )
    assert done == [(8, 14), (14, 14)]
    *maps, embedding = (x.numpy() for x in extractor(images[order]))
    np.testing.assert_allclose(features.embedding, embedding, atol=1e-5)
    enlarged = tf.image.resize(images[order], (144, 96))  # as the backbone sees them
    np.testing.assert_allclose(features.quality, sharpness_and_exposure(enlarged), atol=1e-4)
    assert features.shapes == [(12, 8, 3), (6, 4, 3), (3, 2, 4), (2, 1, 2)]
    counted = subsample(np.arange(14), 7, 9)
    expected = [
        standardized_by_hand(raw, counted, most)
        for raw, most in zip(maps, (3, 3, 4, 2), strict=True)
    ]
    found = [np.empty((14, *shape)) for shape in features.shapes]
    for indices, batch in features.batches():
        assert len(indices) <= 5
        for all_of_stage, some in zip(found, batch, strict=True):
            all_of_stage[indices] = some
    for stage, (ours, theirs) in enumerate(zip(found, expected, strict=True)):
        # A principal component may point either way.
        signs = np.sign((ours * theirs).sum((0, 1, 2)))
        assert (signs == 1).all() or stage in (1, 2)
        np.testing.assert_allclose(ours * signs, theirs, atol=0.02)
    means = np.concatenate([x.mean((1, 2)) for x in found[2:]], 1)
    np.testing.assert_allclose(features.means, means, atol=1e-4)
    chosen = np.array([1, 6, 13])
    gathered = features.gather(lambda maps: maps[1][:, 2, 3], (3,), chosen)
    np.testing.assert_array_equal(gathered, found[1][chosen, 2, 3].astype(np.float32))

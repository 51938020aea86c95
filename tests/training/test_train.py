import dataclasses
from contextlib import nullcontext
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from pyimagesearch.data.batches import subsample
from pyimagesearch.models import architectures
from pyimagesearch.models.normalization import Normalization, fit_normalization
from pyimagesearch.training import train
from pyimagesearch.training.recipes import make_recipe
from pyimagesearch.training.sample_weights import TrimmedWeighting
from pyimagesearch.training.trainer import History, Trainer
from tests.training.on_disk import OnDisk


class Pixels(OnDisk):
    """Images that have nothing but pixels: whatever else is asked of them fails the test."""

    def __getattr__(self, name):
        raise AssertionError(f"training has asked images for their {name}")


def test_held_out_pixels_and_labels_reach_nothing_that_is_learned(rng, monkeypatch):
    """With NaN in the place of all held-out pixels, everything but their loss is the same bits."""
    monkeypatch.setattr(
        train, "warn_unless_faster", None
    )  # a trial of bf16, which is not asked for
    recipe = make_recipe("robust", "dense", filters=(6,), latent_dim=2, epochs=2, batch_size=16)
    recipe = dataclasses.replace(recipe, trim=0.2, noise=0.5)
    images = rng.random((133, 7, 5, 3), np.float32)
    trained, held_out = train.split(133, seed=5)
    assert len(held_out) == 27
    poisoned = images.copy()
    poisoned[held_out] = np.nan
    results = [train.train(Pixels(pixels), recipe, seed=5) for pixels in (images, poisoned)]
    for result in results:
        np.testing.assert_array_equal(result.trained, trained)
        np.testing.assert_array_equal(result.held_out, held_out)
    one, other = results
    for ours, theirs in zip(
        one.autoencoder.get_weights(), other.autoencoder.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)
    # The same mean image too.
    reconstructed = one.autoencoder(images).numpy()
    assert np.isfinite(reconstructed).all()
    np.testing.assert_array_equal(other.autoencoder(images), reconstructed)
    assert one.history.loss == other.history.loss
    assert one.history.outliers.tolist() == other.history.outliers.tolist()
    assert np.isfinite(one.history.val_loss).all()
    assert np.isnan(other.history.val_loss).all()


def test_trainer_gets_the_parts_that_the_recipe_and_the_seed_make(rng, monkeypatch):
    images = rng.random((40, 5, 3, 2), np.float32) * np.float32([1, 0.5])
    groups = np.arange(40) // 4 * 4
    recipe = make_recipe("shapes", filters=(4,), latent_dim=2)
    trainers, weightings = [], []

    class Untrained(Trainer):
        def fit(self, *resuming):
            trainers.append((self, resuming, self.model.get_weights()))
            self.model.set_weights([np.full_like(w, 0.5) for w in self.model.get_weights()])
            return History([1.0], [], 0.0, np.array([3]))

    def make_sample_weighting(*arguments):
        weightings.append(arguments)
        return TrimmedWeighting(0.25)

    monkeypatch.setattr(train, "MAX_NORMALIZATION_IMAGES", 20)
    warned = []
    monkeypatch.setattr(train, "warn_unless_faster", lambda *a, **named: warned.append((a, named)))
    monkeypatch.setattr(train, "Trainer", Untrained)
    monkeypatch.setattr(train, "make_sample_weighting", make_sample_weighting)
    counts = np.arange(1.0, 41)
    settings = {"precision": "bf16", "groups": groups, "frequency_weights": counts}
    result = train.train(images, recipe, seed=8, checkpoint="a", on_epoch="b", **settings)
    ((trainer, resuming, initial),) = trainers
    assert resuming == ("a", None, "b")
    # The trial of bfloat16 is made of the network that is returned.
    assert warned == [((result.autoencoder,), {"training": True})]
    assert trainer.model.get_layer("encoder").get_layer("code").compute_dtype == "bfloat16"
    assert result.autoencoder.get_layer("encoder").get_layer("code").compute_dtype == "float32"
    trained, held_out = train.split(40, 0.2, 8, groups)
    assert len(held_out) == 8
    ((_, weighted, *others),) = weightings
    assert [*others[:2], trainer.sample_weighting.trim, trainer.seed] == [recipe, 8, 0.25, 8]
    np.testing.assert_array_equal(weighted, trained)
    np.testing.assert_array_equal(others[3], counts[trained])
    expected = counts / counts[trained].mean()
    np.testing.assert_allclose(trainer.frequency_weights, expected, rtol=1e-6)
    for part in (result, trainer):
        np.testing.assert_array_equal(part.trained, trained)
        np.testing.assert_array_equal(part.held_out, held_out)
    sample = subsample(trained, 8, 20)
    normalization = fit_normalization(images[sample], True, counts[sample])
    expected = architectures.build(recipe, (5, 3, 2), 8, normalization)
    for ours, theirs in zip(initial, expected.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    expected.set_weights([np.full_like(w, 0.5) for w in initial])
    np.testing.assert_array_equal(result.autoencoder(images), expected(images))
    # Noise in units of the deviation of the images, which is well below 1.
    noise = trainer.corruption_fn(np.zeros((200, 5, 3, 2), np.float32), [1])
    assert noise.std() == pytest.approx(1.4 * normalization.deviation, rel=0.05)


def test_features_are_of_one_of_each_group_and_outliers_are_indices_into_the_set(monkeypatch):
    image = keras.Input((4, 3, 1))
    model = keras.Model(image, keras.layers.Dense(2, name="encoder")(image))
    made, images = [], np.zeros((12, 4, 3, 1), np.float32)
    weights = [np.float32([[1, 2]]), np.float32([3, 4])]

    class Fitted:
        """A trainer that finds its second and last image odd."""

        fitted = SimpleNamespace(weights={"encoder": weights}, reference="reference")

        def __init__(self, *arguments):
            made.append(arguments)

        def fit(self, *resuming):
            made.append(resuming)
            return History([1.0], [1.0], 0.0, np.array([1, 4]))

    monkeypatch.setattr(train, "_build_feature_autoencoder", lambda *parts: (model, parts))
    monkeypatch.setattr(train, "ImageFeatures", lambda *arguments: arguments)
    monkeypatch.setattr(train, "FeatureTrainer", Fitted)
    monkeypatch.setattr(train, "MAX_IMAGES", 5)
    groups = np.array([0, 1, 1, 3, 3, 5, 6, 7, 0, 9, 9, 9])  # seven groups, of which five are taken
    recipe = make_recipe("photos")
    parts = {"precision": "bf16", "backbone_weights": "file", "on_batch": "c", "on_epoch": "b"}
    result = train.train(images, recipe, seed=4, groups=groups, checkpoint="a", **parts)
    expected = subsample(np.array([0, 1, 3, 5, 6, 7, 9]), 4, 5)
    (features, *settings), resuming = made
    assert settings == [recipe, 4]
    assert resuming == ("a", None, "b")
    given, order, extractor, _, seed, _, on_batch = features
    assert given is images
    assert order.tolist() == result.trained.tolist() == expected.tolist()
    assert extractor[:3] == ((4, 3, 1), recipe, "bf16")
    assert (extractor[4], seed, on_batch) == ("file", 4, "c")
    assert result.history.outliers.tolist() == expected[[1, 4]].tolist()
    assert result.held_out.tolist() == []
    assert result.reference == "reference"
    for found, given in zip(model.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(found, given)


@pytest.mark.parametrize(
    ("precision", "devices", "expected"), [("float32", 1, 1), ("bf16", 1, 2), ("float32", 2, 2)]
)
def test_features_are_extracted_by_a_copy_only_in_another_precision_or_on_several_devices(
    precision, devices, expected, monkeypatch
):
    built = []

    def build(*arguments):
        built.append(arguments)
        return SimpleNamespace(get_weights=lambda: "weights", set_weights=built.append)

    monkeypatch.setattr(train.feature_autoencoder, "build", build)
    monkeypatch.setattr(train.feature_autoencoder, "extractor", lambda model: model)
    cluster = SimpleNamespace(devices=devices, scope=nullcontext)
    recipe = make_recipe("photos", backbone="MobileNet", latent_dim=3)
    autoencoder, extractor = train._build_feature_autoencoder(
        (9, 8, 3), recipe, precision, cluster, "file"
    )
    assert built[0] == ((9, 8, 3), "MobileNet", 3, "file")
    assert (autoencoder is extractor) == (expected == 1)
    assert (
        built[1:] == [((9, 8, 3), "MobileNet", 3, False, precision), "weights"][: 2 * expected - 2]
    )


def test_corruption_takes_precedence_over_noise_and_noise_without_a_mean_image_is_as_it_is():
    gray = np.full((300, 4, 4, 1), 0.5, np.float32)
    both = make_recipe("shapes", corruption=("rotate", 180))
    turned = train.make_corruption(both, Normalization(np.zeros(1), 0.2))
    np.testing.assert_allclose(turned(gray, [1]), gray, atol=1e-6)
    noisy = train.make_corruption(make_recipe("tutorial", noise=0.3), None)(gray, [1])
    assert (noisy - gray).std() == pytest.approx(0.3, rel=0.05)
    assert train.make_corruption(make_recipe("tutorial"), None) is None


def test_split_has_every_image_once():
    trained, held_out = train.split(101, held_out=0.2, seed=3)
    assert sorted([*trained, *held_out]) == list(range(101))
    assert len(held_out) == 20


def test_split_depends_on_the_seed_alone():
    np.testing.assert_array_equal(train.split(50, seed=1)[1], train.split(50, seed=1)[1])
    assert not np.array_equal(train.split(50, seed=1)[1], train.split(50, seed=2)[1])


@pytest.mark.parametrize("n", [1, 2, 3])
def test_split_of_few_images_leaves_one_to_train_on(n):
    trained, held_out = train.split(n, held_out=0.99)
    assert len(trained) == 1
    assert len(held_out) == n - 1


def test_split_when_there_are_duplicates_keeps_them_together():
    groups = np.arange(50) // 5 * 5
    for seed in range(5):
        trained, held_out = train.split(50, 0.2, seed, groups)
        assert sorted([*trained, *held_out]) == list(range(50))
        assert len(held_out) == 10
        assert not set(groups[trained]) & set(groups[held_out])


def test_split_when_all_images_differ_is_that_without_groups():
    for with_groups, without in zip(
        train.split(50, 0.2, 3, np.arange(50)), train.split(50, 0.2, 3), strict=True
    ):
        np.testing.assert_array_equal(with_groups, without)


def test_split_when_a_group_is_too_large_to_be_held_out_trains_on_it():
    groups = np.where(np.arange(20) < 15, 0, np.arange(20))
    _, held_out = train.split(20, 0.2, 0, groups)
    assert len(held_out) == 4
    assert held_out.min() >= 15


def test_split_of_a_seed_is_that_of_earlier_versions():
    """Which a checkpoint of theirs was trained on; the seed is that of the scripts unless given."""
    assert train.split(20)[1].tolist() == train.split(20, 0.2, 42)[1].tolist() == [7, 9, 14, 15]
    assert train.split(20, 0.2, 7)[1].tolist() != [7, 9, 14, 15]

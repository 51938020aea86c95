from types import SimpleNamespace

import keras
import numpy as np
import pytest

from pyimagesearch import InputError
from pyimagesearch.convautoencoder import ConvAutoencoder
from pyimagesearch.detection import neighbors
from pyimagesearch.models.architectures import Autoencoder
from pyimagesearch.training import losses
from pyimagesearch.training.recipes import make_recipe
from pyimagesearch.training.sample_weights import TrimmedWeighting
from pyimagesearch.training.trainer import Trainer, synchronize_batch_norm


def contaminated_images(rng, n=200, n_outliers=10):
    """Vertical bars at various places, and some images of noise among them."""
    images = np.zeros((n, 8, 8, 1), np.float32)
    images[np.arange(n), :, rng.integers(0, 8, n), 0] = 1
    outliers = np.sort(rng.choice(n, n_outliers, replace=False))
    images[outliers] = rng.random((n_outliers, 8, 8, 1))
    return images, outliers


# A trim beyond whose soft edge the tenth of 200 images is the last that counts for nothing.
TRIM = 0.057


def build(filters=(8,), latent_dim=4, batch_norm=False):
    """A small network for images of 8x8 pixels."""
    return ConvAutoencoder.build(8, 8, 1, filters, latent_dim, batch_norm, seed=0)[2]


def fit(images, split=None, callbacks=None, **settings):
    """Train a small network; settings are those of a `Trainer` or else of its recipe."""
    names = ("sample_weighting", "corruption_fn", "seed")
    others = {name: settings.pop(name) for name in names if name in settings}
    recipe = {"epochs": 20, "batch_size": 20, "learning_rate": 0.01, "trim": 0.0, **settings}
    model = build()
    trainer = Trainer(model, make_recipe(**recipe), images, split, **others)
    return model, trainer.fit(**callbacks or {})


def assert_same(one, other):
    """The same weights, to the bit."""
    for a, b in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_trimmed_training_gives_the_outliers_no_weight(rng):
    images, outliers = contaminated_images(rng)
    _, trimmed = fit(images, trim=TRIM)
    assert trimmed.outliers.tolist() == outliers.tolist()


def test_thick_strokes_are_outliers_no_sooner_than_thin_ones(rng):
    """Of two errors that are as large, that of the image with less to draw makes an outlier."""
    images = np.zeros((40, 8, 8, 1), np.float32)
    images[:20, :, :2] = 1
    images[20:, :, :6] = 1
    images += 0.02 * rng.standard_normal(images.shape, np.float32)
    images[0, 4:, 4:6] = 1
    images[20, 4:, 6:] = 1
    initial = neighbors.relative_error(np.ones(40, np.float32), images).numpy()
    weighting = TrimmedWeighting(0.027, initial)
    _, history = fit(images, trim=0.027, epochs=30, batch_size=40, sample_weighting=weighting)
    assert history.outliers.tolist() == [0]


def test_outliers_do_not_move_the_weights_of_the_network(rng):
    """In the second of two epochs, what the outliers look like makes no difference."""
    images, outliers = contaminated_images(rng)
    networks = []
    for variant in (images[outliers], 1 - images[outliers]):
        current = images.copy()

        def change(epoch, epochs, current=current, variant=variant, **figures):
            if epoch:
                current[outliers] = variant  # after the first epoch only

        # Such that a single epoch is enough to make them outliers: all white.
        current[outliers] = 1
        model, history = fit(current, None, {"on_epoch": change}, trim=TRIM, epochs=2)
        assert history.outliers.tolist() == outliers.tolist()
        networks.append(model)
    assert_same(*networks)


def test_training_is_identical_to_the_bit_with_the_same_seed(rng):
    images, _ = contaminated_images(rng)
    split = np.arange(200), np.arange(30)
    one, history = fit(images, split, trim=0.05, epochs=3, seed=1)
    other, again = fit(images, split, trim=0.05, epochs=3, seed=1)
    different, _ = fit(images, split, trim=0.05, epochs=3, seed=2)
    assert history.loss == again.loss
    assert history.val_loss == again.val_loss
    assert_same(one, other)
    assert not np.array_equal(one.get_weights()[0], different.get_weights()[0])


class Scale(keras.layers.Layer):
    """Multiplies images by one number that is learned; in training by half as much again."""

    def build(self, shape):
        self.factor = self.add_weight(shape=(), initializer=keras.initializers.Constant(0.7))

    def call(self, x, training=False):
        return self.factor * x * (1.5 if training else 1.0)


class Halving:
    """A sample weighting of 11 images by the rank of what it is given: 0, 0, 1/2, and else 1."""

    initial_outlier_scores = np.float32([3, 1, 4, 1.5, 9, 2.6, 5, 3.5, 8, 9.5, 7])

    def outlier_scores(self, losses):
        return losses * self.initial_outlier_scores

    def __call__(self, outlier_scores):
        ranks = np.argsort(np.argsort(-outlier_scores))
        return np.select([ranks < 2, ranks == 2], [0, 0.5], 1).astype(np.float32)


def shift(batch, seed):
    """A corruption that depends on all of its seed."""
    return batch + np.random.default_rng(seed).random(batch.shape, np.float32)


def train_scale_by_hand(images, trained, held_out, seed, trim, counts):
    """What becomes of `Scale` in three epochs of batches of 4, in NumPy, and of losses and weights."""
    factor, first, second, step = 0.7, 0.0, 0.0, 0
    weights, n_steps = np.zeros(len(images)), 9  # 11 images make three batches, the last of three
    weights[trained] = Halving()(Halving.initial_outlier_scores)
    loss, val_loss, rates = [], [], []
    counts = counts / counts[trained].mean()

    def average_of_lowest(losses, counts):
        lowest = np.argsort(losses)[: len(losses) - int(trim * len(losses))]
        return (losses * counts)[lowest].sum() / counts[lowest].sum()

    def forward(indices, corruption_seed, factor):
        inputs = shift(images[indices], corruption_seed).astype(float)
        return inputs, np.mean((images[indices] - factor * inputs) ** 2, (1, 2, 3))

    for epoch in (1, 2, 3):
        order = np.random.default_rng([seed, epoch]).permutation(trained)
        losses = np.zeros(len(images))
        for number, batch in enumerate((order[:4], order[4:8], order[8:])):
            inputs, losses[batch] = forward(batch, [seed, epoch, number], 1.5 * factor)
            residuals = 1.5 * factor * inputs - images[batch]
            slopes = np.mean(2 * residuals * 1.5 * inputs, (1, 2, 3))
            gradient = (slopes * weights[batch] * counts[batch]).sum() / weights[batch].sum()
            # One step of warm-up from a half, then half a cosine; and Adam.
            rate = 0.01 * (
                0.5 if not step else 0.5 + 0.5 * np.cos(np.pi * (step - 1) / (n_steps - 1))
            )
            step += 1
            first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient**2
            mean, square = first / (1 - 0.9**step), second / (1 - 0.999**step)
            factor -= rate * mean / np.sqrt(square)
        rates.append(0.01 * (0.5 + 0.5 * np.cos(np.pi * (step - 1) / (n_steps - 1))))
        loss.append(average_of_lowest(losses[trained], counts[trained]))
        held_out_losses = [
            forward(held_out[i : i + 4], [seed, 0, i // 4], factor)[1] for i in (0, 4)
        ]
        val_loss.append(average_of_lowest(np.concatenate(held_out_losses), counts[held_out]))
        if epoch < 3:
            weighting = Halving()
            weights[trained] = weighting(weighting.outlier_scores(losses[trained]))
    return factor, loss, val_loss, rates, weights


@pytest.mark.parametrize("counts", [None, np.arange(19) % 4 + 0.5])
def test_training_is_step_by_step_as_in_numpy(rng, counts):
    """Of some images in no order, with corrupted inputs and weights that don't sum to the batch."""
    images = rng.random((19, 2, 3, 2), np.float32) * np.linspace(0.2, 1, 19)[:, None, None, None]
    images = images.astype(np.float32)
    trained, held_out = (
        np.array([1, 2, 4, 7, 8, 9, 12, 13, 15, 16, 18]),
        np.array([17, 0, 3, 10, 5, 6]),
    )
    image = keras.Input((2, 3, 2))
    model = keras.Model(image, Scale()(image))
    # Seven steps take three epochs of the eleven images, though two of all of them.
    recipe = make_recipe(epochs=1, min_steps=7, batch_size=4, learning_rate=0.01, trim=0.2)
    settings = {"sample_weighting": Halving(), "corruption_fn": shift, "seed": 6}
    settings["frequency_weights"] = counts
    trainer = Trainer(model, recipe, images, (trained, held_out), **settings)
    figures = []
    history = trainer.fit(on_epoch=lambda epoch, epochs, **found: figures.append(found))
    counts = np.ones(19) if counts is None else counts
    factor, loss, val_loss, rates, weights = train_scale_by_hand(
        images, trained, held_out, 6, 0.2, counts
    )
    assert model.get_weights()[0] == pytest.approx(factor, rel=1e-5)
    assert history.loss == pytest.approx(loss, rel=1e-5)
    assert history.val_loss == pytest.approx(val_loss, rel=1e-5)
    assert [found["learning_rate"] for found in figures[1:]] == pytest.approx(rates, abs=1e-8)
    if (counts == 1).all():
        assert [found["trimmed"] for found in figures[1:]] == pytest.approx([2.5 / 11] * 3)
    left = (counts * weights)[trained].sum() / counts[trained].sum()
    assert figures[-1]["trimmed"] == pytest.approx(1 - left)
    assert history.outliers.tolist() == [i for i in trained if weights[i] == 0]
    assert trainer.sample_weights[trained].tolist() == weights[trained].tolist()


def test_loss_is_of_preprocessed_images_and_noise_is_added_behind_the_contrast(rng):
    """All three parts are linear: half of it, half of that, and a tenth more."""
    image = keras.Input((2, 3, 1))
    parts = [("contrast", 0.5, 0.0), ("encoder", 0.5, 0.0), ("decoder", 1.0, 0.1)]
    x = image
    for name, scale, offset in parts:
        x = keras.Model(image, keras.layers.Rescaling(scale, offset)(image), name=name)(x)
    trainer = Trainer.__new__(Trainer)
    trainer.network = Autoencoder(keras.Model(image, x))
    clean, noise = rng.random((2, 4, 2, 3, 1), np.float32)
    seen = 0.5 * clean
    for loss, function in losses.LOSSES.items():
        trainer.recipe = make_recipe("shapes", loss=loss)
        found = trainer.compute_losses(clean + noise, clean, training=True)
        np.testing.assert_allclose(found, function(seen, 0.5 * (seen + noise) + 0.1), rtol=1e-5)


def test_on_epoch_is_called_at_the_start_and_after_each_epoch(rng):
    images, _ = contaminated_images(rng, n=30)
    calls = []

    def on_epoch(epoch, epochs, **figures):
        calls.append((epoch, epochs, figures))

    split = np.arange(30), np.arange(5)
    _, history = fit(images, split, {"on_epoch": on_epoch}, epochs=2)
    assert [epoch for epoch, *_ in calls] == [0, 1, 2]
    assert {epochs for _, epochs, _ in calls} == {2}
    assert calls[0][2] == {}
    assert [figures["loss"] for *_, figures in calls[1:]] == history.loss
    assert [figures["val_loss"] for *_, figures in calls[1:]] == history.val_loss
    fit(images, None, {"on_epoch": on_epoch}, epochs=1)
    assert calls[-1][2]["val_loss"] is None


def test_one_image_is_trained_on(rng):
    _, history = fit(rng.random((1, 8, 8, 1), np.float32), epochs=2, trim=0.3)
    assert np.isfinite(history.loss).all()


@pytest.mark.slow
@pytest.mark.parametrize("loss", losses.LOSSES)
def test_every_loss_can_be_trained_with(loss, rng):
    images, _ = contaminated_images(rng)
    _, history = fit(images, loss=loss, epochs=10)
    assert history.loss[-1] < 0.7 * history.loss[0]


@pytest.mark.parametrize("batch_norm", [pytest.param(False, marks=pytest.mark.slow), True])
@pytest.mark.parametrize(
    "epochs_before", [1, *(pytest.param(n, marks=pytest.mark.slow) for n in (3, 4))]
)
def test_resumed_training_ends_as_if_it_had_never_stopped(batch_norm, epochs_before, rng):
    """To the bit: weights, curves and outliers, whenever it was cut off, the end included."""
    images, _ = contaminated_images(rng, n=60)
    split = np.arange(50), np.arange(50, 60)
    recipe = make_recipe(epochs=4, batch_size=16, learning_rate=0.01, trim=0.1)
    states, ends = [], []
    for start in (None, epochs_before - 1):
        model = build((4,), 2, batch_norm)
        checkpoint = None if start is None else states[start]
        history = Trainer(model, recipe, images, split, seed=3).fit(checkpoint, states.append)
        ends.append((history, model))
    (whole, one), (resumed, other) = ends
    assert len(states) == 4 + (4 - epochs_before)
    assert resumed.loss == whole.loss
    assert resumed.val_loss == whole.val_loss
    assert resumed.outliers.tolist() == whole.outliers.tolist()
    assert resumed.seconds > states[epochs_before - 1]["seconds"]
    assert_same(one, other)


def test_state_dict_comes_back_to_the_bit_in_another_trainer(rng):
    images, _ = contaminated_images(rng, n=60)
    recipe = make_recipe(epochs=3, batch_size=16, trim=0.1)
    one, other = (Trainer(build(), recipe, images) for _ in range(2))
    one.run_epoch(1)
    state = one.state_dict()
    one.run_epoch(2)
    other.load_state_dict(state)
    loaded = other.state_dict()
    assert loaded.pop("seconds") >= state.pop("seconds")
    for name, array in state.items():
        np.testing.assert_array_equal(loaded[name], array, strict=True)
    other.run_epoch(2)
    assert_same(one.model, other.model)


def test_checkpoint_of_another_version_is_an_input_error(rng):
    images, _ = contaminated_images(rng, n=40)
    states = []
    fit(images, None, {"on_checkpoint": states.append}, epochs=2)
    del states[0]["weights"]
    with pytest.raises(InputError, match="leave --resume out"):
        fit(images, None, {"checkpoint": states[0]}, epochs=2)


def test_interrupted_training_ends_with_its_last_complete_epoch(rng):
    images, _ = contaminated_images(rng, n=60)
    states = []
    _, whole = fit(images, None, {"on_checkpoint": states.append}, epochs=4, trim=0.1)

    def interrupt(batch, seed):
        if seed[1:] == [3, 1]:  # in the middle of the third epoch
            raise KeyboardInterrupt
        return batch

    ended, history = fit(images, epochs=4, trim=0.1, corruption_fn=interrupt)
    assert history.interrupted
    assert not whole.interrupted
    assert history.loss == whole.loss[:2]
    for number, weights in enumerate(ended.get_weights()):
        np.testing.assert_array_equal(weights, states[1][f"variable/{number}"])
    with pytest.raises(KeyboardInterrupt):  # no epoch is complete yet
        fit(images, corruption_fn=lambda batch, seed: interrupt(batch, [0, 3, 1]))


def test_batch_norm_is_synchronized_in_all_inner_networks_and_only_on_several_devices():
    model = build((4,), 2, batch_norm=True)
    inner = model.get_layer("encoder").layers + model.get_layer("decoder").layers
    norms = [layer for layer in inner if isinstance(layer, keras.layers.BatchNormalization)]
    assert len(norms) >= 2
    synchronize_batch_norm(model, True)
    assert all(norm.synchronized for norm in norms)
    Trainer(model, make_recipe(), np.zeros((4, 8, 8, 1), np.float32))
    assert not any(norm.synchronized for norm in norms)


def test_batches_have_an_image_for_each_device():
    images = np.zeros((4, 8, 8, 1), np.float32)
    two = SimpleNamespace(devices=2)
    with pytest.raises(InputError, match="at least one image for each of 2 devices .* size of 1:"):
        Trainer(build(), make_recipe(batch_size=1), images, cluster=two)
    assert Trainer(build(), make_recipe(batch_size=1), images).epochs > 1

import keras
import numpy as np
import pytest

from pyimagesearch import InputError
from pyimagesearch.convautoencoder import ConvAutoencoder
from pyimagesearch.detection import neighbors
from pyimagesearch.training import losses, sample_weights, schedules, train, trainer
from pyimagesearch.training.recipes import RECIPES


def test_split_parts_every_image_once():
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


def test_number_of_epochs_makes_up_for_few_images():
    assert train.number_of_epochs(1000, epochs=10, batch_size=100, min_steps=0) == 10
    assert train.number_of_epochs(1000, epochs=10, batch_size=100, min_steps=100) == 10
    assert train.number_of_epochs(1000, epochs=10, batch_size=100, min_steps=101) == 11
    assert train.number_of_epochs(1001, epochs=1, batch_size=100, min_steps=110) == 10
    assert train.number_of_epochs(5, epochs=10, batch_size=100, min_steps=400) == 400


def test_trimmed_mean_leaves_out_the_largest():
    errors = np.array([5.0, 1.0, 9.0, 3.0], np.float32)
    assert losses.trimmed_mean(errors, 0) == 4.5
    assert losses.trimmed_mean(errors, 0.25) == 3
    assert losses.trimmed_mean(errors, 0.49) == 3
    assert losses.trimmed_mean(errors, 0.99) == 1


@pytest.mark.parametrize("trim", [0.01, 0.05, 0.25, 0.5, 0.98])
def test_weights_rise_with_rank_from_nothing_to_all_and_take_away_the_trim(trim, rng):
    suspicion = rng.permutation(1000).astype(float)
    weights = sample_weights.trimmed_sample_weights(suspicion, trim)
    by_rank = weights[np.argsort(-suspicion)]
    assert (np.diff(by_rank) >= 0).all()
    assert by_rank[0] == pytest.approx(0, abs=0.1)
    assert by_rank[-1] == 1
    assert weights.mean() == pytest.approx(1 - trim, abs=2e-3)
    # A soft limit: some count in part, however small the trim is.
    assert 15 <= np.count_nonzero((weights > 0) & (weights < 1)) <= 40


def test_equally_suspect_images_are_told_apart_by_their_order():
    assert sample_weights.trimmed_sample_weights(np.ones(4), 0.5).tolist() == [0, 0.5, 1, 1]


@pytest.mark.parametrize("n", [1, 2, 30])
@pytest.mark.parametrize("trim", [0, 0.001, 0.05, 0.5, 0.999])
def test_somebody_always_counts(n, trim):
    assert sample_weights.trimmed_sample_weights(np.arange(n), trim).max() > 0
    if not trim:
        assert sample_weights.trimmed_sample_weights(np.arange(n), trim).tolist() == [1] * n


def test_inverse_time_schedule_is_keras_2s_decay():
    schedule = schedules.SCHEDULES["inverse-time"](1e-3, steps=100, epochs=20)
    decay = 1e-3 / 20
    for step in (0, 1, 50, 3400):
        assert float(schedule(step)) == pytest.approx(1e-3 / (1 + decay * step), rel=1e-6)


@pytest.mark.parametrize("steps", [1, 2, 19, 20, 1000])
def test_cosine_schedule_warms_up_and_ends_at_nothing(steps):
    schedule = schedules.SCHEDULES["cosine"](0.01, steps=steps, epochs=1)
    rates = [float(schedule(step)) for step in range(steps + 1)]
    assert max(rates) == pytest.approx(0.01, rel=1e-6)
    assert np.argmax(rates) == max(1, steps // 20)
    assert rates[0] > 0  # no step is wasted
    assert rates[-1] == pytest.approx(0, abs=1e-8) or steps == 1


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_recipes_name_schedules_that_exist(recipe):
    assert recipe.schedule in schedules.SCHEDULES


def contaminated_images(rng, n=200, n_outliers=10):
    """Vertical bars at various places, and some images of noise among them."""
    images = np.zeros((n, 8, 8, 1), np.float32)
    images[np.arange(n), :, rng.integers(0, 8, n), 0] = 1
    outliers = np.sort(rng.choice(n, n_outliers, replace=False))
    images[outliers] = rng.random((n_outliers, 8, 8, 1))
    return images, outliers


# A trim beyond whose soft edge the tenth of 200 images is the last that counts for nothing.
TRIM = 0.057


def fitted(images, trained=None, held_out=(), **settings):
    build = ConvAutoencoder.build
    autoencoder = build(8, 8, 1, filters=(8,), latentDim=4, batchNorm=False, seed=0)[2]
    settings = {"epochs": 20, "batch_size": 20, "learning_rate": 0.01, **settings}
    return autoencoder, trainer.fit_autoencoder(autoencoder, images, trained, held_out, **settings)


def assert_same(one, other):
    """The same weights, to the bit."""
    for a, b in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_trimmed_training_suspects_the_outliers_and_does_not_learn_them(rng):
    images, outliers = contaminated_images(rng)
    _, trimmed = fitted(images, trim=TRIM)
    _, plain = fitted(images, trim=0)
    assert trimmed.suspects.tolist() == outliers.tolist()
    assert plain.suspects.tolist() == []


def test_thick_strokes_are_suspected_no_sooner_than_thin_ones(rng):
    """Of two errors that are as large, the one of the image with less to be drawn is suspected."""
    images = np.zeros((40, 8, 8, 1), np.float32)
    images[:20, :, :2] = 1
    images[20:, :, :6] = 1
    images += 0.02 * rng.standard_normal(images.shape, np.float32)
    images[0, 4:, 4:6] = 1
    images[20, 4:, 6:] = 1
    initial_outlier_scores = neighbors.relative_error(np.ones(40, np.float32), images).numpy()
    _, history = fitted(
        images, trim=0.027, epochs=30, batch_size=40, initial_outlier_scores=initial_outlier_scores
    )
    assert history.suspects.tolist() == [0]


def test_doubtful_images_are_suspects_from_the_first_epoch_on(rng):
    """What the first epoch must not learn makes no difference to it."""
    images, outliers = contaminated_images(rng)
    initial_outlier_scores = np.ones(len(images), np.float32)
    initial_outlier_scores[outliers] = 1000
    networks = []
    for spoilt in (images[outliers], 1 - images[outliers]):
        images[outliers] = spoilt
        autoencoder, history = fitted(
            images, trim=TRIM, epochs=1, initial_outlier_scores=initial_outlier_scores
        )
        assert history.suspects.tolist() == outliers.tolist()
        networks.append(autoencoder)
    assert_same(*networks)


def test_suspicion_is_loss_times_doubt(rng):
    """Of the same image twice, the more doubtful is suspected in the end."""
    images, outliers = contaminated_images(rng)
    images[0] = images[outliers[0]]
    initial_outlier_scores = np.ones(len(images), np.float32)
    initial_outlier_scores[0] = 1.5
    _, history = fitted(images, trim=0.012, epochs=6, initial_outlier_scores=initial_outlier_scores)
    assert history.suspects.tolist() == [0]


def test_more_than_their_rank_can_decide_how_much_suspects_count(rng):
    images, outliers = contaminated_images(rng)
    told = []

    def sample_weight_fn(suspicion):
        told.append(suspicion)
        weights = np.ones(len(images), np.float32)
        weights[outliers[:3]] = 0
        return weights

    _, history = fitted(images, trim=TRIM, epochs=3, sample_weight_fn=sample_weight_fn)
    assert history.suspects.tolist() == outliers[:3].tolist()
    assert len(told) == 2  # without doubts, nobody is suspected before the first epoch
    assert told[1].argmax() in outliers


def test_suspects_do_not_move_the_weights(rng):
    """In the second of two epochs, what the suspects look like makes no difference."""
    images, outliers = contaminated_images(rng)
    networks = []
    for spoilt in (images[outliers], 1 - images[outliers]):
        seen = images.copy()

        def spoil(epoch, seen=seen, spoilt=spoilt, **_):
            seen[outliers] = spoilt  # after the first epoch only

        # Outliers odd enough to be suspected after a single epoch: all white.
        seen[outliers] = 1
        autoencoder, history = fitted(seen, trim=TRIM, epochs=2, on_epoch=spoil)
        assert history.suspects.tolist() == outliers.tolist()
        networks.append(autoencoder)
    assert_same(*networks)


def test_training_is_identical_to_the_bit_with_the_same_seed(rng):
    images, _ = contaminated_images(rng)
    one, history = fitted(images, None, range(30), trim=0.05, epochs=3, seed=1)
    other, again = fitted(images, None, range(30), trim=0.05, epochs=3, seed=1)
    different, _ = fitted(images, None, range(30), trim=0.05, epochs=3, seed=2)
    assert history.loss == again.loss
    assert history.val_loss == again.val_loss
    assert_same(one, other)
    assert not np.array_equal(one.get_weights()[0], different.get_weights()[0])


def test_plain_training_is_what_keras_fit_does(rng):
    """An independent oracle: Keras's own loop over the same batches in the same order."""
    images, _ = contaminated_images(rng, n=40)
    ours, history = fitted(images, epochs=1, schedule="inverse-time", seed=5)
    theirs = ConvAutoencoder.build(8, 8, 1, filters=(8,), latentDim=4, batchNorm=False, seed=0)[2]
    theirs.compile(keras.optimizers.Adam(0.01), loss="mse")
    order = np.random.default_rng([5, 1]).permutation(40)
    fit = theirs.fit(images[order], images[order], batch_size=20, shuffle=False, verbose=0)
    assert history.loss[0] == pytest.approx(fit.history["loss"][0], rel=1e-3)
    for a, b in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=2e-4)


def test_epochs_are_told_as_they_end(rng):
    images, _ = contaminated_images(rng, n=30)
    told = []
    _, history = fitted(
        images, None, range(5), epochs=2, on_epoch=lambda e, **f: told.append((e, f))
    )
    assert [epoch for epoch, _ in told] == [1, 2]
    assert [figures["loss"] for _, figures in told] == history.loss
    assert [figures["val_loss"] for _, figures in told] == history.val_loss
    told.clear()
    fitted(images, epochs=1, on_epoch=lambda e, **f: told.append(f))
    assert told[0]["val_loss"] is None


@pytest.mark.parametrize("n", [1, 3])
def test_fewer_images_than_a_batch_are_trained_on(n, rng):
    _, history = fitted(rng.random((n, 8, 8, 1), np.float32), epochs=2, trim=0.3)
    assert np.isfinite(history.loss).all()


def test_only_the_images_to_train_on_are_trained_on(rng):
    """Whatever the others look like, weights, losses and suspects are the same."""
    images, _ = contaminated_images(rng)
    trained = np.arange(50, 150)
    other = images.copy()
    other[:50], other[150:] = 1, 0
    one, history = fitted(images, trained, trim=0.104, epochs=3)
    same, again = fitted(other, trained, trim=0.104, epochs=3)
    assert_same(one, same)
    assert history.loss == again.loss
    assert history.suspects.tolist() == again.suspects.tolist()
    assert len(history.suspects) == 10
    assert set(history.suspects) <= set(trained)


def test_losses_agree_with_numpy(rng):
    wanted, given = rng.random((2, 3, 4, 5, 2), np.float32)
    np.testing.assert_allclose(
        losses.LOSSES["mse"](wanted, given), np.mean((wanted - given) ** 2, (1, 2, 3)), rtol=1e-5
    )
    entropy = -(wanted * np.log(given) + (1 - wanted) * np.log(1 - given))
    np.testing.assert_allclose(
        losses.LOSSES["bce"](wanted, given), entropy.mean((1, 2, 3)), rtol=1e-4
    )


@pytest.mark.slow
@pytest.mark.parametrize("loss", losses.LOSSES)
def test_every_loss_can_be_trained_with(loss, rng):
    images, _ = contaminated_images(rng)
    _, history = fitted(images, loss=loss, epochs=10)
    assert history.loss[-1] < 0.7 * history.loss[0]


@pytest.mark.slow
def test_denoiser_is_given_spoilt_images_and_asked_for_clean_ones(rng):
    images, _ = contaminated_images(rng, n_outliers=0)
    seen = []

    def spoil(batch, seed):
        seen.append(tuple(seed))
        return np.clip(
            batch + np.random.default_rng(seed).normal(0, 0.3, batch.shape), 0, 1
        ).astype(np.float32)

    plain, _ = fitted(images, epochs=40, learning_rate=0.003, seed=9)
    denoiser, _ = fitted(
        images, None, range(10), epochs=40, learning_rate=0.003, corrupt=spoil, seed=9
    )
    noisy = spoil(images, [1])
    error = [np.mean((model(noisy) - images) ** 2) for model in (plain, denoiser)]
    assert error[1] < 0.8 * error[0]
    # Every batch is spoilt in its own way; the held-out ones alike in every epoch.
    training_seeds = [seed for seed in seen if seed[:2] != (9, 0) and len(seed) == 3]
    assert len(set(training_seeds)) == len(training_seeds) == 40 * 10
    assert seen.count((9, 0, 0)) == 40


@pytest.mark.parametrize("batch_norm", [pytest.param(False, marks=pytest.mark.slow), True])
@pytest.mark.parametrize(
    "epochs_before", [1, *(pytest.param(n, marks=pytest.mark.slow) for n in (3, 4))]
)
def test_training_that_goes_on_ends_as_if_it_had_never_stopped(batch_norm, epochs_before, rng):
    """To the bit: weights, curves and suspects, whenever it was cut off, the end included."""
    images, _ = contaminated_images(rng, n=60)
    build = ConvAutoencoder.build
    settings = {"epochs": 4, "batch_size": 16, "learning_rate": 0.01, "trim": 0.1, "seed": 3}
    states, ends = [], []
    for state in (None, epochs_before - 1):
        autoencoder = build(8, 8, 1, filters=(4,), latentDim=2, batchNorm=batch_norm, seed=0)[2]
        history = trainer.fit_autoencoder(
            autoencoder,
            images,
            np.arange(50),
            np.arange(50, 60),
            state=None if state is None else states[state],
            keep=states.append,
            **settings,
        )
        ends.append((history, autoencoder))
    (whole, one), (gone_on, other) = ends
    assert len(states) == 4 + (4 - epochs_before)
    assert gone_on.loss == whole.loss
    assert gone_on.val_loss == whole.val_loss
    assert gone_on.suspects.tolist() == whole.suspects.tolist()
    assert gone_on.seconds > states[epochs_before - 1]["seconds"]
    assert_same(one, other)


def test_state_of_another_version_is_refused(rng):
    images, _ = contaminated_images(rng, n=40)
    states = []
    fitted(images, epochs=2, keep=states.append)
    del states[0]["weights"]
    with pytest.raises(InputError, match="leave --resume out"):
        fitted(images, epochs=2, state=states[0])


def test_interrupted_training_ends_with_its_last_whole_epoch(rng):
    images, _ = contaminated_images(rng, n=60)
    states = []
    _, whole = fitted(images, epochs=4, trim=0.1, keep=states.append)

    def interrupt(batch, seed):
        if seed[1:] == [3, 1]:  # in the middle of the third epoch
            raise KeyboardInterrupt
        return batch

    ended, history = fitted(images, epochs=4, trim=0.1, corrupt=interrupt)
    assert history.interrupted
    assert not whole.interrupted
    assert history.loss == whole.loss[:2]
    for number, weights in enumerate(ended.get_weights()):
        np.testing.assert_array_equal(weights, states[1][f"variable/{number}"])
    with pytest.raises(KeyboardInterrupt):  # nothing is whole yet
        fitted(images, corrupt=lambda batch, seed: interrupt(batch, [0, 3, 1]))

import dataclasses

import numpy as np
import pytest

from pyimagesearch import InputError
from pyimagesearch.data.batches import subsample
from pyimagesearch.detection import feature_scores, scoring, thresholds
from pyimagesearch.detection.calibration import calibrate
from pyimagesearch.models import feature_autoencoder
from pyimagesearch.reporting import drawing, gallery
from pyimagesearch.training import feature_statistics, reconstructions
from pyimagesearch.training.feature_training import FeatureTrainer
from pyimagesearch.training.recipes import make_recipe
from pyimagesearch.training.train import train
from tests.photos import photos
from tests.reporting.pictures import contains
from tests.training import features_by_hand as by_hand

ODD = 11


@pytest.fixture(scope="module")
def images():
    """30 crops of a wall, one of them with a disk on it."""
    return photos(30, odd=[ODD])


@pytest.fixture(scope="module")
def result(images):
    return train(images, make_recipe("photos"), seed=3)


def scores_of(result, images, score):
    """Scores of a few images, without compiling."""
    scorer = scoring.make_scorer(result.autoencoder, score, result.reference)
    return scorer(images)[-1].numpy()


def test_odd_image_is_found_left_out_and_scored_highest(result):
    assert result.fit.scores["combined"].argmax() == ODD
    assert ODD in result.history.outliers
    assert len(result.history.outliers) <= 6  # a fifth
    assert result.trained.tolist() == list(range(30))
    assert len(result.history.loss) == len(result.history.val_loss) == 3
    assert 0 < result.history.loss[-1] < result.history.val_loss[-1]


def test_each_image_has_the_score_that_training_gave_it_when_it_comes_again(result, images):
    """And a new image, which training has not seen, is judged by all."""
    for score in ("combined", "local", "mse"):
        again = scores_of(result, images, score)
        np.testing.assert_allclose(again, result.fit.scores[score], rtol=0.02, atol=0.02)


def test_image_among_others_is_as_odd_as_if_it_were_new(result, images):
    """Leaving an image out by arithmetic is like leaving it out of the pile."""
    usual = 4
    without = train(np.delete(images, usual, axis=0), make_recipe("photos"), seed=3)
    for score, tolerance in (("local", 2), ("global", 0.3), ("neighbours", 0.2), ("quality", 0.3)):
        alone = scores_of(without, images[[usual]], score)
        assert alone[0] == pytest.approx(result.fit.scores[score][usual], abs=tolerance), score


def test_map_of_the_odd_image_is_highest_where_the_disk_is(result, images):
    shown = scoring.reconstruct(result.autoencoder, images, [ODD], "combined", result.reference)
    assert shown.features.shape == shown.reconstructions.shape == (1, 64, 96, 3)
    outputs = feature_autoencoder.Outputs.of(result.autoencoder, images[[ODD]])
    for picture, stages in (
        (shown.features, outputs.features),
        (shown.reconstructions, outputs.reconstructions),
    ):
        expected = feature_scores.color_picture(stages[1], result.reference, (64, 96))
        np.testing.assert_allclose(picture, expected, atol=1e-5)
        assert picture.min() < picture.max()
    row, column = np.unravel_index(shown.maps[0].argmax(), (64, 96))
    assert 4 <= row <= 36
    assert 54 <= column <= 90


def test_training_goes_on_from_a_checkpoint_to_the_same_bits():
    """Which are those of the same seed."""

    class Killed(Exception):
        pass

    states = []

    def kill(state):
        states.append({name: np.copy(array) for name, array in state.items()})
        raise Killed

    features, recipe = by_hand.FewFeatures(), make_recipe("photos", latent_dim=2)
    whole = FeatureTrainer(features, recipe, 3)
    history = whole.fit()
    with pytest.raises(Killed):
        FeatureTrainer(features, recipe, 3).fit(on_checkpoint=kill)
    resumed = FeatureTrainer(features, recipe, 3)
    assert resumed.fit(checkpoint=states[0]).loss == history.loss
    assert len(history.loss) == 3
    for name, array in whole.fitted.reference.items():
        np.testing.assert_array_equal(resumed.fitted.reference[name], array, err_msg=name)
    for name, weights in whole.fitted.weights.items():
        for one, other in zip(weights, resumed.fitted.weights[name], strict=True):
            np.testing.assert_array_equal(one, other, err_msg=name)


def test_state_that_is_loaded_is_the_state_that_was_saved_and_the_clock_goes_on():
    features, recipe = by_hand.FewFeatures(), make_recipe("photos", latent_dim=2)
    resumed = FeatureTrainer(features, recipe, 3)
    saved = {
        **resumed.state_dict(),
        "loss": np.array([0.5]),
        "val_loss": np.array([0.75]),
        "seconds": np.array(1000.0),
        "kept": np.arange(30) != 7,
        "uses_code": np.array(1),
        "shares": np.array([0.0, 0.1, 0.3, 0.9]),
        "colors": np.ones((3, 3), np.float32),
        "colors_offset": np.full(3, 0.25, np.float32),
    }
    resumed.load_state_dict(saved)
    state = resumed.state_dict()
    assert 1000 <= state.pop("seconds") < 1060
    assert {*saved} == {*state, "seconds"}
    for name, array in state.items():
        np.testing.assert_array_equal(array, saved[name], err_msg=name)
    assert resumed.shares == [0.0, 0.1, 0.3, 0.9]


@pytest.mark.parametrize("rounds", [1, 2])
def test_finished_training_fits_its_last_round_again_and_refuses_the_checkpoint_of_another(rounds):
    features, recipe, states = by_hand.FewFeatures(), make_recipe("photos", epochs=rounds), []
    trainer = FeatureTrainer(features, recipe, 3)
    history = trainer.fit(on_checkpoint=states.append)
    assert [len(state["loss"]) for state in states] == ([1, 1] if rounds > 1 else [])
    if rounds == 1:  # there is nothing to resume
        return
    resumed = FeatureTrainer(features, recipe, 3)
    again = resumed.fit(checkpoint=states[-1])
    assert (again.loss, again.val_loss) == (history.loss, history.val_loss)
    np.testing.assert_array_equal(
        resumed.fitted.scores["combined"], trainer.fitted.scores["combined"]
    )
    del states[0]["uses_code"]
    with pytest.raises(InputError, match="another in .*uses_code"):
        FeatureTrainer(features, recipe, 3).fit(checkpoint=states[0])


def test_interrupted_training_ends_with_the_last_complete_round():
    def interrupt(epoch, epochs, **figures):
        if epoch == 1:
            raise KeyboardInterrupt

    trainer = FeatureTrainer(by_hand.FewFeatures(), make_recipe("photos", latent_dim=2), 3)
    history = trainer.fit(on_epoch=interrupt)
    assert history.interrupted
    assert len(history.loss) == 1
    assert not len(history.outliers)
    assert trainer.fitted.scores["quality"].argmax() == 21


def test_calibration_is_of_the_scores_that_leave_each_image_out(result, images):
    calibration, references = calibrate(result, images)
    assert list(references) == ["features"]
    for name, scores in result.fit.scores.items():
        assert calibration[name]["held_out"]["n"] == 30
        assert calibration[name]["held_out"]["max"] == scores.max()
        assert calibration[name]["threshold"] == thresholds.fdr_controlled(True, scores)
    assert calibration["combined"]["threshold"] < result.fit.scores["combined"][ODD]
    pixels = np.sort(feature_scores.image_maps(result.fit.maps, (64, 96)), axis=None)
    n_above = (pixels > calibration["combined"]["pixel_threshold"]).sum()
    assert n_above == pytest.approx(pixels.size / 1000, abs=1)


@pytest.mark.slow
def test_more_images_than_are_learned_from_are_scored_all_the_same(images, monkeypatch):
    monkeypatch.setattr("pyimagesearch.training.train.MAX_IMAGES", 20)
    result = train(images, make_recipe("photos", epochs=1), seed=3)
    assert len(result.trained) == 20
    assert np.all(np.diff(result.trained) > 0)
    assert len(result.reference["member_sketch"]) == 20
    scores = scoring.score_images(result.autoencoder, images, "combined", result.reference)
    assert np.isfinite(scores).all()


@pytest.mark.slow
@pytest.mark.parametrize("n", [1, 2, 5])
def test_few_or_equal_images_give_finite_scores(n):
    images = np.full((n, 32, 32, 3), 0.5, np.float32)
    result = train(images, make_recipe("photos", epochs=2), seed=0)
    scores = scoring.score_images(result.autoencoder, images, "combined", result.reference)
    assert np.isfinite(scores).all()


def test_reconstructions_are_drawn_as_photo_features_reconstruction_and_map(result, images):
    odd_first = dataclasses.replace(result, trained=np.array([ODD, 0]))
    calibration, _ = calibrate(result, images)
    picture = reconstructions.draw_reconstructions(odd_first, images, calibration)
    shown = scoring.reconstruct(
        result.autoencoder, images, odd_first.trained, "combined", result.reference
    )
    rgb = [drawing.to_rgb(part) for part in shown[:3]]
    scale = gallery.map_scale(shown.maps, calibration["combined"]["pixel_threshold"])
    laid = drawing.overlay_maps(rgb[0], shown.maps, scale)
    assert all(contains(picture, strip) for strip in drawing.strips(*rgb, laid))
    assert (np.ptp(laid[0], axis=-1) > 60).any()  # the disk glows


def test_what_is_unusual_is_left_out_up_to_the_trim():
    trainer = FeatureTrainer.__new__(FeatureTrainer)
    trainer.recipe = dataclasses.replace(make_recipe("photos"), trim=0.2)
    trainer.kept = np.ones(10, bool)
    logs = np.random.default_rng(0).normal(size=(10, 6, 7)).astype(np.float32)
    logs[4, 2, 3] = 90  # one place of one image
    z = np.zeros((10, 4), np.float32)
    z[[1, 3, 5, 7], [0, 1, 3, 2]] = 9  # the last of them by its neighbors alone
    trainer._leave_out(logs, z)
    assert trainer.counted[4, 2, 3] == 0
    assert trainer.counted.mean() > 0.95
    assert np.flatnonzero(~trainer.kept).tolist() in ([1, 3, 5], [1, 3], [])
    z[[1, 3, 5], [0, 1, 3]] = [7, 8, 9]
    trainer._leave_out(logs, z)
    assert np.flatnonzero(~trainer.kept).tolist() == [3, 5]  # a fifth, those with most


@pytest.mark.parametrize(("bank_size", "trim"), [(2000, 0.1), (17, 0.4)])
def test_round_is_as_in_numpy_with_some_images_and_places_left_out(bank_size, trim, monkeypatch):
    """From features to scores, maps, the reference and what counts in the next round."""
    monkeypatch.setattr(feature_statistics, "MAX_BANK_IMAGES", bank_size)
    features = by_hand.FewFeatures()
    trainer = FeatureTrainer(features, make_recipe("photos", latent_dim=2, trim=trim), 3)
    kept, counted = np.ones(30, bool), np.ones((30, 4, 6), np.uint8)
    kept[[4, 11, 19, 25]] = False
    counted[2, :3, :2] = counted[8, 1:, 3:] = counted[20:23, 0, 5] = 0
    shares = [0.1, 0.0, 0.6, 0.3]
    colors = {"colors": np.ones((3, 3), np.float32), "colors_offset": np.zeros(3, np.float32)}
    trainer.kept, trainer.counted, trainer.uses_code = kept.copy(), counted.copy(), True
    trainer.shares, trainer.colors = shares, colors
    figures = trainer.run_round()

    regressors = np.column_stack([np.ones(30), by_hand.codes_of(features, kept, 2)])
    leverage = by_hand.leverage_by_hand(regressors, kept)
    weights = by_hand.places_by_hand(counted, kept)
    stages = [by_hand.Stage(x, regressors, w) for x, w in zip(features.maps, weights, strict=True)]
    logs = by_hand.logs_by_hand(stages, shares, leverage)
    center, deviation = by_hand.robust(logs[kept])
    clipped = np.minimum(logs[kept], center + 4 * (deviation + 1e-3))
    mean = by_hand.smooth(clipped.mean(0))
    z_places = (logs - mean) / np.sqrt(by_hand.smooth(clipped.var(0)) + 1e-6)
    bank = subsample(np.flatnonzero(kept), 3, bank_size)
    evidence = np.column_stack(
        [
            z_places[:, 0].max((1, 2)),  # of 24 places, a hundredth is less than one
            by_hand.vector_logs_by_hand(features.means, kept, (0.02, 0.1, 0.3, 0.6, 0.9)),
            by_hand.neighbor_logs_by_hand(features.embedding, bank),
            by_hand.vector_logs_by_hand(features.quality, kept, (0,)),
        ]
    )
    center, deviation = by_hand.robust(evidence[kept])
    z = (evidence - center) / (deviation + 1e-6)
    errors = np.mean([np.mean(stage.residuals**2, (1, 2)) for stage in stages], 0)
    alone = errors[kept] / (1 - leverage[kept]) ** 2
    explained = 1 - alone.mean()
    assert 0 < explained < 1

    fitted = trainer.fitted
    assert figures == {
        "loss": pytest.approx(errors[kept].mean(), rel=1e-4),
        "val_loss": pytest.approx(alone.mean(), rel=1e-4),
        "trimmed": pytest.approx(4 / 30),
    }
    np.testing.assert_array_equal(fitted.outliers, ~kept)
    np.testing.assert_allclose(fitted.scores["mse"], errors, rtol=1e-4)
    for name, column in zip(("local", "global", "neighbours", "quality"), z.T, strict=True):
        found = np.log(np.expm1(fitted.scores[name].astype(float)))
        np.testing.assert_allclose(found[column > -5], column[column > -5], atol=0.01, err_msg=name)
    expected = by_hand.combined_by_hand(z, explained)
    np.testing.assert_allclose(fitted.scores["combined"], expected, rtol=0.005, atol=0.005)
    np.testing.assert_allclose(fitted.maps, z_places[kept, 1:].sum(1), rtol=1e-3, atol=0.01)
    reference = fitted.reference
    np.testing.assert_array_equal(reference["member_places"], counted[kept])
    np.testing.assert_allclose(reference["member_leverage"], leverage[kept], rtol=1e-3)
    np.testing.assert_array_equal(reference["member_in_bank"], np.isin(np.flatnonzero(kept), bank))
    projection = np.random.default_rng([3, 5]).choice([-1, 1], (20, 16))
    sketch = features.embedding[kept] @ projection
    np.testing.assert_allclose(reference["member_sketch"], sketch, atol=1e-4)
    assert len(reference["bank"]) == len(bank)
    assert reference["colors"] is colors["colors"]
    kernel, bias = fitted.weights["encoder"]
    codes = features.maps[3].reshape(30, -1) @ kernel + bias
    np.testing.assert_allclose(np.cov(codes[kept].T, bias=True), np.eye(2), atol=1e-3)
    for stride, stage, scale in zip((4, 8, 16, 32), stages, features.scale, strict=True):
        kernel, bias = fitted.weights[f"decoder_{stride}"]
        found = (codes @ kernel + bias).reshape(stage.x.shape)
        np.testing.assert_allclose(found, stage.x - stage.residuals, rtol=1e-3, atol=1e-3)
        kernel, bias = fitted.weights[f"features_{stride}"]
        np.testing.assert_array_equal(kernel, scale[0][np.newaxis, np.newaxis])
        np.testing.assert_array_equal(bias, scale[1])

    center, deviation = by_hand.robust(logs[kept, 0])
    unusual = (logs[:, 0] - by_hand.smooth(center)) / (by_hand.smooth(deviation) + 1e-3)
    limits = np.maximum(3.5, np.quantile(unusual, 1 - trim, axis=0))
    np.testing.assert_array_equal(trainer.counted, unusual <= limits)
    assert not trainer.counted[7].all()
    highest = z[:, [0, 1, 3]].max(1)
    np.testing.assert_array_equal(trainer.kept, highest <= max(3, np.quantile(highest, 1 - trim)))
    assert not trainer.kept[21]
    assert trainer.kept[highest > 2].sum() > 0  # some between 2 and 3


def test_code_is_used_only_with_ten_images_for_each_of_its_numbers():
    features = by_hand.FewFeatures()
    for n_left_out, expected in ((10, 3), (11, 1)):
        trainer = FeatureTrainer(features, make_recipe("photos", latent_dim=2), 3)
        trainer.kept[:n_left_out] = False
        codes = by_hand.codes_of(features, trainer.kept, 2)
        regressors = np.column_stack([np.ones(30), codes]).astype(np.float32)
        for trainer.uses_code, trainer.shares in ((None, [None] * 4), (True, [0.1] * 4)):
            coefficients, *_ = trainer._fit_places(regressors)
            widths = {1 + np.flatnonzero(a.any((0, 1))).max() for a in coefficients}
            assert widths <= {1, expected}
        assert widths == {expected}  # where it was chosen before


def test_code_that_is_less_likely_than_none_is_not_used():
    features = by_hand.FewFeatures()
    trainer = FeatureTrainer(features, make_recipe("photos", latent_dim=2), 3)
    trainer._choose = lambda *given: (1, [0.1] * 4)
    codes = by_hand.codes_of(features, trainer.kept, 2)
    coefficients, *_ = trainer._fit_places(np.column_stack([np.ones(30), codes]).astype(np.float32))
    assert trainer.uses_code is False
    assert all(not a[..., 1:].any() for a in coefficients)


def test_shares_and_the_use_of_the_code_are_the_likeliest(monkeypatch):
    """Image by image and place by place, each under what is fitted to the others."""
    features = by_hand.FewFeatures()
    trainer = FeatureTrainer(features, make_recipe("photos", latent_dim=2), 3)
    trainer.kept[[4, 11]] = False
    trainer.counted[2, :3, :2] = 0
    regressors = np.column_stack([np.ones(30), by_hand.codes_of(features, trainer.kept, 2)])
    regressors = regressors.astype(np.float32)
    sums, samples = feature_statistics.accumulate(
        features, regressors, trainer._stage_weights, 3, trainer.kept
    )
    weights = by_hand.places_by_hand(trainer.counted, trainer.kept)
    sampled = [np.arange(24)[:16], np.arange(24)[:16], np.arange(6), np.arange(2)]
    likelihoods = {}
    for k in (1, 3):
        used = regressors[:, :k]
        leverage = feature_statistics.leverage_of(used, trainer.kept)
        stages = [by_hand.Stage(x, used, w) for x, w in zip(features.maps, weights, strict=True)]
        likelihoods[k] = [
            [
                stage.likelihood(share, places, leverage) * stage.x.shape[1] / len(places)
                for share in (0, 0.1, 0.3, 0.6, 0.9)
            ]
            for stage, places in zip(stages, sampled, strict=True)
        ]
        found = [
            feature_statistics.share_likelihoods(used, leverage, total, sample)
            for total, sample in zip(sums, samples, strict=True)
        ]
        np.testing.assert_allclose(found, likelihoods[k], rtol=1e-3)
    k, shares = trainer._choose(sums, samples, regressors, (1, 3))
    totals = {k: np.max(found, 1).sum() for k, found in likelihoods.items()}
    assert k == max(totals, key=totals.get)
    names = (0, 0.1, 0.3, 0.6, 0.9)
    assert shares == [names[i] for i in np.argmax(likelihoods[k], 1)]

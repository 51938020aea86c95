import functools

import numpy as np
import pytest

from pyimagesearch.convautoencoder import ConvAutoencoder
from pyimagesearch.data import batches
from pyimagesearch.detection import calibration, scores, scoring
from pyimagesearch.runtime.distribution import Cluster
from pyimagesearch.training import sample_weights, train, trainer
from pyimagesearch.training.recipes import make_recipe


@pytest.mark.parametrize("score", [name for name in scores.SCORES if scores.SCORES[name].fit])
def test_suspects_are_not_learnt_from_by_a_score_that_wants_trusted_images(score, rng):
    images = rng.random((30, 8, 8, 1)).astype(np.float32)
    images[:10] /= 3
    network = ConvAutoencoder.build(8, 8, 1, filters=(4,), latentDim=2, seed=0)[2]
    trained, suspects = np.arange(25), np.arange(10)
    history = trainer.History([1.0], [], 0.0, suspects)
    fitted = train.TrainingResult(network, trained, np.arange(25, 30), history)
    found = calibration.fit_reference(fitted, images, score)
    by_all = scoring.fit_reference(network, images, trained, score)
    by_trusted = scoring.fit_reference(network, images, trained[10:], score)
    wanted, other = (by_trusted, by_all) if score == "local" else (by_all, by_trusted)
    for name, array in found.items():
        np.testing.assert_array_equal(array, wanted[name])
    assert any(not np.array_equal(found[name], other[name]) for name in found)


def bars(rng, n=600, n_odd=20):
    """Images of upright bars; at the end, some of bars that lie. Who is odd is most suspect."""
    images = 0.1 * rng.random((n, 8, 8, 1), np.float32)
    images[np.arange(n - n_odd), :, rng.integers(0, 8, n - n_odd)] += 0.5
    images[np.arange(n - n_odd, n), rng.integers(3, 5, n_odd)] += 0.5
    return images, np.arange(n, dtype=np.float32)


def compare_with_some(monkeypatch):
    """Let the images to compare with be two thirds of them."""
    monkeypatch.setattr(sample_weights, "subsample", functools.partial(batches.subsample, n=400))


def test_who_is_suspected_and_unlike_the_suspects_counts(rng, monkeypatch):
    compare_with_some(monkeypatch)
    images, suspicion = bars(rng)
    _, sample_weight_fn = sample_weights.make_sample_weighting(
        images, np.arange(600), make_recipe(), 0, Cluster()
    )
    assert np.flatnonzero(sample_weight_fn(suspicion) == 0).tolist() == list(range(580, 600))
    by_rank = sample_weights.trimmed_sample_weights(suspicion, make_recipe().trim)
    assert by_rank[562:580].max() < 1  # by their rank alone they would count in part
    assert sample_weight_fn(suspicion)[562:580].min() > 0.9


def test_most_suspect_count_for_nothing_whatever_they_are_like(rng):
    images, suspicion = bars(rng)
    images[-1] = images[0]
    _, sample_weight_fn = sample_weights.make_sample_weighting(
        images, np.arange(600), make_recipe(), 0, Cluster()
    )
    assert np.flatnonzero(sample_weight_fn(suspicion) == 0).tolist() == list(range(580, 600))


def test_no_more_are_ignored_than_the_trim_allows(rng):
    images, suspicion = bars(rng)
    chosen = make_recipe(trim=0.008)
    _, sample_weight_fn = sample_weights.make_sample_weighting(
        images, np.arange(600), chosen, 0, Cluster()
    )
    assert 0 < np.count_nonzero(sample_weight_fn(suspicion) < 1) <= 2 * 0.008 * 600


@pytest.mark.parametrize("trim", [0.5, 0.9, 0.999])
def test_where_most_are_in_doubt_somebody_counts(rng, trim):
    images = rng.random((150, 8, 8, 1), np.float32)
    _, sample_weight_fn = sample_weights.make_sample_weighting(
        images, np.arange(150), make_recipe(trim=trim), 0, Cluster()
    )
    weights = sample_weight_fn(np.arange(150))
    assert 0 <= weights.min() < weights.max() <= 1


def test_processes_that_share_the_work_agree_with_one_that_does_it_all(rng, monkeypatch):
    compare_with_some(monkeypatch)
    images, suspicion = bars(rng)

    class Half:
        def __init__(self, part):
            self.local_slice, self.all_reduce_sum = (lambda n: part), (lambda array: array)

    def both(cluster):
        initial_outlier_scores, sample_weight_fn = sample_weights.make_sample_weighting(
            images, np.arange(600), make_recipe(), 0, cluster
        )
        return np.stack([initial_outlier_scores, sample_weight_fn(suspicion)])

    parts = [both(Half(slice(0, 350))), both(Half(slice(350, 600)))]
    np.testing.assert_allclose(sum(parts), both(Cluster()), rtol=1e-5)


def test_nobody_is_suspected_where_nothing_is_trimmed(rng):
    images, _ = bars(rng)
    for chosen in (make_recipe(trim=0), make_recipe("shapes"), make_recipe("tutorial")):
        found = sample_weights.make_sample_weighting(images, np.arange(600), chosen, 0, Cluster())
        assert found == (None, None)

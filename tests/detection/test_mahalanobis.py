import numpy as np
import pytest
from scipy.spatial.distance import cdist
from sklearn.metrics import roc_auc_score

from pyimagesearch.detection import mahalanobis as detection_mahalanobis


@pytest.fixture
def usual(rng):
    return rng.standard_normal((500, 3)) @ [[1, 0, 0], [2, 3, 0], [0, 1, 0.1]] + [3, 0, -1]


@pytest.fixture
def suspects(rng, usual):
    """Some that vary more than the usual in any direction, and lie to one side."""
    return usual[:80] * [2, 3, 4] + [1, 5, 0]


def mahalanobis(points, sample):
    """By SciPy: squared distances of points from a sample's mean, by its covariance."""
    inverse = np.linalg.inv(np.cov(sample.T, bias=True))
    return cdist(points, sample.mean(axis=0)[np.newaxis], "mahalanobis", VI=inverse)[:, 0] ** 2


def test_distance_without_contrast_is_that_of_mahalanobis(usual, suspects):
    found = detection_mahalanobis.squared_distance(
        usual, **detection_mahalanobis.relative_mahalanobis(usual, suspects, 0)
    )
    np.testing.assert_allclose(found, mahalanobis(usual, usual), rtol=1e-3)


def test_contrasted_distance_is_the_difference_of_two_but_for_a_constant(usual, suspects):
    points = np.concatenate([usual, suspects])
    found = detection_mahalanobis.squared_distance(
        points, **detection_mahalanobis.relative_mahalanobis(usual, suspects, 0.5)
    )
    difference = mahalanobis(points, usual) - 0.5 * mahalanobis(points, suspects)
    np.testing.assert_allclose(found - found[0], difference - difference[0], rtol=1e-3, atol=1e-2)


def test_odd_in_the_way_opposite_to_a_crowd_of_suspects_is_odd_too(rng, usual):
    """A crowd that hardly varies would take the centre as far away to the other side as it is."""
    away = 20 * usual.std(axis=0)
    crowd = usual.mean(axis=0) + away + rng.standard_normal((80, 3)) / 100
    opposite = [usual.mean(axis=0) - away]
    fitted = detection_mahalanobis.relative_mahalanobis(usual, crowd, 0.5)
    assert (
        detection_mahalanobis.squared_distance(opposite, **fitted)[0]
        > detection_mahalanobis.squared_distance(usual, **fitted).numpy().max()
    )


def test_distance_of_gaussian_vectors_is_nearly_that_of_mahalanobis(rng):
    vectors = rng.standard_normal((4000, 3)) * [1, 5, 0.2] + [3, 0, -1]
    found = detection_mahalanobis.squared_distance(
        vectors, **detection_mahalanobis.fit_robust_mahalanobis(vectors)
    ).numpy()
    wanted = (((vectors - [3, 0, -1]) / [1, 5, 0.2]) ** 2).sum(axis=1)
    # Of what is left without the suspects, the variance is a little less; and none of these is
    # exactly as likely on one side as on the other.
    assert 1 < np.median(found / wanted) < 1.6
    assert np.corrcoef(found, wanted)[0, 1] > 0.97


def test_outliers_that_have_a_direction_in_common_stand_out_better_by_contrast(rng, monkeypatch):
    vectors = rng.standard_normal((2000, 16))
    labels = np.arange(2000) < 200
    vectors[labels, 0] += rng.normal(3, 2, 200)

    def auroc():
        return roc_auc_score(
            labels,
            detection_mahalanobis.squared_distance(
                vectors, **detection_mahalanobis.fit_robust_mahalanobis(vectors)
            ),
        )

    found = auroc()
    monkeypatch.setattr(
        detection_mahalanobis, "CONTRASTS", (0.0,) * len(detection_mahalanobis.CONTRASTS)
    )
    assert found > auroc() + 0.03


def test_some_far_outliers_hardly_change_what_is_usual(rng):
    vectors = rng.standard_normal((1000, 4)) * [1, 5, 0.2, 1]
    clean = detection_mahalanobis.fit_robust_mahalanobis(vectors)
    spoilt = detection_mahalanobis.fit_robust_mahalanobis(
        np.concatenate([vectors, rng.standard_normal((50, 4)) * 100])
    )
    away = np.abs(spoilt["mean"] - clean["mean"]) / [1, 5, 0.2, 1]
    assert away.max() < 1
    np.testing.assert_allclose(np.diag(spoilt["precision"]), np.diag(clean["precision"]), rtol=0.5)


def test_of_two_crowds_that_is_suspect_which_one_knows_to_be(rng):
    """One on either side; the one on the left has the larger last numbers."""
    vectors = rng.standard_normal((1000, 2)) / 3
    vectors[:200, 0] += 10
    vectors[200:400] += [-10, 1]
    right, left = vectors[:200].mean(axis=0), vectors[200:400].mean(axis=0)
    unaided = detection_mahalanobis.squared_distance(
        [right, left], **detection_mahalanobis.fit_robust_mahalanobis(vectors)
    ).numpy()
    assert unaided[0] < unaided[1]
    known = detection_mahalanobis.fit_robust_mahalanobis(vectors, np.arange(1000) < 200)
    told = detection_mahalanobis.squared_distance([right, left], **known).numpy()
    assert told[0] > told[1]


@pytest.mark.parametrize("n", [1, 2, 5, 8])
def test_few_vectors_give_finite_distances(rng, n):
    vectors = rng.standard_normal((n, 6))
    assert np.isfinite(
        detection_mahalanobis.squared_distance(
            vectors, **detection_mahalanobis.fit_robust_mahalanobis(vectors)
        )
    ).all()


def test_all_equal_vectors_are_equally_usual():
    vectors = np.full((20, 3), 7.0)
    np.testing.assert_array_equal(
        detection_mahalanobis.squared_distance(
            vectors, **detection_mahalanobis.fit_robust_mahalanobis(vectors)
        ),
        0,
    )

import numpy as np
import pytest

from pyimagesearch.detection import gaussians

N, PLACES, CHANNELS = 14, 2, 3


@pytest.fixture
def problem(rng):
    """Values that depend on a regressor, at places of their own means, and one image left out."""
    regressors = np.concatenate([np.ones((N, 1)), rng.normal(size=(N, 1))], 1).astype("float32")
    values = rng.normal(size=(N, PLACES, CHANNELS)).astype("float32")
    values += regressors[:, 1, None, None] * [1, -2, 0.5] + np.array([[[3.0], [-5.0]]])
    weights = np.ones((N, PLACES), "float32")
    weights[9, 1] = 0
    return values.astype("float32"), regressors, weights


def fit_by_hand(values, regressors, ridge, n):
    """Least squares and a covariance, by NumPy; the sum of squares is divided by `n - 1`."""
    coefficients = np.linalg.lstsq(regressors, values, rcond=None)[0]
    residuals = values - regressors @ coefficients
    return coefficients, residuals.T @ residuals / (n - 1) + ridge


def test_a_training_image_is_judged_as_if_all_were_fitted_to_the_others(problem):
    values, regressors, weights = problem
    sums = gaussians.Sums(PLACES, CHANNELS, 2)
    for part in (slice(0, 5), slice(5, N)):  # in batches
        sums.add(values[part], regressors[part], weights[part])
    ridge = 0.1 * np.eye(CHANNELS)
    coefficients, n = sums.regress(2), sums.arrays[0]
    squares = sums.residual_squares(coefficients)
    fitted, _ = gaussians.fit(squares, n, 0.0, ridge, 0.0)
    residuals = values - np.einsum("nk,pck->npc", regressors, coefficients)
    for place, counted in ((0, np.arange(N)), (1, np.delete(np.arange(N), 9))):
        gram = regressors[counted].T @ regressors[counted]
        leverage = np.einsum("nk,kl,nl->n", regressors, np.linalg.inv(gram), regressors)
        found = gaussians.distances(
            residuals.astype("float32"), fitted, leverage.astype("float32"), weights
        ).numpy()[:, place]
        for image in range(N):
            others = counted[counted != image]
            a, covariance = fit_by_hand(
                values[others, place], regressors[others], ridge, len(counted)
            )
            gap = values[image, place] - regressors[image] @ a
            assert found[image] == pytest.approx(gap @ np.linalg.solve(covariance, gap), rel=2e-3)


def test_the_code_is_not_used_where_it_is_not_asked_for(problem):
    values, regressors, weights = problem
    sums = gaussians.Sums(PLACES, CHANNELS, 2)
    sums.add(values, regressors, weights)
    coefficients, n = sums.regress(1), sums.arrays[0]
    squares = sums.residual_squares(coefficients)
    assert n.tolist() == [N, N - 1]
    assert not coefficients[..., 1].any()
    kept = np.delete(values[:, 1], 9, axis=0)
    np.testing.assert_allclose(coefficients[1, :, 0], kept.mean(0), rtol=1e-4)
    np.testing.assert_allclose(squares[1], np.cov(kept.T) * (N - 2), rtol=1e-3, atol=1e-3)


def test_total_covariance_is_that_of_all_counted_patches(problem):
    values, regressors, weights = problem
    sums = gaussians.Sums(PLACES, CHANNELS, 2)
    sums.add(values, regressors, weights)
    patches = values[weights > 0]
    expected = np.cov(patches.T, bias=True)
    np.testing.assert_allclose(sums.total_covariance(), expected, rtol=1e-4, atol=1e-4)


def test_shares_of_the_target_add_up_and_the_image_counts_less(rng):
    squares = np.array([[[18.0]]])
    fitted, log_determinant = gaussians.fit(
        squares, np.array([10.0]), np.array([[[6.0]]]), np.array([[1.0]]), 0.25
    )
    variance = 0.75 * 18 / 9 + 0.25 * 6 + 1
    assert fitted.whitening.item() == pytest.approx(variance**-0.5)
    assert log_determinant.item() == pytest.approx(np.log(variance))
    assert fitted.influence.item() == pytest.approx(0.75 / 9)
    assert fitted.pooled_influence.item() == pytest.approx(0.25 / 10)


def test_likelihood_is_that_of_each_image_under_the_others(problem):
    values, _, _ = problem
    ones = np.ones((N, 1), "float32")
    sums = gaussians.Sums(PLACES, CHANNELS, 1)
    weights = np.ones((N, PLACES), "float32")
    sums.add(values, ones, weights)
    coefficients, n = sums.regress(1), sums.arrays[0]
    squares = sums.residual_squares(coefficients)
    ridge = 0.1 * np.eye(CHANNELS)
    fitted = gaussians.fit(squares, n, 0.0, ridge, 0.0)
    residuals = (values - coefficients[..., 0]).astype("float32")
    leverage = np.full(N, 1 / N, "float32")
    found = gaussians.log_likelihood(residuals, *fitted, leverage, weights)
    expected = 0
    for image in range(N):
        for place in range(PLACES):
            others = np.delete(values[:, place], image, axis=0)
            _, covariance = fit_by_hand(others, ones[1:], ridge, N)
            gap = values[image, place] - others.mean(0)
            expected -= 0.5 * (gap @ np.linalg.solve(covariance, gap))
            expected -= 0.5 * np.linalg.slogdet(covariance)[1]
    assert found == pytest.approx(expected, rel=1e-3)


def test_image_is_left_out_of_what_all_places_have_in_common(rng):
    """Six images of five places: each is a good part of the common covariance."""
    n, places, channels, share = 6, 5, 4, 0.9
    values = rng.normal(size=(n, places, channels)).astype("float32")
    values[2] += [0, 0, 5, 0]  # unlike the others everywhere
    ridge = 0.1 * np.eye(channels)

    def fitted_to(images):
        """Means, and covariances with a divisor that does not depend on who is left out."""
        means = values[images].mean(0)
        squares = np.einsum("npc,npd->pcd", values[images] - means, values[images] - means)
        return means, squares, squares.sum(0, keepdims=True) / (n * places)

    means, squares, target = fitted_to(np.arange(n))
    fitted, _ = gaussians.fit(squares, np.full(places, float(n)), target, ridge, share)
    leverage, weights = np.full(n, 1 / n, "float32"), np.ones((n, places), "float32")
    found = gaussians.distances(
        (values - means).astype("float32"), fitted, leverage, weights
    ).numpy()
    blind = gaussians.distances(
        (values - means).astype("float32"), fitted, leverage, 0 * weights
    ).numpy()
    for image in range(n):
        others, squares, target = fitted_to(np.delete(np.arange(n), image))
        covariances = (1 - share) * squares / (n - 1) + share * target + ridge
        gaps = values[image] - others
        exact = np.einsum("pc,pc->p", gaps, np.linalg.solve(covariances, gaps[..., None])[..., 0])
        if image == 2:  # of the series, only the first term is known
            assert 0.5 * exact.sum() < found[image].sum() < exact.sum()
            assert found[image].sum() > 3 * blind[image].sum()
        else:
            assert found[image].sum() == pytest.approx(exact.sum(), rel=0.3)


def test_residual_of_an_image_that_decides_the_regression_alone_grows_by_a_finite_factor():
    most = 1 / gaussians.MIN_REMAINDER
    found = gaussians.leave_out(np.float32([[0.5], [1.0], [1.0]]), np.float32([[1], [1], [0]]))
    np.testing.assert_allclose(found, [[2], [most], [1]], rtol=1e-3)

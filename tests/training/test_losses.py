import numpy as np

from pyimagesearch.training import losses


def test_losses_agree_with_numpy(rng):
    targets, outputs = rng.random((2, 3, 4, 5, 2), np.float32)
    np.testing.assert_allclose(
        losses.LOSSES["mse"](targets, outputs),
        np.mean((targets - outputs) ** 2, (1, 2, 3)),
        rtol=1e-5,
    )
    entropy = -(targets * np.log(outputs) + (1 - targets) * np.log(1 - outputs))
    np.testing.assert_allclose(
        losses.LOSSES["bce"](targets, outputs), entropy.mean((1, 2, 3)), rtol=1e-4
    )


def test_trimmed_mean_leaves_out_the_largest_losses():
    errors = np.array([5.0, 1.0, 9.0, 3.0], np.float32)
    assert losses.trimmed_mean(errors, 0) == 4.5
    assert losses.trimmed_mean(errors, 0.25) == 3
    assert losses.trimmed_mean(errors, 0.49) == 3
    assert losses.trimmed_mean(errors, 0.99) == 1

import numpy as np

from pyimagesearch.convautoencoder import ConvAutoencoder
from pyimagesearch.detection import fitting
from pyimagesearch.detection.scores import SCORES
from pyimagesearch.models.architectures import Autoencoder


def test_references_with_weights_are_those_of_repeated_images(rng):
    network = ConvAutoencoder.build(8, 8, 1, filters=(4,), latentDim=2, seed=0)[2]
    images, counts = rng.random((30, 8, 8, 1), np.float32), np.arange(30) % 4 + 1
    order = np.arange(1, 30, 2)
    repeated = np.repeat(images[order], counts[order], axis=0)
    found = fitting.fit_references(network, images, {"local": order}, 8, counts)["local"]
    everything = {"local": np.arange(len(repeated))}
    expected = fitting.fit_references(network, repeated, everything)["local"]
    np.testing.assert_allclose(found["mean"], expected["mean"], rtol=1e-3, atol=1e-6)


def test_all_references_in_one_pass_are_those_of_each_score_by_itself(rng, monkeypatch):
    """Though some are of all images and some of every third; the network is compiled once."""
    compiled, forward = [], Autoencoder.forward

    def counted(*arguments):
        compiled.append(arguments)
        return forward(*arguments)

    network = ConvAutoencoder.build(8, 8, 1, filters=(4,), latentDim=2, seed=0)[2]
    images = rng.random((70, 8, 8, 1), np.float32)
    orders = {
        score: np.arange(1, 70, 3 if of.fit_on_inliers else 1) for score, of in SCORES.items()
    }
    monkeypatch.setattr(Autoencoder, "forward", counted)
    together = fitting.fit_references(network, images, orders, batch_size=8)
    assert len(compiled) == 1
    assert list(together) == list(SCORES)
    for score, order in orders.items():
        chosen = np.zeros_like(images[:1]).repeat(70, 0)
        chosen[order] = images[order]
        alone = fitting.fit_references(network, chosen, {score: order}, batch_size=8)[score]
        assert alone.keys() == together[score].keys()
        for name, array in alone.items():
            # Batches of other images are summed up in another order.
            np.testing.assert_allclose(together[score][name], array, rtol=1e-3, atol=1e-6)

import numpy as np

from pyimagesearch.convautoencoder import ConvAutoencoder
from pyimagesearch.detection import fitting
from pyimagesearch.detection.scores import SCORES
from pyimagesearch.models.architectures import Autoencoder


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
            np.testing.assert_array_equal(together[score][name], array)

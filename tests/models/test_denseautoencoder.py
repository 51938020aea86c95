import numpy as np
import pytest

from pyimagesearch import InputError
from pyimagesearch.models.denseautoencoder import DenseAutoencoder


def test_build_has_as_many_parameters_as_counted_on_paper():
    encoder, decoder, autoencoder = DenseAutoencoder.build(28, 28, 1)
    half = 784 * 128 + 128 * 64 + 64 * 16
    assert encoder.count_params() == half + 128 + 64 + 16
    assert decoder.count_params() == half + 64 + 128 + 784
    assert autoencoder.count_params() == encoder.count_params() + decoder.count_params()


def test_build_with_batch_norm_normalizes_hidden_layers_alone():
    encoder, decoder, _ = DenseAutoencoder.build(4, 4, 1, units=(8,), latentDim=2, batchNorm=True)
    assert encoder.count_params() == (16 * 8 + 8) + 4 * 8 + (8 * 2 + 2)
    assert decoder.count_params() == (2 * 8 + 8) + 4 * 8 + (8 * 16 + 16)


def test_build_without_hidden_layers_is_from_image_to_code_and_back():
    autoencoder = DenseAutoencoder.build(3, 2, 1, units=(), latentDim=1)[2]
    assert autoencoder.count_params() == (6 + 1) + (6 + 6)
    assert autoencoder(np.zeros((5, 2, 3, 1), np.float32)).shape == (5, 2, 3, 1)


@pytest.mark.parametrize("wrong", [{"width": 0}, {"units": (8, 0)}, {"latentDim": None}])
def test_build_with_a_wrong_size_is_refused(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        DenseAutoencoder.build(**{"width": 8, "height": 8, "depth": 1, **wrong})

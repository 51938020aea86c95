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


def test_build_computes_as_in_numpy_with_a_linear_code_and_other_weights_in_each_layer():
    rng = np.random.default_rng(0)
    encoder, decoder, autoencoder = DenseAutoencoder.build(3, 2, 2, (4, 4, 3), 2, seed=0)
    kernels = [w for w in autoencoder.get_weights() if w.ndim == 2]
    assert not np.array_equal(kernels[1], kernels[6])  # both 4x4
    autoencoder.set_weights([rng.normal(size=w.shape) for w in autoencoder.get_weights()])
    images = rng.random((5, 2, 3, 2), np.float32)
    x = images.reshape(5, 12).astype(float)
    for part, last in ((encoder, lambda x: x), (decoder, lambda x: 1 / (1 + np.exp(-x)))):
        *hidden, (kernel, bias) = zip(*[iter(part.get_weights())] * 2, strict=True)
        for hidden_kernel, hidden_bias in hidden:
            x = np.maximum(x @ hidden_kernel + hidden_bias, 0)
        x = last(x @ kernel + bias)
        if part is encoder:
            assert x.min() < 0
            np.testing.assert_allclose(encoder(images), x, rtol=1e-4)
    np.testing.assert_allclose(autoencoder(images), x.reshape(5, 2, 3, 2), rtol=1e-4, atol=1e-6)


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

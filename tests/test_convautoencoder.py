import keras
import numpy as np
import pytest

from pyimagesearch import InputError
from pyimagesearch.convautoencoder import ConvAutoencoder


@pytest.mark.parametrize(
    ("height", "width", "depth"),
    [(1, 1, 1), (1, 9, 3), (2, 3, 1), (8, 8, 3), (28, 28, 1), (33, 50, 3)],
)
def test_build_for_any_size_gives_output_of_the_input_shape(height, width, depth):
    encoder, decoder, autoencoder = ConvAutoencoder.build(width, height, depth, seed=0)
    images = np.zeros((2, height, width, depth), "float32")
    assert encoder(images).shape == (2, 16)
    assert decoder(encoder(images)).shape == images.shape
    assert autoencoder(images).shape == images.shape
    assert autoencoder.output_shape == autoencoder.input_shape


def test_build_has_as_many_parameters_as_the_tutorial_counted_on_paper():
    encoder, decoder, _ = ConvAutoencoder.build(28, 28, 1)
    convolutions = (9 * 1 * 32 + 32) + (9 * 32 * 64 + 64)
    normalizations = 4 * 32 + 4 * 64
    assert encoder.count_params() == convolutions + normalizations + (7 * 7 * 64 * 16 + 16)
    code_to_volume = 16 * 7 * 7 * 64 + 7 * 7 * 64
    convolutions = (9 * 64 * 64 + 64) + (9 * 64 * 32 + 32) + (9 * 32 * 1 + 1)
    assert decoder.count_params() == code_to_volume + convolutions + normalizations


def test_build_has_the_layers_of_the_tutorial_in_its_order():
    """CONV => RELU => BN, the slope of which is 0.2; without batch normalization, without it."""
    encoder, decoder, _ = ConvAutoencoder.build(5, 6, 1, (4, 3), 2)
    bare, *_ = ConvAutoencoder.build(5, 6, 1, (4, 3), 2, batchNorm=False)

    def names(model):
        return [type(layer).__name__ for layer in model.layers[1:]]

    assert names(encoder) == [
        *["Conv2D", "LeakyReLU", "BatchNormalization"] * 2,
        *["Flatten", "Dense"],
    ]
    assert names(bare) == [*["Conv2D", "LeakyReLU"] * 2, "Flatten", "Dense"]
    assert names(decoder) == [
        *["Dense", "Reshape"],
        *["Conv2DTranspose", "Cropping2D", "LeakyReLU", "BatchNormalization"] * 2,
        *["Conv2DTranspose", "Activation"],
    ]
    layers = [*encoder.layers, *decoder.layers]
    activations = [x for x in layers if isinstance(x, keras.layers.LeakyReLU)]
    assert [x.negative_slope for x in activations] == [0.2] * 4
    assert decoder.layers[-1].activation is keras.activations.sigmoid
    assert encoder.layers[-1].activation is keras.activations.linear


def test_build_for_an_odd_size_crops_and_does_not_resample(rng):
    """The decoder of 5x5 images works on 6x6 ones and drops the last row and column."""
    _, odd, _ = ConvAutoencoder.build(5, 5, 1, filters=(4,), batchNorm=False, seed=0)
    _, even, _ = ConvAutoencoder.build(6, 6, 1, filters=(4,), batchNorm=False, seed=0)
    even.set_weights(odd.get_weights())
    code = rng.normal(size=(1, 16)).astype("float32")
    # The last 3x3 convolution sees the crop's edge, one pixel in.
    np.testing.assert_allclose(odd(code)[0, :4, :4], even(code)[0, :4, :4], atol=1e-6)


def first_weights(**settings):
    return ConvAutoencoder.build(8, 8, 1, filters=(4, 4), **settings)[2].get_weights()


def test_build_with_the_same_seed_gives_the_same_weights():
    for one, other in zip(first_weights(seed=1), first_weights(seed=1), strict=True):
        np.testing.assert_array_equal(one, other)
    assert not np.array_equal(first_weights(seed=1)[0], first_weights(seed=2)[0])


def test_build_without_a_seed_follows_the_global_one():
    keras.utils.set_random_seed(3)
    one = first_weights()[0]
    keras.utils.set_random_seed(3)
    np.testing.assert_array_equal(one, first_weights()[0])
    assert not np.array_equal(one, first_weights()[0])


def test_build_gives_layers_of_equal_shape_different_weights():
    _, decoder, _ = ConvAutoencoder.build(8, 8, 4, filters=(4, 4), batchNorm=False, seed=0)
    kernels = [w for w in decoder.get_weights() if w.ndim == 4]
    assert not np.array_equal(kernels[0], kernels[1])


@pytest.mark.parametrize(
    "wrong",
    [
        {"width": 0},
        {"height": -1},
        {"depth": 1.5},
        {"latentDim": 0},
        {"filters": (8, 0)},
        {"filters": ()},
    ],
)
def test_build_with_a_wrong_size_is_refused(wrong):
    settings = {"width": 8, "height": 8, "depth": 1, **wrong}
    with pytest.raises(InputError, match=next(iter(wrong))):
        ConvAutoencoder.build(**settings)

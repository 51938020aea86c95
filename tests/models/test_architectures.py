import keras
import numpy as np
import pytest

from pyimagesearch import InputError
from pyimagesearch.models import architectures
from pyimagesearch.models.architectures import Autoencoder, add_normalization
from pyimagesearch.models.normalization import Normalization, fit_normalization
from pyimagesearch.training.recipes import ARCHITECTURES, make_recipe


def units(autoencoder):
    """The number of units of each layer that has weights."""
    return [
        int(np.prod(layer.output.shape[1:]))
        for part in autoencoder.layers[1:]
        for layer in part.layers
        if layer.weights
    ]


@pytest.mark.slow
@pytest.mark.parametrize("arch", ARCHITECTURES)
@pytest.mark.parametrize("shape", [(1, 1, 1), (28, 28, 1), (9, 14, 3)])
@pytest.mark.parametrize("batch_norm", [False, True])
def test_build_for_any_size_keeps_the_shape(arch, shape, batch_norm):
    autoencoder = architectures.build(make_recipe(arch=arch, batch_norm=batch_norm), shape, seed=0)
    images = np.zeros((2, *shape), np.float32)
    assert autoencoder(images).shape == images.shape
    assert any("batch_norm" in w.path for w in autoencoder.weights) == batch_norm


def test_architectures_have_a_builder_and_settings_each():
    assert set(architectures.BUILDERS) == set(ARCHITECTURES)


def test_build_of_published_architectures_has_their_layer_widths():
    def widths(arch):
        return units(architectures.build(make_recipe(arch=arch, batch_norm=False), (28, 28, 1)))

    assert widths("dense") == [128, 64, 16, 64, 128, 784]
    assert widths("dense-deep") == [512, 256, 128, 16, 128, 256, 512, 784]
    assert widths("cnn") == [14 * 14 * 16, 7 * 7 * 32, 14 * 14 * 32, 28 * 28 * 16, 28 * 28]


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_build_with_the_same_seed_gives_the_same_weights(arch):
    one, same, other = (
        architectures.build(make_recipe(arch=arch), (8, 8, 1), seed).get_weights()
        for seed in (1, 1, 2)
    )
    for a, b in zip(one, same, strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(one[0], other[0])


@pytest.mark.parametrize("normalized", [False, True])
def test_build_gives_every_batch_normalization_the_momentum_of_the_recipe(normalized):
    normalization = Normalization(np.full((8, 8, 1), 0.5), 0.25) if normalized else None
    recipe = make_recipe("robust", filters=(4, 4), batch_norm=True)  # momentum 0.9; Keras's: 0.99
    network = Autoencoder(architectures.build(recipe, (8, 8, 1), 0, normalization))
    layers = [*network.encoder.layers, *network.decoder.layers]
    momenta = [x.momentum for x in layers if isinstance(x, keras.layers.BatchNormalization)]
    assert momenta == [0.9] * 4


def pass_through():
    """An encoder that hands its image of one pixel on as a code, and a decoder that hands it back."""
    image = keras.Input((1, 1, 1))
    code = keras.Input((1,))
    x = keras.layers.Reshape((1, 1, 1))(code)
    x = keras.layers.Activation("sigmoid")(x)
    return keras.Model(image, keras.layers.Flatten()(image)), keras.Model(code, x)


@pytest.mark.parametrize(
    ("mean", "pixel", "expected"),
    [
        (0.2, 0.2, 0.2),  # code 0: the mean image
        (0.5, 0.75, 1 / (1 + np.exp(-1))),  # code 1, from which the sigmoid of 0 + 1
        (0.2, 0.45, 0.25 * np.e / (1 + 0.25 * np.e)),  # odds of 0.2 to 0.8, times e
    ],
)
def test_add_normalization_standardizes_before_and_undoes_it_before_the_sigmoid(
    mean, pixel, expected
):
    normalization = Normalization(np.full((1, 1, 1), mean), deviation=0.25)
    composed = add_normalization(*pass_through(), normalization)
    pixels = np.full((1, 1, 1, 1), pixel, np.float32)
    code = composed.get_layer("encoder")(pixels).numpy().item()
    assert code == pytest.approx((pixel - mean) / 0.25, abs=1e-4)
    assert composed(pixels).numpy().item() == pytest.approx(expected, abs=1e-4)


def test_add_normalization_with_contrast_reconstructs_the_preprocessed_image():
    """Standardizing and undoing it are linear there, and cancel out."""
    normalization = Normalization(np.full((1, 1, 1), 0.3), deviation=0.25, norm=1.0)
    network = Autoencoder(add_normalization(*pass_through(), normalization))
    pixels = np.full((1, 1, 1, 1), 0.5, np.float32)
    # Of one pixel the norm is its value: half of 0.5, and half of 1.
    preprocessed, reconstructions, _ = network.forward(pixels)
    assert np.asarray(preprocessed).item() == pytest.approx(0.75)
    assert np.asarray(reconstructions).item() == pytest.approx(0.75, abs=1e-4)


def test_add_normalization_shares_the_layers_of_the_bare_networks():
    encoder, decoder, bare = architectures.BUILDERS["conv"].build(8, 8, 1, filters=(4,), seed=0)
    normalization = Normalization(np.full((8, 8, 1), 0.5), deviation=0.25)
    network = Autoencoder(add_normalization(encoder, decoder, normalization))
    assert network.encoder.layers[2:] == encoder.layers[1:]
    assert network.decoder.layers[1:-2] == decoder.layers[1:-1]
    names = [layer.name for layer in (network.encoder.layers[1], *network.decoder.layers[-2:])]
    assert names == ["standardised", "around_the_mean", "pixels"]
    bare.set_weights([np.full_like(weights, 0.125) for weights in bare.get_weights()])
    assert {x for weights in network.model.get_weights() for x in np.unique(weights)} == {0.125}


@pytest.mark.parametrize(
    ("arch", "normalize_contrast"),
    [("conv", True), ("conv", False), ("cnn", True), ("dense", True), ("dense-deep", False)],
)
def test_autoencoder_of_every_architecture_reconstructs_what_it_preprocesses(
    rng, arch, normalize_contrast
):
    images = rng.random((20, 12, 9, 3), np.float32)
    recipe = make_recipe("shapes", arch, filters=(4,), normalize_contrast=normalize_contrast)
    normalization = fit_normalization(images, normalize_contrast)
    model = architectures.build(recipe, images.shape[1:], 0, normalization)
    network = Autoencoder(model)
    assert network.normalizes_contrast == normalize_contrast
    preprocessed, reconstructions, codes = network.forward(images)
    assert (np.asarray(preprocessed) == images).all() != normalize_contrast
    np.testing.assert_array_equal(reconstructions, model(images))
    assert codes is None


def test_forward_with_codes_gives_those_of_the_preprocessed_images(rng):
    images = rng.random((3, 8, 6, 1), np.float32)
    recipe, contrast = make_recipe("shapes", filters=(4,)), fit_normalization(images, True)
    for normalization in (None, contrast):
        network = Autoencoder(architectures.build(recipe, (8, 6, 1), 0, normalization))
        preprocessed, reconstructions, codes = network.forward(images, with_codes=True)
        np.testing.assert_array_equal(codes, network.encoder(preprocessed))
        np.testing.assert_array_equal(reconstructions, network.model(images))
        assert codes.shape == (3, network.code_length)
        assert np.array_equal(codes, network.encoder(images)) == (normalization is None)


def test_forward_with_codes_of_a_network_without_a_dense_code_is_refused():
    network = Autoencoder(architectures.build(make_recipe(arch="cnn"), (8, 8, 1)))
    assert network.code_length is None
    with pytest.raises(InputError, match="expected a latent code that is a row of numbers"):
        network.forward(np.zeros((1, 8, 8, 1), np.float32), with_codes=True)


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_clone_with_bf16_computes_nearly_the_same_and_has_float32_weights(arch, rng):
    network = architectures.build(make_recipe("robust", arch), (28, 28, 1), seed=0)
    # Others than those that its layers would be made with again.
    network.set_weights([1.1 * weights for weights in network.get_weights()])
    clone = architectures.clone_with_precision(network, "bf16")
    images = rng.random((4, 28, 28, 1), np.float32)
    expected, computed = network(images).numpy(), clone(images).numpy()
    assert computed.dtype == np.float32
    assert 0 < np.abs(expected - computed).max() < 0.03
    assert {weights.dtype for weights in clone.get_weights()} == {np.dtype("float32")}
    same = architectures.clone_with_precision(network)(images).numpy()
    np.testing.assert_array_equal(same, expected)


def test_clone_with_bf16_of_a_network_with_contrast_sees_images_in_float32(rng):
    images = rng.random((4, 6, 5, 2), np.float32)
    recipe, contrast = make_recipe("shapes", filters=(4,)), fit_normalization(images, True)
    network = architectures.build(recipe, (6, 5, 2), 0, contrast)
    clone = architectures.clone_with_precision(network, "bf16")
    assert clone.get_layer("encoder").layers[-1].compute_dtype == "bfloat16"
    found, expected = (Autoencoder(model).forward(images, True) for model in (clone, network))
    np.testing.assert_allclose(found[0], expected[0], atol=1e-6)
    np.testing.assert_allclose(found[1] - found[0], expected[1] - expected[0], atol=0.03)
    assert {np.asarray(part).dtype for part in found} == {np.dtype("float32")}

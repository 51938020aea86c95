import numpy as np
import pytest

from pyimagesearch import InputError
from pyimagesearch.models import architectures
from pyimagesearch.models.denseautoencoder import DenseAutoencoder
from pyimagesearch.training.recipes import ARCHITECTURES, RECIPES, make_recipe


def sizes(autoencoder):
    """What comes out of each layer that has weights, for one image, as numbers of units."""
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
def test_every_architecture_takes_any_size(arch, shape, batch_norm):
    autoencoder = architectures.build(make_recipe(arch=arch, batch_norm=batch_norm), shape, seed=0)
    images = np.zeros((2, *shape), np.float32)
    assert autoencoder(images).shape == images.shape
    assert any("batch_norm" in w.path for w in autoencoder.weights) == batch_norm


def test_every_architecture_has_a_builder_and_settings():
    assert set(architectures.BUILDERS) == set(ARCHITECTURES)


def test_layers_are_as_wide_as_their_systems_were():
    def layers(arch):
        return sizes(architectures.build(make_recipe(arch=arch, batch_norm=False), (28, 28, 1)))

    assert layers("dense") == [128, 64, 16, 64, 128, 784]
    assert layers("dense-deep") == [512, 256, 128, 16, 128, 256, 512, 784]
    assert layers("cnn") == [14 * 14 * 16, 7 * 7 * 32, 14 * 14 * 32, 28 * 28 * 16, 28 * 28]


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_same_seed_gives_the_same_weights(arch):
    one, same, other = (
        architectures.build(make_recipe(arch=arch), (8, 8, 1), seed).get_weights()
        for seed in (1, 1, 2)
    )
    for a, b in zip(one, same, strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(one[0], other[0])


@pytest.mark.parametrize("wrong", [{"width": 0}, {"units": (8, 0)}, {"latentDim": None}])
def test_dense_network_of_a_wrong_size_says_so(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        DenseAutoencoder.build(**{"width": 8, "height": 8, "depth": 1, **wrong})


def test_recipe_is_changed_by_the_architecture_and_last_by_what_is_given():
    assert make_recipe() == RECIPES["robust"]
    assert make_recipe("tutorial", "dense").filters == ARCHITECTURES["dense"]["filters"]
    assert make_recipe("tutorial", "dense").epochs == RECIPES["tutorial"].epochs
    assert make_recipe("robust", "dense", filters=(5,), epochs=None).filters == (5,)
    assert make_recipe("robust", "dense", epochs=None).epochs == RECIPES["robust"].epochs


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_copy_in_bf16_gives_nearly_the_same_and_has_float32_weights(arch, rng):
    network = architectures.build(make_recipe("robust", arch), (28, 28, 1), seed=0)
    copy = architectures.clone_with_precision(network, "bf16")
    images = rng.random((4, 28, 28, 1), np.float32)
    wanted, given = network(images).numpy(), copy(images).numpy()
    assert given.dtype == np.float32
    assert 0 < np.abs(wanted - given).max() < 0.03
    assert {weights.dtype for weights in copy.get_weights()} == {np.dtype("float32")}
    same = architectures.clone_with_precision(network)(images).numpy()
    np.testing.assert_array_equal(same, wanted)

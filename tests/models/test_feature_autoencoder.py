import keras
import numpy as np
import pytest

from pyimagesearch import InputError
from pyimagesearch.models import feature_autoencoder as features


@pytest.fixture(scope="module")
def model():
    return features.build((40, 64, 1), code_length=3, weights=False)


def test_small_images_are_enlarged_and_stages_lie_on_halved_grids(model):
    shapes = [tuple(output.shape[1:]) for output in model.outputs]
    assert features.network_size((40, 64)) == (96, 154)
    expected = [(12, 20, 24), (12, 20, 40), (6, 10, 112), (3, 5, 192)]
    assert shapes == [*expected, *expected, (1280,)]
    assert features.is_feature_autoencoder(model)
    assert not features.is_feature_autoencoder(keras.Sequential([keras.Input((4, 4, 1))]))


def test_reconstruction_is_linear_in_the_last_stage(model, rng):
    """The layers are where training puts its arrays: kernels of standardization, encoder, decoder."""
    images = rng.random((2, 40, 64, 1), np.float32)
    weights = {}
    for name in ("features_16", "encoder", "decoder_16"):
        layer = model.get_layer(name)
        weights[name] = [rng.normal(size=w.shape).astype("float32") for w in layer.weights]
        layer.set_weights(weights[name])
    raw = features.extractor(model)(images)
    outputs = features.Outputs.of(model, images)
    kernel, bias = weights["features_16"]
    np.testing.assert_allclose(
        outputs.features[2], np.asarray(raw[2]) @ kernel[0, 0] + bias, rtol=1e-3, atol=1e-3
    )
    code = np.reshape(outputs.features[3], (2, -1)) @ weights["encoder"][0] + weights["encoder"][1]
    decoded = code @ weights["decoder_16"][0] + weights["decoder_16"][1]
    np.testing.assert_allclose(
        np.reshape(outputs.reconstructions[2], (2, -1)), decoded, rtol=1e-3, atol=1e-2
    )
    np.testing.assert_array_equal(outputs.embedding, raw[4])


def test_finest_stage_is_the_mean_of_the_neighborhood_of_each_place(model, rng):
    images = rng.random((1, 40, 64, 1), np.float32)
    backbone = model.get_layer("backbone")
    enlarged = keras.ops.image.resize(np.repeat(images, 3, -1), (96, 154))
    fine = backbone(enlarged)[0].numpy()[0]  # (24, 39, 24)
    # Place (1, 2) averages 2 x 2 means of 3 x 3: rows 2 and 3, columns 4 and 5, one beyond each.
    means = [fine[y - 1 : y + 2, x - 1 : x + 2].mean((0, 1)) for y in (2, 3) for x in (4, 5)]
    found = features.extractor(model)(images)[0].numpy()[0, 1, 2]
    np.testing.assert_allclose(found, np.mean(means, 0), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("shape", "reason"),
    [
        ((64, 64, 4), "1 or 3 channels"),
        ((513, 64, 3), "at most 512 x 512"),
        ((17, 512, 3), "at most 28 times as long as wide"),
    ],
)
def test_images_that_it_can_not_take_are_refused(shape, reason):
    with pytest.raises(InputError, match=reason):
        features.build(shape, weights=False)


@pytest.mark.parametrize(
    ("changes", "shape"),
    [
        ({"backbone": "os.system"}, [64, 64, 3]),
        ({"latent_dim": 65}, [64, 64, 3]),
        ({"latent_dim": True}, [64, 64, 3]),
        ({}, [64, 64]),
        ({}, [64, 64.0, 3]),
        ({}, [64, 10**9, 3]),
        ({}, "64"),
    ],
)
def test_settings_that_training_would_not_have_written_are_refused(changes, shape):
    recipe = {"backbone": "efficientnet-lite0", "latent_dim": 8} | changes
    with pytest.raises(InputError, match="expected beside the model the backbone"):
        features.rebuild(recipe, shape)


def test_wide_stages_are_projected_to_few_channels():
    model = features.build((96, 96, 3), "ResNet50", weights=False)
    assert [output.shape[-1] for output in model.outputs[:4]] == list(features.MAX_CHANNELS)


def test_only_the_backbone_computes_in_half_precision(rng):
    model = features.build((64, 64, 3), weights=False, precision="bf16")
    assert model.get_layer("backbone").layers[-1].compute_dtype == "bfloat16"
    assert model.get_layer("encoder").compute_dtype == "float32"
    assert keras.config.dtype_policy().name == "float32"

from types import SimpleNamespace

import numpy as np
import pytest

from pyimagesearch import InputError
from pyimagesearch.models import architectures, rebuilding
from pyimagesearch.models.normalization import Normalization
from pyimagesearch.training.recipes import ARCHITECTURES, RECIPES, Recipe, make_recipe

RECIPE = {
    "arch": "conv",
    "filters": [4, 6],
    "latent_dim": 2,
    "batch_norm": False,
    "centred": True,
    "even_contrast": False,
}


def rebuild(image_shape=(9, 8, 1), max_bytes=2**20, **changes):
    return rebuilding.rebuild({**RECIPE, **changes}, [*image_shape], max_bytes, "a.json")


def layers_of(model):
    """Type and shape of every layer, the way an image goes."""
    parts = [layer for part in model.layers for layer in getattr(part, "layers", [part])]
    return [(type(layer), layer.output.shape) for layer in parts]


@pytest.mark.parametrize("name", [name for name in RECIPES if isinstance(RECIPES[name], Recipe)])
def test_rebuild_gives_the_network_that_training_builds(name):
    recipe = make_recipe(name)
    mean = np.full((9, 8, 1), 0.5)
    normalization = Normalization(mean, 0.2, 3.0 if recipe.normalize_contrast else None)
    built = architectures.build(recipe, (9, 8, 1), 0, normalization if recipe.center else None)
    stored = {**recipe.as_dict(), "filters": [*recipe.filters]}  # as JSON has it
    rebuilt = rebuilding.rebuild(stored, [9, 8, 1], 2**22, "a.json")
    assert layers_of(rebuilt) == layers_of(built)


def test_rebuild_of_an_older_recipe_without_normalization_gives_the_bare_network():
    older = {key: RECIPE[key] for key in ("arch", "filters", "latent_dim", "batch_norm")}
    model = rebuilding.rebuild(older, [9, 8, 1], 2**20, "a.json")
    assert "standardised" not in [layer.name for layer in model.get_layer("encoder").layers]


@pytest.mark.parametrize(("side", "shape"), [(2, (2, 2, 3)), (3, (3,))])
def test_rebuild_has_a_mean_of_each_pixel_or_of_many_pixels_for_each_channel(
    side, shape, monkeypatch
):
    monkeypatch.setattr(rebuilding, "MAX_NUMBERS", 12)
    standardised = rebuild((side, side, 3)).get_layer("encoder").get_layer("standardised")
    assert np.shape(standardised.offset) == shape


@pytest.mark.parametrize("arch", ARCHITECTURES)
@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize(("shape", "filters"), [((9, 14, 3), (3, 5)), ((1, 33, 1), (2, 4, 3))])
def test_count_weights_gives_the_count_of_the_network(arch, batch_norm, shape, filters):
    recipe = make_recipe("robust", arch, batch_norm=batch_norm, filters=filters)
    built = architectures.build(recipe, shape)
    assert rebuilding.count_weights(recipe, shape) == built.count_params()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"arch": "evil"}, "(arch evil)"),
        ({"arch": ["conv"]}, "(arch ['conv'])"),
        ({"filters": []}, "(0 filters)"),
        ({"filters": [1] * 17}, "(17 filters)"),
        ({"filters": 4}, "sizes that are no whole numbers"),
        ({"filters": [4.0]}, "sizes that are no whole numbers"),
        ({"filters": [True]}, "sizes that are no whole numbers"),
        ({"filters": [0]}, "sizes that are no whole numbers"),
        ({"filters": [2**31]}, "sizes that are no whole numbers"),
        ({"filters": [[4]]}, "sizes that are no whole numbers"),
        ({"image_shape": [9, 8]}, "(image_shape [9, 8])"),
        ({"image_shape": [9, 8, -1]}, "sizes that are no whole numbers"),
        ({"image_shape": [9, 2**16 + 1, 1]}, "(image_shape [9, 65537, 1])"),
        ({"image_shape": None}, "sizes that are no whole numbers"),
        ({"latent_dim": 0}, "(latent_dim 0)"),
        ({"latent_dim": "2"}, "(latent_dim 2)"),
        ({"latent_dim": None, "arch": "dense"}, "(latent_dim None)"),
        ({"batch_norm": 1}, "a flag that is neither true nor false"),
        ({"centred": None}, "a flag that is neither true nor false"),
        ({"even_contrast": "no"}, "a flag that is neither true nor false"),
    ],
)
def test_rebuild_when_a_setting_is_not_as_training_writes_it_refuses(changes, reason):
    recipe = {**RECIPE, **changes}
    image_shape = recipe.pop("image_shape", [9, 8, 1])
    with pytest.raises(InputError, match=r"a\.json does not describe a network") as refused:
        rebuilding.rebuild(recipe, image_shape, 2**20, "a.json")
    assert reason in str(refused.value)


@pytest.mark.parametrize("key", rebuilding.STORED_KEYS)
def test_rebuild_when_a_setting_is_missing_names_it(key):
    recipe = {name: value for name, value in RECIPE.items() if name != key}
    with pytest.raises(InputError, match=rf"a\.json does not describe .*\(no {key}\)"):
        rebuilding.rebuild(recipe, [9, 8, 1], 2**20, "a.json")


def test_rebuild_when_the_archive_is_too_small_for_the_weights_builds_nothing(monkeypatch):
    settings = SimpleNamespace(**RECIPE)
    size = 4 * rebuilding.count_weights(settings, (9, 8, 1))
    rebuild(max_bytes=size)
    monkeypatch.setattr(architectures, "build", None)
    with pytest.raises(InputError, match=r"a\.json describes another network .* of more weights"):
        rebuild(max_bytes=size - 1)
    with pytest.raises(InputError, match="of more weights"):
        rebuild(arch="dense", filters=[2**30], latent_dim=2**30)


def test_rebuild_when_a_layer_is_too_large_for_any_image_refuses(monkeypatch):
    monkeypatch.setattr(rebuilding, "MAX_OUTPUTS", 10 * 8 * 4 - 1)  # of the last but one
    with pytest.raises(InputError, match=r"a\.json describes .* too large .* makes \(10, 8, 4\)"):
        rebuild()
    with pytest.raises(InputError, match="too large for any image"):
        rebuild((2**16, 2**16, 1), latent_dim=None)

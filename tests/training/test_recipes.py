import pytest

from pyimagesearch import InputError
from pyimagesearch.training.recipes import ARCHITECTURES, RECIPES, make_recipe, recommended_score


def test_make_recipe_takes_changes_over_the_architecture_and_that_over_the_recipe():
    assert make_recipe() == RECIPES["robust"]
    assert make_recipe("tutorial", "dense").filters == ARCHITECTURES["dense"]["filters"]
    assert make_recipe("tutorial", "dense").epochs == RECIPES["tutorial"].epochs
    assert make_recipe("robust", "dense", filters=(5,), epochs=None).filters == (5,)
    assert make_recipe("robust", "dense", epochs=None).epochs == RECIPES["robust"].epochs


def test_recipes_are_those_that_the_benchmark_has_measured():
    """A setting that changes by mistake would show in no other test: here it is a decision."""
    settings = {
        name: [value for key, value in recipe.as_dict().items() if key not in ("loss", "corrupt")]
        for name, recipe in RECIPES.items()
        if name != "photos"
    }
    # From arch to schedule; then trim, center, normalize_contrast, noise.
    assert settings == {
        "robust": [
            *("conv", (8, 16), 8, False, 0.9, 10, 250, 64, 4e-3, "cosine"),
            *(0.05, True, False, 0.0),
        ],
        "shapes": [
            *("dense", (256,), 20, False, 0.9, 6, 330, 128, 3e-3, "cosine"),
            *(0.15, True, True, 1.4),
        ],
        "tutorial": [
            *("conv", (32, 64), 16, True, 0.99, 20, 0, 32, 1e-3, "inverse-time"),
            *(0.0, False, False, 0.0),
        ],
    }
    photos = make_recipe("photos")
    assert (photos.backbone, photos.latent_dim) == ("efficientnet-lite0", 8)
    assert (photos.epochs, photos.trim) == (3, 0.2)


def test_score_that_is_recommended_is_code_only_for_contrast_with_a_code():
    assert recommended_score(make_recipe("shapes")) == "code"
    assert recommended_score(make_recipe("shapes", normalize_contrast=False)) == "mse"
    assert recommended_score(make_recipe("shapes", "cnn")) == "mse"
    assert recommended_score(make_recipe("robust", trim=0.5)) == "mse"
    assert recommended_score(make_recipe("photos")) == "combined"


def test_photos_take_no_setting_of_networks_of_pixels_and_name_its_flag():
    assert make_recipe("photos", trim=0.3, loss="mse", epochs=2).trim == 0.3
    for changes, flag in (
        ({"learning_rate": 0.1}, "--lr"),
        ({"arch": "conv"}, "--arch"),
        ({"batch_size": 3}, "--batch-size"),
    ):
        with pytest.raises(InputError, match=f"expected no {flag} with --recipe photos"):
            make_recipe("photos", **changes)


def test_epochs_for_few_images_are_enough_for_the_steps():
    def epochs(n, epochs, min_steps):
        return make_recipe(epochs=epochs, batch_size=100, min_steps=min_steps).epochs_for(n)

    assert epochs(1000, 10, 0) == 10
    assert epochs(1000, 10, 100) == 10
    assert epochs(1000, 10, 101) == 11
    assert epochs(1001, 1, 110) == 10
    assert epochs(5, 10, 400) == 400


def test_names_that_are_stored_are_those_of_earlier_versions():
    stored = make_recipe("shapes", corruption=("blur", 2.0)).as_dict()
    assert (stored["centred"], stored["even_contrast"]) == (True, True)
    assert stored["corrupt"] == ("blur", 2.0)
    assert not {"center", "normalize_contrast", "corruption"} & stored.keys()

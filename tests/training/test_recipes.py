from pyimagesearch.training.recipes import ARCHITECTURES, RECIPES, make_recipe


def test_make_recipe_takes_changes_over_the_architecture_and_that_over_the_recipe():
    assert make_recipe() == RECIPES["robust"]
    assert make_recipe("tutorial", "dense").filters == ARCHITECTURES["dense"]["filters"]
    assert make_recipe("tutorial", "dense").epochs == RECIPES["tutorial"].epochs
    assert make_recipe("robust", "dense", filters=(5,), epochs=None).filters == (5,)
    assert make_recipe("robust", "dense", epochs=None).epochs == RECIPES["robust"].epochs


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

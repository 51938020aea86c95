from pyimagesearch.training.recipes import ARCHITECTURES, RECIPES, make_recipe


def test_make_recipe_takes_changes_over_the_architecture_and_that_over_the_recipe():
    assert make_recipe() == RECIPES["robust"]
    assert make_recipe("tutorial", "dense").filters == ARCHITECTURES["dense"]["filters"]
    assert make_recipe("tutorial", "dense").epochs == RECIPES["tutorial"].epochs
    assert make_recipe("robust", "dense", filters=(5,), epochs=None).filters == (5,)
    assert make_recipe("robust", "dense", epochs=None).epochs == RECIPES["robust"].epochs

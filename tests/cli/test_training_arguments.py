import pytest

from pyimagesearch import InputError
from pyimagesearch.cli import training_arguments
from pyimagesearch.training.recipes import RECIPES

FILES = ["-d", "images.pickle", "-m", "autoencoder.model"]


@pytest.mark.parametrize(
    "flags",
    [
        [],
        ["-d", "x"],
        [*FILES, "--epochs", "0"],
        [*FILES, "--batch-size", "0"],
        [*FILES, "--lr", "0"],
        [*FILES, "--trim", "1"],
        [*FILES, "--contam", "-0.1"],
        [*FILES, "--seed", "-1"],
        [*FILES, "--latent-dim", "0"],
        [*FILES, "--filters", "0"],
        [*FILES, "--recipe", "cake"],
        [*FILES, "--split", "half"],
    ],
)
def test_parser_given_wrong_values_raises_input_error(flags):
    with pytest.raises(InputError):
        training_arguments.training_parser().parse_args(flags)


def test_labels_that_look_like_numbers_are_numbers():
    args = training_arguments.training_parser().parse_args(
        [*FILES, "--valid-label", "1", "cat", "007"]
    )
    assert args.valid_label == [1, "cat", 7]


def test_recipe_without_flags_is_as_in_the_table():
    args = training_arguments.training_parser().parse_args(FILES)
    assert training_arguments.recipe_from_args(args, "robust") == RECIPES["robust"]
    assert training_arguments.recipe_from_args(args, "photos") == RECIPES["photos"]
    args = training_arguments.training_parser().parse_args([*FILES, "--recipe", "tutorial"])
    assert training_arguments.recipe_from_args(args) == RECIPES["tutorial"]


def test_recipe_with_flags_has_their_values_even_if_zero():
    flags = [
        "--trim",
        "0",
        "--no-batch-norm",
        "--filters",
        "8",
        "4",
        "--lr",
        "0.5",
        "--latent-dim",
        "3",
    ]
    flags += ["--recipe", "tutorial", "--batch-size", "7"]
    args = training_arguments.training_parser().parse_args([*FILES, *flags])
    recipe = training_arguments.recipe_from_args(args)
    assert (recipe.trim, recipe.batch_norm, recipe.filters) == (0, False, (8, 4))
    assert (recipe.learning_rate, recipe.latent_dim, recipe.batch_size) == (0.5, 3, 7)


def test_epochs_when_typed_are_not_increased_for_few_images():
    args = training_arguments.training_parser().parse_args([*FILES, "--epochs", "3"])
    recipe = training_arguments.recipe_from_args(args, "robust")
    assert recipe.epochs_for(10) == 3


def test_image_size_is_one_number_or_height_and_width():
    def size(*numbers):
        flags = ["--image-size", *numbers] if numbers else []
        args = training_arguments.training_parser().parse_args([*FILES, *flags])
        return training_arguments.reading(args)["size"]

    assert size() is None
    assert size("64") == (64, 64)
    assert size("64", "32") == (64, 32)
    with pytest.raises(InputError, match="--image-size"):
        size("0")
    with pytest.raises(InputError, match="received 3 numbers"):
        size("1", "2", "3")

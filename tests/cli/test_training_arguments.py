import argparse
import ast
import io
from pathlib import Path

import pytest

from pyimagesearch import InputError
from pyimagesearch.cli import argument_types, console, detection_arguments, training_arguments
from pyimagesearch.models import architectures
from pyimagesearch.training import losses
from pyimagesearch.training.recipes import RECIPES
from tests.conftest import ROOT, answers_without_packages

MAX_LINES_OF_MAIN = {"train_unsupervised_autoencoder.py": 85, "find_anomalies.py": 130}
SCRIPTS = list(MAX_LINES_OF_MAIN)
TRAIN = ["-d", "images.pickle", "-m", "autoencoder.model"]


@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.parametrize(
    "flags", [["--help"], ["--no-such-flag"], ["-d", "x", "-m", "y", "--top", "-1"]]
)
def test_help_and_wrong_flags_need_nothing_but_python_itself(script, flags):
    """-S and -I: no installed package is in reach, so that nothing slow can be imported."""
    run = f"runpy.run_path({str(ROOT / script)!r}, run_name='__main__')"
    answers_without_packages(run, [script, *flags], f"python {script}")


@pytest.mark.parametrize(
    ("text", "bounds"),
    [("0", {"above": 0}), ("1", {"below": 1}), ("-0.1", {"at_least": 0}), ("1.1", {"at_most": 1})]
    + [(text, {}) for text in ("nan", "inf", "-inf", "one", "")],
)
def test_numbers_out_of_bounds_are_refused(text, bounds):
    with pytest.raises(argparse.ArgumentTypeError, match="expected a number"):
        argument_types.bounded_number(float, **bounds)(text)


def test_numbers_at_their_bounds_are_taken():
    assert argument_types.bounded_number(float, at_least=0, at_most=1)("0") == 0
    assert argument_types.bounded_number(float, at_least=0, at_most=1)("1") == 1
    with pytest.raises(
        argparse.ArgumentTypeError, match="a whole number, at least 1, received '1.5'"
    ):
        argument_types.bounded_number(int, at_least=1)("1.5")


@pytest.mark.parametrize(
    "flags",
    [
        [],
        ["-d", "x"],
        [*TRAIN, "--epochs", "0"],
        [*TRAIN, "--batch-size", "0"],
        [*TRAIN, "--lr", "0"],
        [*TRAIN, "--trim", "1"],
        [*TRAIN, "--contam", "-0.1"],
        [*TRAIN, "--seed", "-1"],
        [*TRAIN, "--latent-dim", "0"],
        [*TRAIN, "--filters", "0"],
        [*TRAIN, "--recipe", "cake"],
        [*TRAIN, "--split", "half"],
    ],
)
def test_wrong_training_flags_are_input_errors(flags):
    with pytest.raises(InputError):
        training_arguments.training_parser().parse_args(flags)


@pytest.mark.parametrize(
    "flags", [["-q", "1.1"], ["-q", "-0.1"], ["-q", "nan"], ["--top", "0"], ["--split", "half"]]
)
def test_wrong_detection_flags_are_input_errors(flags):
    with pytest.raises(InputError):
        detection_arguments.detection_parser().parse_args([*TRAIN, *flags])


def test_labels_are_numbers_where_they_look_like_it():
    args = training_arguments.training_parser().parse_args(
        [*TRAIN, "--valid-label", "1", "cat", "007"]
    )
    assert args.valid_label == [1, "cat", 7]


def test_flags_left_out_leave_the_recipe_as_it_is():
    args = training_arguments.training_parser().parse_args(TRAIN)
    assert training_arguments.recipe_from_args(args) == RECIPES["robust"]
    args = training_arguments.training_parser().parse_args([*TRAIN, "--recipe", "tutorial"])
    assert training_arguments.recipe_from_args(args) == RECIPES["tutorial"]


def test_flags_that_are_given_change_the_recipe_even_to_nothing():
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
    args = training_arguments.training_parser().parse_args([*TRAIN, *flags])
    recipe = training_arguments.recipe_from_args(args)
    assert (recipe.trim, recipe.batch_norm, recipe.filters) == (0, False, (8, 4))
    assert (recipe.learning_rate, recipe.latent_dim, recipe.batch_size) == (0.5, 3, 7)


def test_epochs_that_are_given_are_not_made_more_for_small_sets():
    args = training_arguments.training_parser().parse_args([*TRAIN, "--epochs", "3"])
    recipe = training_arguments.recipe_from_args(args)
    assert recipe.epochs_for(10) == 3


@pytest.mark.parametrize(
    ("fault", "status", "told"),
    [
        (InputError("one\nline"), 2, "error: one line\n"),
        (KeyboardInterrupt(), 130, "\ninterrupted\n"),
        (
            ImportError("libGL.so.1: cannot open"),
            2,
            "error: a library could not be loaded (libGL.so.1",
        ),
        (ZeroDivisionError("ours"), 1, "Traceback"),
    ],
)
def test_faults_become_exit_statuses(fault, status, told, capsys):
    def main(argv):
        raise fault

    assert console.exit_status(main)() == status
    assert told in capsys.readouterr().err


def test_success_is_status_0():
    assert console.exit_status(lambda argv: "something")([]) == 0


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_progress_on_a_terminal_is_one_line_that_grows():
    narrator = console.Narrator(stream=Terminal())
    for done in range(5):
        narrator.progress("epoch", done, 4, loss=0.25, val_loss=None)
    lines = narrator.stream.getvalue().split("\r")[1:]
    assert [line.count("=") for line in lines] == [0, 6, 12, 18, 24]
    assert "epoch 3/4, loss 0.25000, 0 s left" in lines[3]
    assert [line.endswith("\n") for line in lines] == [False] * 4 + [True]


def test_progress_when_piped_is_plain_lines_and_the_last_is_never_missing():
    narrator = console.Narrator(stream=io.StringIO())
    for done in range(1001):
        narrator.progress("images scored", done, 1000)
    assert narrator.stream.getvalue() == "[INFO] images scored 1,000/1,000\n"


def test_quiet_narrator_says_nothing(capsys):
    narrator = console.Narrator(quiet=True)
    narrator.say("a")
    narrator.warn("b")
    narrator.progress("c", 0, 1)
    narrator.progress("c", 1, 1)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("script", SCRIPTS)
def test_scripts_stay_short_enough_to_be_read_as_prose(script):
    (main,) = (
        node
        for node in ast.parse(Path(ROOT, script).read_text()).body
        if isinstance(node, ast.FunctionDef)
    )
    assert main.end_lineno - main.lineno < MAX_LINES_OF_MAIN[script]


@pytest.mark.parametrize(
    "spec", ["", "noise", "noise:", "noise:-1", "noise:0", "blur:nan", "fog:1", "blur:1:2"]
)
@pytest.mark.parametrize(
    "parser", [training_arguments.training_parser, detection_arguments.detection_parser]
)
def test_broken_corruptions_are_input_errors(spec, parser):
    with pytest.raises(InputError, match="--corrupt"):
        parser().parse_args([*TRAIN, "--corrupt", spec])


def test_corruptions_are_a_name_and_an_amount():
    args = training_arguments.training_parser().parse_args([*TRAIN, "--corrupt", "rotate:-90"])
    assert args.corrupt == ("rotate", -90)


@pytest.mark.parametrize(
    ("flags", "rule"),
    [
        ([], ("quantile", 0.999)),
        (["-q", "0"], ("quantile", 0)),
        (["--std", "3"], ("std", 3)),
        (["--contamination", "0.1"], ("contamination", 0.1)),
        (["--auto"], ("auto", True)),
        (["--threshold", "0"], ("threshold", 0)),
        (["--threshold", "trained"], ("threshold", "trained")),
    ],
)
def test_every_threshold_rule_can_be_chosen(flags, rule):
    args = detection_arguments.detection_parser().parse_args([*TRAIN, *flags])
    assert detection_arguments.threshold_rule(args) == rule


@pytest.mark.parametrize(
    "flags",
    [
        ["--std", "0"],
        ["--contamination", "0"],
        ["--contamination", "1"],
        ["--threshold", "high"],
        ["--std", "3", "--auto"],
        ["-q", "0.9", "--threshold", "1"],
        ["--score", "cake"],
        ["--corrupt-fraction", "0"],
        ["--corrupt-fraction", "1.1"],
    ],
)
def test_wrong_rules_and_two_at_once_are_input_errors(flags):
    with pytest.raises(InputError):
        detection_arguments.detection_parser().parse_args([*TRAIN, *flags])


def test_image_size_is_one_number_or_height_and_width():
    def size(*numbers):
        flags = ["--image-size", *numbers] if numbers else []
        return training_arguments.image_size(
            training_arguments.training_parser().parse_args([*TRAIN, *flags])
        )

    assert size() is None
    assert size("64") == (64, 64)
    assert size("64", "32") == (64, 32)
    with pytest.raises(InputError, match="--image-size"):
        size("0")
    with pytest.raises(InputError, match="received 3 numbers"):
        size("1", "2", "3")


def test_command_line_knows_every_score_and_loss():
    from pyimagesearch.detection import scores

    assert set(argument_types.SCORES) == set(scores.SCORES)
    assert set(argument_types.LOSSES) == set(losses.LOSSES)
    assert set(argument_types.PRECISIONS) == set(architectures.PRECISION_POLICIES)

import argparse

import pytest

from pyimagesearch import InputError
from pyimagesearch.cli import argument_types, detection_arguments, training_arguments
from pyimagesearch.detection import feature_scores, scores
from pyimagesearch.models import architectures
from pyimagesearch.training import losses
from tests.conftest import ROOT, answers_without_packages

SCRIPTS = ["train_unsupervised_autoencoder.py", "find_anomalies.py"]
FILES = ["-d", "images.pickle", "-m", "autoencoder.model"]


@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.parametrize(
    "flags", [["--help"], ["--no-such-flag"], ["-d", "x", "-m", "y", "--top", "-1"]]
)
def test_script_given_help_or_wrong_flags_needs_no_package(script, flags):
    """-S and -I: no installed package is in reach, so that nothing slow can be imported."""
    run = f"runpy.run_path({str(ROOT / script)!r}, run_name='__main__')"
    answers_without_packages(run, [script, *flags], f"python {script}")


@pytest.mark.parametrize(
    ("text", "bounds"),
    [("0", {"above": 0}), ("1", {"below": 1}), ("-0.1", {"at_least": 0}), ("1.1", {"at_most": 1})]
    + [(text, {}) for text in ("nan", "inf", "-inf", "one", "")],
)
def test_bounded_number_out_of_bounds_is_refused(text, bounds):
    with pytest.raises(argparse.ArgumentTypeError, match="expected a number"):
        argument_types.bounded_number(float, **bounds)(text)


def test_bounded_number_at_its_bounds_is_taken():
    assert argument_types.bounded_number(float, at_least=0, at_most=1)("0") == 0
    assert argument_types.bounded_number(float, at_least=0, at_most=1)("1") == 1
    with pytest.raises(
        argparse.ArgumentTypeError, match="a whole number, at least 1, received '1.5'"
    ):
        argument_types.bounded_number(int, at_least=1)("1.5")


@pytest.mark.parametrize(
    "spec", ["", "noise", "noise:", "noise:-1", "noise:0", "blur:nan", "fog:1", "blur:1:2"]
)
@pytest.mark.parametrize(
    "parser", [training_arguments.training_parser, detection_arguments.detection_parser]
)
def test_corruption_when_malformed_is_an_input_error(spec, parser):
    with pytest.raises(InputError, match="--corrupt"):
        parser().parse_args([*FILES, "--corrupt", spec])


def test_corruption_is_a_name_and_an_amount():
    assert argument_types.corruption("rotate:-90") == ("rotate", -90)


def test_choices_are_the_names_in_the_tables():
    assert set(argument_types.SCORES) == {*scores.SCORES, *feature_scores.NAMES}
    assert set(argument_types.LOSSES) == set(losses.LOSSES)
    assert set(argument_types.PRECISIONS) == set(architectures.PRECISION_POLICIES)

import pytest

from pyimagesearch import InputError
from pyimagesearch.cli.detection_arguments import detection_parser, threshold_rule

FILES = ["-d", "images.pickle", "-m", "autoencoder.model"]


@pytest.mark.parametrize(
    "flags",
    [
        ["-q", "1.1"],
        ["-q", "-0.1"],
        ["-q", "nan"],
        ["--top", "0"],
        ["--split", "half"],
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
def test_parser_given_wrong_values_or_two_rules_raises_input_error(flags):
    with pytest.raises(InputError):
        detection_parser().parse_args([*FILES, *flags])


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
def test_threshold_rule_of_any_flag_is_its_name_and_value(flags, rule):
    args = detection_parser().parse_args([*FILES, *flags])
    assert threshold_rule(args) == rule

"""What the README says is what the program does."""

import re
import shlex

import pytest

from pyimagesearch import commandline
from tests.conftest import ROOT

README = (ROOT / "README.md").read_text()
PARSERS = {
    "train_unsupervised_autoencoder.py": commandline.training_parser,
    "find_anomalies.py": commandline.detection_parser,
}


def commands():
    """Every call of a script in a block of the README, as words."""
    blocks = re.findall(r"^```\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
    for line in "".join(blocks).splitlines():
        words = shlex.split(line.removesuffix("&&"))
        if len(words) > 2 and words[1] in PARSERS:
            yield words[1:]


def test_readme_shows_how_to_call_both_scripts():
    assert {script for script, *_ in commands()} == set(PARSERS)


@pytest.mark.parametrize("command", list(commands()), ids=" ".join)
def test_commands_of_the_readme_are_understood(command):
    script, *flags = command
    PARSERS[script]().parse_args(flags)


def flags_of(parser):
    return {
        option: action.default
        for action in parser._actions
        for option in action.option_strings
        if option.startswith("--") and not option.startswith("--no-") and option != "--help"
    }


@pytest.mark.parametrize("script", PARSERS)
def test_every_flag_is_in_the_readme_and_no_other(script):
    written = set(re.findall(r"`(--[a-z-]+)", README))
    assert set(flags_of(PARSERS[script]())) <= written
    known = {flag for parser in PARSERS.values() for flag in flags_of(parser())}
    assert written <= known


def test_pictures_of_the_readme_are_there_and_small():
    for name in re.findall(r"!\[.*?\]\((.*?)\)", README):
        assert 0 < (ROOT / name).stat().st_size < 600_000

"""What the README says is what the program does."""

import re
import shlex

import pytest

from pyimagesearch.benchmark import __main__ as benchmark
from pyimagesearch.cli import detection_arguments, training_arguments
from pyimagesearch.export import __main__ as export
from pyimagesearch.torture import __main__ as torture
from tests.conftest import ROOT

README = (ROOT / "README.md").read_text()
PARSERS = {
    "train_unsupervised_autoencoder.py": training_arguments.training_parser,
    "find_anomalies.py": detection_arguments.detection_parser,
    "pyimagesearch.benchmark": benchmark.parser,
    "pyimagesearch.export": export.parser,
    "pyimagesearch.torture": torture.parser,
}
SCRIPTS = ("train_unsupervised_autoencoder.py", "find_anomalies.py")


def commands():
    """Every call of a program in a block of the README, as words."""
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
    for line in "".join(text for language, text in blocks if not language).splitlines():
        if "python " in line:
            words = shlex.split(line.removesuffix("&&"))
            for program in PARSERS.keys() & set(words):
                yield words[words.index(program) :]


def test_readme_shows_how_to_call_every_program():
    assert {program for program, *_ in commands()} == set(PARSERS)


@pytest.mark.parametrize("command", list(commands()), ids=" ".join)
def test_commands_of_the_readme_are_understood(command):
    program, *flags = command
    PARSERS[program]().parse_args(flags)


def flags_of(parser):
    return {
        option: action.default
        for action in parser._actions
        for option in action.option_strings
        if option.startswith("--") and not option.startswith("--no-") and option != "--help"
    }


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_flag_is_in_the_readme_and_no_other(script):
    written = set(re.findall(r"`(--[a-z-]+)", README))
    assert set(flags_of(PARSERS[script]())) <= written
    known = {flag for parser in PARSERS.values() for flag in flags_of(parser())}
    assert written <= known | {"--help"}


def test_pictures_of_the_readme_are_there_and_small():
    for name in re.findall(r"!\[.*?\]\((.*?)\)", README):
        assert 0 < (ROOT / name).stat().st_size < 600_000

"""What the READMEs say is what the programs do."""

import contextlib
import importlib
import io
import re
import shlex
import shutil
from pathlib import Path

import pytest

from pyimagesearch.__main__ import commands
from tests.conftest import ROOT

FRONT = ROOT / "README.md"
READMES = [
    FRONT,
    *sorted((ROOT / "pyimagesearch").glob("*/README.md")),
    ROOT / ".github" / "CONTRIBUTING.md",
]
SCRIPTS = ("train_unsupervised_autoencoder.py", "find_anomalies.py")
# Program -> the module and the function that make its parser.
PARSERS = {
    SCRIPTS[0]: ("pyimagesearch.cli.training_arguments", "training_parser"),
    SCRIPTS[1]: ("pyimagesearch.cli.detection_arguments", "detection_parser"),
    "pyimagesearch.benchmark": ("pyimagesearch.benchmark.__main__", "parser"),
    "pyimagesearch.export": ("pyimagesearch.export.__main__", "parser"),
    "pyimagesearch.torture": ("pyimagesearch.torture.__main__", "parser"),
}
# What else `python -m` runs in a README; the first takes the flags of both scripts.
OTHER_MODULES = {"pyimagesearch", "venv", "pip", "pytest"}
MAX_LINES, MAX_PICTURE_BYTES = 230, 300_000


def name_of(path):
    return path.relative_to(ROOT).as_posix()


def make_parser(program):
    module, function = PARSERS[program]
    return getattr(importlib.import_module(module), function)()


def blocks_of(path):
    """The fenced blocks of a README: triples of language, text, and line number."""
    text = path.read_text(encoding="utf-8")
    for found in re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
        yield found[1], found[2], text.count("\n", 0, found.start()) + 1


def python_blocks():
    """Each block of Python with the output that a block right behind it shows, or `None`."""
    for path in READMES:
        lines = path.read_text(encoding="utf-8").splitlines()
        blocks = list(blocks_of(path))
        for (language, code, line), (next_language, output, next_line) in zip(
            blocks, [*blocks[1:], ("", None, 0)], strict=True
        ):
            if language == "python":
                end = line + code.count("\n") + 2
                follows = next_line > end and not "".join(lines[end - 1 : next_line - 1]).strip()
                shown = output if follows and not next_language else None
                yield pytest.param(code, shown, id=f"{name_of(path)}:{line}")


def command_lines(path):
    """The lines of a README's plain blocks that call Python, as words."""
    for language, text, _ in blocks_of(path):
        if not language:
            for line in text.replace("\\\n", " ").splitlines():
                for command in re.split(r"&&", line):
                    words = shlex.split(command, comments=True)
                    if any(Path(word).name in ("python", "python3") for word in words):
                        yield words


def arguments_of(words):
    """What follows the interpreter: `["-m", "pytest"]`, `["find_anomalies.py", "--model", ...]`."""
    (place,) = [n for n, word in enumerate(words) if Path(word).name in ("python", "python3")]
    return words[place + 1 :]


def program_calls():
    for path in READMES:
        for words in command_lines(path):
            program, *flags = [word for word in arguments_of(words) if word != "-m"]
            if program in PARSERS:
                shown = f"{name_of(path)}: {shlex.join([program, *flags])}"
                yield pytest.param(program, flags, id=shown)


def spans_of(path):
    """The pieces of code inside a README's sentences and tables."""
    text = re.sub(r"^```.*?^```$", "", path.read_text(encoding="utf-8"), flags=re.DOTALL | re.M)
    return re.findall(r"`([^`\n]+)`", text)


def flags_of(program):
    """All long flags of a program, those of its subcommands too, with their defaults."""
    parsers, flags = [make_parser(program)], {}
    while parsers:
        for action in parsers.pop()._actions:
            if isinstance(action.choices, dict):  # subcommands
                parsers += action.choices.values()
            for option in action.option_strings:
                if option.startswith("--") and not option.startswith("--no-"):
                    flags[option] = action.default
    return flags


def links_of(path):
    """Targets of a README's links and pictures that lie in the repository."""
    found = re.findall(r"\]\(([^)]+)\)", path.read_text(encoding="utf-8"))
    return [target for target in found if not target.startswith(("https:", "http:"))]


def anchors_of(path):
    """What the headings of a README are called in links, as GitHub has it."""
    for heading in re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE):
        yield re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def test_readmes_show_how_to_call_every_program():
    assert {call.values[0] for call in program_calls()} == set(PARSERS)


@pytest.mark.parametrize(("program", "flags"), program_calls())
def test_command_when_parsed_is_understood(program, flags):
    make_parser(program).parse_args(flags)


def test_one_command_when_in_the_front_readme_is_understood():
    calls = re.findall(r"python -m pyimagesearch (PATH[^`\n]*)", FRONT.read_text(encoding="utf-8"))
    assert len(calls) > 2
    for call in calls:
        commands(["." if word.startswith("PATH") else word for word in call.split()])


@pytest.mark.parametrize("path", READMES, ids=name_of)
def test_command_when_it_calls_python_calls_what_is_there(path):
    for words in command_lines(path):
        first, *others = arguments_of(words)
        if first == "-m":
            assert others[0] in OTHER_MODULES | set(PARSERS), words
        elif first != "-c":
            assert (ROOT / first).is_file(), words


@pytest.fixture(scope="module")
def worked(trained, tmp_path_factory):
    """A folder with an `output/` in it, in which both scripts have left their results."""
    folder = tmp_path_factory.mktemp("readme")
    shutil.copytree(trained, folder / "output")
    return folder


@pytest.mark.parametrize(("code", "shown"), python_blocks())
def test_python_block_when_executed_prints_what_is_shown(code, shown, worked, monkeypatch):
    monkeypatch.chdir(worked)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, "README", "exec"), {"__name__": "__main__"})
    if shown is not None:
        assert printed.getvalue() == shown


@pytest.mark.parametrize("script", SCRIPTS)
def test_flag_when_a_script_has_it_is_in_a_readme(script):
    written = {flag for path in READMES for flag in re.findall(r"--[a-z-]+", str(spans_of(path)))}
    assert set(flags_of(script)) - {"--help"} <= written


@pytest.mark.parametrize("path", READMES, ids=name_of)
def test_flag_when_in_a_readme_is_known(path):
    known = {flag for program in PARSERS for flag in flags_of(program)}
    for span in spans_of(path):
        for flag in re.findall(r"(?<!\S)--[a-z][a-z-]*", span):
            assert flag.replace("--no-", "--") in known, span


@pytest.mark.parametrize("path", READMES, ids=name_of)
def test_default_when_in_a_table_of_flags_is_that_of_the_program(path):
    """Rows such as "| `--seed` | `42` | …" in a table whose head names a program."""
    text = path.read_text(encoding="utf-8")
    for head, body in re.findall(
        r"^\| `([^`]+)` \| default \| \|\n\|---.*\n((?:\|.*\n)+)", text, re.M
    ):
        defaults = flags_of(head.split()[-1])
        for flag, shown in re.findall(r"^\| `(--[a-z-]+)` \| `([^`]+)` \|", body, re.MULTILINE):
            if defaults[flag] is not None:
                assert str(defaults[flag]) == shown, flag


@pytest.mark.parametrize("path", READMES, ids=name_of)
def test_link_when_it_leads_into_the_repository_leads_somewhere(path):
    for target in links_of(path):
        place, _, anchor = target.partition("#")
        place = (path.parent / place).resolve() if place else path
        assert place.exists(), target
        assert not anchor or anchor in anchors_of(place), target


def test_pictures_are_small_and_none_is_left_over():
    shown = {
        (path.parent / target).resolve()
        for path in READMES
        for target in links_of(path)
        if target.endswith(".png")
    }
    assert shown == {path.resolve() for path in (ROOT / ".github" / "images").glob("*.png")}
    for path in shown:
        assert 0 < path.stat().st_size < MAX_PICTURE_BYTES, path


def test_front_readme_is_short_and_names_every_folder():
    text = FRONT.read_text(encoding="utf-8")
    assert text.count("\n") < MAX_LINES
    folders = {path.parent.name for path in (ROOT / "pyimagesearch").glob("*/__init__.py")}
    assert {name for name in folders if f"| `{name}/` |" not in text} == set()


def test_ci_when_it_looks_for_the_test_command_finds_it_first():
    """`.ci/run` executes the first line of the front README that calls pytest."""
    (line, *_) = [line for line in FRONT.read_text().splitlines() if "-m pytest" in line]
    assert line.startswith("python3 -m venv .venv && ")
    assert line.endswith(" -m pytest")

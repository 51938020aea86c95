"""The house is kept: rooms on floors, each of which knows only those below it."""

import ast
import sys

import pytest

from tests.conftest import ROOT

PACKAGE = ROOT / "pyimagesearch"
# Lowest first. Rooms of one floor don't know each other; `scripts` are the two at the top level.
FLOORS = (
    {"__init__"},
    {"convautoencoder"},
    {"models", "storage", "runtime"},
    {"data"},
    {"detection", "reporting"},
    {"training"},
    {"cli", "detector"},
    {"scripts", "__main__", "export", "benchmark"},
    {"torture"},
)
HEIGHT = {room: height for height, rooms in enumerate(FLOORS) for room in rooms}
SCRIPTS = {"train_unsupervised_autoencoder", "find_anomalies"}
FILES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts): path
    for path in sorted(PACKAGE.rglob("*.py"))
} | {script: ROOT / f"{script}.py" for script in sorted(SCRIPTS)}
# What --help and wrong flags go through: these import no installed library.
STANDARD_LIBRARY_ONLY = (
    "__init__",
    "storage.atomic",
    "runtime.quiet",
    "training.recipes",
    "cli.training_arguments",
    "cli.detection_arguments",
    "cli.argument_types",
    "cli.console",
)


def imports(path):
    """The full names that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def needs(path):
    """The files of the house that a file imports, by name."""
    for name in imports(path):
        parts = name.removeprefix("pyimagesearch").lstrip(".").split(".")
        if parts[0] in SCRIPTS:
            yield parts[0]
        elif name.split(".")[0] == "pyimagesearch":
            found = [".".join(parts[:n]) for n in (2, 1) if ".".join(parts[:n]) in FILES]
            yield found[0] if found else "__init__"


def room(name):
    return "scripts" if name in SCRIPTS else name.split(".")[0]


@pytest.mark.parametrize("name", FILES)
def test_file_knows_its_room_and_the_floors_below(name):
    found = set(needs(FILES[name]))
    assert all(HEIGHT[room(o)] < HEIGHT[room(name)] for o in found if room(o) != room(name)), found


def test_no_file_imports_itself_through_another():
    """Imports form no cycle."""
    known = {name: set(needs(path)) - {name} for name, path in FILES.items()}
    while leaves := [name for name, others in known.items() if not others & known.keys()]:
        for name in leaves:
            del known[name]
    assert not known


@pytest.mark.parametrize("name", [name for name in FILES if name.endswith(".__init__")])
def test_room_is_entered_without_loading_anything(name):
    assert len(ast.parse(FILES[name].read_text()).body) == 1


@pytest.mark.parametrize("name", STANDARD_LIBRARY_ONLY)
def test_command_line_is_built_from_the_standard_library_alone(name):
    roots = {module.split(".")[0] for module in imports(FILES[name])}
    allowed = {"pyimagesearch", "tensorflow"} if name == "cli.console" else {"pyimagesearch"}
    assert roots - allowed <= sys.stdlib_module_names


def test_only_metrics_and_the_manifest_know_labels():
    """No label can reach training, scoring or the threshold."""
    blind = ("training.trainer", "training.sample_weights", "training.losses", "convautoencoder")
    blind += ("detection.scoring", "detection.anomaly_maps", "detection.mahalanobis")
    blind += ("detection.neighbors", "detection.scores", "detection.thresholds")
    for name in blind:
        names = {
            node.id if isinstance(node, ast.Name) else node.arg
            for node in ast.walk(ast.parse(FILES[name].read_text()))
            if isinstance(node, ast.Name | ast.arg)
        }
        assert not {n for n in names if "label" in n or n in ("classes", "truth")}, name


def test_files_are_short():
    for path in FILES.values():
        assert len(path.read_text().splitlines()) < 400, path


def test_top_level_has_only_what_was_agreed():
    allowed = {"requirements.txt", "README.md", "pyimagesearch", "output", "tests", "LICENSE"}
    scripts = {f"{script}.py" for script in SCRIPTS}
    written = {"recon_vis.png", "plot.png", "__pycache__"}
    found = {path.name for path in ROOT.iterdir() if not path.name.startswith(".")}
    assert found - written <= allowed | scripts
    assert allowed | scripts <= found

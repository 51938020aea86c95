"""The house is kept: foundations, leaves that stand on them, composers of leaves."""

import ast
from pathlib import Path

import pytest

from tests.conftest import ROOT

# The ground floor: what any module may stand on. It knows nothing of the rest.
FOUNDATIONS = {
    "__init__",
    "arrays",
    "atomic",
    "centring",
    "convautoencoder",
    "crafting",
    "denseautoencoder",
    "latent",
    "neighbourhood",
    "ownership",
    "recipes",
    "silence",
    "safemodel",
    "safepickle",
    "folders",
    "streams",
    "distribution",
}
# The roof: what only puts modules together.
COMPOSERS = {
    "architectures",
    "benchmark",
    "benchmark_common",
    "benchmark_architectures",
    "benchmark_detection",
    "benchmark_rotation",
    "benchmark_speed",
    "commandline",
    "detector",
    "export",
    "mistakes",
    "pipeline",
    "results",
    "torture",
    "train_unsupervised_autoencoder",
    "find_anomalies",
}
# What --help and wrong flags go through: these import no installed library.
STANDARD_LIBRARY_ONLY = {"__init__", "atomic", "ownership", "recipes", "silence", "commandline"}
FILES = sorted(Path(ROOT, "pyimagesearch").glob("*.py")) + sorted(ROOT.glob("*.py"))


def imports(path):
    """The modules that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def siblings(path):
    modules = {file.stem for file in FILES}
    parts = (name.split(".") for name in imports(path))
    return {part[1] for part in parts if part[0] == "pyimagesearch" and part[1] in modules}


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_module_stands_on_the_floor_below_it(path):
    """Foundations know no other module, but for the lowest; leaves know foundations alone."""
    if path.stem in FOUNDATIONS:
        assert siblings(path) <= {"silence", "ownership"}
    elif path.stem not in COMPOSERS:
        assert siblings(path) <= FOUNDATIONS | {"architectures"}


def test_no_composer_imports_itself_through_another():
    """Imports form no cycle."""
    known = {path.stem: siblings(path) for path in FILES}
    while leaves := [name for name, needs in known.items() if not needs & known.keys()]:
        for name in leaves:
            del known[name]
    assert not known


@pytest.mark.parametrize("name", sorted(STANDARD_LIBRARY_ONLY))
def test_command_line_is_built_from_the_standard_library_alone(name):
    import sys

    roots = {module.split(".")[0] for module in imports(ROOT / "pyimagesearch" / f"{name}.py")}
    assert roots - {"pyimagesearch"} <= sys.stdlib_module_names


def test_only_metrics_and_the_manifest_know_labels():
    """No label can reach training, scoring or the threshold."""
    for name in ("training", "scoring", "thresholds", "convautoencoder"):
        names = {
            node.id if isinstance(node, ast.Name) else node.arg
            for node in ast.walk(ast.parse((ROOT / "pyimagesearch" / f"{name}.py").read_text()))
            if isinstance(node, ast.Name | ast.arg)
        }
        assert not {n for n in names if "label" in n or n in ("classes", "truth")}, name


def test_top_level_has_only_what_was_agreed():
    allowed = {"requirements.txt", "README.md", "pyimagesearch", "output", "tests", "LICENSE"}
    scripts = {"train_unsupervised_autoencoder.py", "find_anomalies.py"}
    written = {"recon_vis.png", "plot.png", "__pycache__"}
    found = {path.name for path in ROOT.iterdir() if not path.name.startswith(".")}
    assert found - written <= allowed | scripts
    assert allowed | scripts <= found

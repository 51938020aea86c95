"""The structure of the package: which rooms import which, and what is kept out of them."""

import ast
import re
import subprocess
import sys

import pytest

import pyimagesearch
from tests.conftest import ROOT

SCRIPTS = ("train_unsupervised_autoencoder", "find_anomalies")
# Lowest first. A room imports itself and rooms of lower floors.
FLOORS = (
    {"__init__"},
    {"convautoencoder"},
    {"storage", "runtime"},
    {"models"},
    {"data"},
    {"detection", "reporting"},
    {"training"},
    {"cli", "detector_input", "detector_parameters", "detector_pickling"},
    {"detector"},
    {*SCRIPTS, "__main__", "export", "benchmark"},
    {"torture"},
)
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
PACKAGE = ROOT / "pyimagesearch"
MODULES = {path.relative_to(PACKAGE).with_suffix("").parts: path for path in PACKAGE.rglob("*.py")}
MODULES |= {(script,): ROOT / f"{script}.py" for script in SCRIPTS}
# Modules that know no labels, so that none can leak into training, scoring or the threshold.
UNSUPERVISED = (
    r"convautoencoder|detector|models/|training/(?!artifacts)|detection/(?!metrics|trained_model)"
)


def imports(path):
    """The modules of this project that a file imports, each as a tuple of its parts."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for parts in (tuple(name.removeprefix("pyimagesearch.").split(".")) for name in names):
            found = [parts[:n] for n in (2, 1) if parts[:n] in MODULES]
            if found or parts[0] in ("pyimagesearch", "InputError"):
                yield found[0] if found else ("__init__",)


@pytest.mark.parametrize("module", MODULES, ids="/".join)
def test_module_imports_its_own_room_and_lower_floors_alone(module):
    others = {room for room, *_ in imports(MODULES[module])} - {module[0]}
    assert not [room for room in others if FLOOR[room] >= FLOOR[module[0]]]


def test_imports_have_no_cycle():
    remaining = {module: {*imports(path)} - {module} for module, path in MODULES.items()}
    while free := [module for module, found in remaining.items() if not found & remaining.keys()]:
        for module in free:
            del remaining[module]
    assert not remaining


@pytest.mark.parametrize("module", MODULES, ids="/".join)
def test_unsupervised_module_has_no_name_of_a_label(module):
    if re.match(UNSUPERVISED, "/".join(module)):
        nodes = list(ast.walk(ast.parse(MODULES[module].read_text())))
        names = {node.id for node in nodes if isinstance(node, ast.Name)}
        names |= {node.arg for node in nodes if isinstance(node, ast.arg | ast.keyword)}
        names |= {node.attr for node in nodes if isinstance(node, ast.Attribute)}
        # As `getattr` takes it.
        values = {node.value for node in nodes if isinstance(node, ast.Constant)}
        names |= {value for value in values if isinstance(value, str) and value.isidentifier()}
        assert not [name for name in names if re.search("label|^classes$|^truth$", name or "")]


def test_command_lines_and_packages_import_no_installed_library():
    rooms = [".".join(("pyimagesearch", *parts[:-1])) for parts in MODULES if len(parts) == 2]
    modules = [*rooms, "pyimagesearch.cli.training_arguments", "pyimagesearch.storage.atomic"]
    modules += ["pyimagesearch.cli.detection_arguments", "pyimagesearch.cli.console"]
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import {', '.join(sorted(modules))}"
    # -S and -I: no installed package can be found.
    subprocess.run([sys.executable, "-S", "-I", "-c", code], check=True)


def test_map_in_the_package_docstring_names_every_room():
    rooms = {parts[0] for parts in MODULES if len(parts) == 2}
    listed = re.findall(r"^    (\w+)/  ", pyimagesearch.__doc__, re.MULTILINE)
    assert sorted(listed) == sorted(rooms)


def test_modules_have_at_most_400_lines():
    assert not [path for path in MODULES.values() if len(path.read_text().splitlines()) > 400]


def test_top_level_has_the_agreed_files_alone():
    expected = {"requirements.txt", "README.md", "pyimagesearch", "output", "tests", "LICENSE"}
    expected |= {f"{script}.py" for script in SCRIPTS}
    found = {path.name for path in ROOT.iterdir() if not path.name.startswith(".")}
    assert expected <= found <= expected | {"recon_vis.png", "plot.png", "__pycache__"}

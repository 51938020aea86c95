"""The examples in the docstrings run, and nothing public goes without a docstring."""

import doctest
import importlib
import inspect
from pathlib import Path

import pytest

from tests.conftest import ROOT

PACKAGE = Path(ROOT, "pyimagesearch")
MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for path in PACKAGE.rglob("*.py")
)


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name):
    flags = doctest.ELLIPSIS | doctest.IGNORE_EXCEPTION_DETAIL
    assert doctest.testmod(importlib.import_module(name), optionflags=flags).failed == 0


@pytest.mark.parametrize("name", MODULES)
def test_everything_public_is_documented(name):
    module = importlib.import_module(name)
    assert module.__doc__
    for what, member in vars(module).items():
        public = inspect.isfunction(member) or inspect.isclass(member)
        if public and not what.startswith("_") and member.__module__ == name:
            assert member.__doc__, what

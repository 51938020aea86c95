"""Closed and full standard streams, in processes of their own."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

# Writes a file, whose number may be that of a stream, and prints on both streams.
PROGRAM = """
import sys
from pyimagesearch import InputError
from pyimagesearch.cli import console

@console.exit_status
def main(argv):
    console.configure_logging()
    with open("result", "w") as file:
        console.logger.info("of standard output")
        console.logger.warning("of standard error")
        file.write("whole")
    if "wrong" in sys.argv:
        raise InputError("wrong")

sys.exit(main())
"""


def run(folder, redirection, *flags):
    """Run the program with redirected streams; its status and what it printed."""
    command = f'exec "$0" -c "$1" {" ".join(flags)} {redirection}'
    ran = subprocess.run(
        ["bash", "-c", command, sys.executable, PROGRAM],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert Path(folder, "result").read_text() == "whole"
    return ran.returncode, ran.stdout, ran.stderr


OUT, ERR = "[INFO] of standard output\n", "[WARNING] of standard error\n"


@pytest.mark.parametrize(
    ("redirection", "out", "err"),
    [
        ("", OUT, ERR),
        (">&-", "", ERR),
        ("2>&-", OUT, ""),
        ("<&- >&- 2>&-", "", ""),
        (">/dev/full", "", ERR),
        ("2>/dev/full", OUT, ""),
        (">/dev/full 2>&1", "", ""),
    ],
)
def test_program_whose_streams_are_closed_or_full_does_its_work(tmp_path, redirection, out, err):
    assert run(tmp_path, redirection) == (0, out, err)


@pytest.mark.parametrize("redirection", ["2>&-", "2>/dev/full"])
def test_error_that_can_not_be_printed_has_its_status(tmp_path, redirection):
    assert run(tmp_path, redirection, "wrong") == (2, OUT, "")

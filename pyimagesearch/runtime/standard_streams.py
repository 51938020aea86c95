"""Standard streams that are closed, or that take no more."""

import os
import sys
from pathlib import Path


def open_closed_streams():
    """Open the standard streams that are closed, on the null device.

    Else the next files that are opened would get their numbers, and whatever a library prints would
    be written into these files.
    """
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(number)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w"))  # noqa: SIM115 (open until the end)


def discard_output(stream):
    """Let all that is still to be written to a standard stream be lost."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, stream.fileno())
    os.close(null)

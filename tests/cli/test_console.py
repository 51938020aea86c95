import ast
import io
import logging
import sys

import pytest

from pyimagesearch import InputError
from pyimagesearch.cli import console
from tests.conftest import ROOT


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture(autouse=True)
def restore_logger():
    logger = logging.getLogger("pyimagesearch")
    level, handlers, propagate = logger.level, logger.handlers[:], logger.propagate
    yield
    logger.setLevel(level)
    logger.propagate = propagate
    logger.handlers[:] = handlers


def test_logging_of_info_and_warning_prints_each_to_its_stream_once(capsys):
    console.configure_logging()
    console.configure_logging()
    logger = logging.getLogger("pyimagesearch.anywhere")
    logger.info("loading %s", "a\x1bb")
    logger.warning("careful")
    assert capsys.readouterr() == ("[INFO] loading a\\x1bb\n", "[WARNING] careful\n")


def test_logging_when_a_library_handles_the_root_logger_writes_once(capsys):
    handler = logging.StreamHandler()
    logging.getLogger().addHandler(handler)
    try:
        console.configure_logging()
        logging.getLogger("pyimagesearch.anywhere").info("loading")
    finally:
        logging.getLogger().removeHandler(handler)
    assert capsys.readouterr() == ("[INFO] loading\n", "")


def test_logging_when_quiet_prints_errors_alone_and_no_progress(capsys):
    console.configure_logging(quiet=True)
    logging.getLogger("pyimagesearch").warning("careful")
    console.Progress("epoch")(1, 1)
    assert capsys.readouterr() == ("", "")


def test_progress_when_piped_prints_the_last_step_with_its_figures(capsys):
    console.configure_logging()
    progress = console.Progress("epoch")
    progress(2, 4, loss=None)
    progress(3, 4, loss=0.5)
    progress(4, 4, loss=0.25, val_loss=None)
    assert capsys.readouterr().out == "[INFO] epoch 4/4, loss 0.25000\n"


def test_progress_when_piped_prints_the_last_step_even_if_all_are_fast(capsys):
    console.configure_logging()
    progress = console.Progress("images scored")
    for done in range(1001):
        progress(done, 1000)
    assert capsys.readouterr().out == "[INFO] images scored 1,000/1,000\n"


def test_progress_on_a_terminal_is_one_line_that_grows(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    console.configure_logging()
    progress = console.Progress("epoch")
    for done in range(5):
        progress(done, 4, loss=0.25, val_loss=None)
    lines = terminal.getvalue().split("\r")[1:]
    assert [line.count("=") for line in lines] == [0, 6, 12, 18, 24]
    assert "epoch 3/4, loss 0.25000, 0 s left" in lines[3]
    assert [line.endswith("\n") for line in lines] == [False] * 4 + [True]


@pytest.mark.parametrize(
    ("paths", "warning"),
    [
        ([], ""),
        (
            ["a.png"],
            "[WARNING] 1 picture that this suite has written is not read as an image: a.png\n",
        ),
        (
            ["a.png", "b.png"],
            "[WARNING] 2 pictures that this suite has written are not read as images, such as "
            "a.png\n",
        ),
    ],
)
def test_warning_of_own_pictures_counts_them(paths, warning, capsys):
    console.configure_logging()
    console.warn_of_own_pictures(paths)
    assert capsys.readouterr() == ("", warning)


@pytest.mark.parametrize(
    ("fault", "status", "message"),
    [
        (InputError("one\nline"), 2, "error: one line\n"),
        (KeyboardInterrupt(), 130, "\ninterrupted\n"),
        (
            ImportError("libGL.so.1: cannot open"),
            2,
            "error: a library could not be loaded (libGL.so.1",
        ),
        (ZeroDivisionError("bug"), 1, "Traceback"),
    ],
)
def test_exit_status_of_a_fault_is_its_number_and_one_line(fault, status, message, capsys):
    def main(argv):
        raise fault

    assert console.exit_status(main)() == status
    assert message in capsys.readouterr().err


def test_exit_status_of_success_is_0():
    assert console.exit_status(lambda argv: "something")([]) == 0


@pytest.mark.parametrize(
    ("script", "most"), [("train_unsupervised_autoencoder.py", 75), ("find_anomalies.py", 85)]
)
def test_main_of_a_script_is_short(script, most):
    body = ast.parse((ROOT / script).read_text()).body
    (main,) = (node for node in body if getattr(node, "name", "") == "main")
    assert main.end_lineno - main.lineno < most

import logging

import pytest

from pyimagesearch.cli import console


@pytest.fixture(autouse=True)
def restore_level():
    logger = logging.getLogger("pyimagesearch")
    level, handlers = logger.level, logger.handlers[:]
    yield
    logger.setLevel(level)
    logger.handlers[:] = handlers


def test_logging_given_info_and_warning_writes_each_to_its_stream_once(capsys):
    console.configure_logging()
    console.configure_logging()
    logger = logging.getLogger("pyimagesearch.anywhere")
    logger.info("loading %s", "a\x1bb")
    logger.warning("careful")
    assert capsys.readouterr() == ("[INFO] loading a\\x1bb\n", "[WARNING] careful\n")


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

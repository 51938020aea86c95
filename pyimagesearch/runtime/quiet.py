"""How are libraries kept from writing to the user's screen?"""

import logging
import os
import sys
from contextlib import contextmanager


@contextmanager
def quiet_stderr():
    """Throw away what is written to standard error meanwhile, also by libraries in C.

    These write straight to the file descriptor. It is the whole process's: keep this for moments
    in which nobody else has anything to say. Python's exceptions get through as ever.
    """
    sys.stderr.flush()
    screen = os.dup(2)
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 2)
        os.close(nowhere)
        yield
    finally:
        os.dup2(screen, 2)
        os.close(screen)


@contextmanager
def quiet_tensorflow():
    """Keep TensorFlow's start-up lines off the screen while it is imported.

    It writes some of them before any setting of its own is read.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with quiet_stderr():
        yield


@contextmanager
def quiet_retracing():
    """Keep TensorFlow from complaining of functions that are compiled again and again.

    Each network has functions of its own, so that a search over many of them compiles many.
    """
    logger = logging.getLogger("tensorflow")

    def tell(record):
        return "triggered tf.function retracing" not in record.getMessage()

    logger.addFilter(tell)
    try:
        yield
    finally:
        logger.removeFilter(tell)

"""Context managers that keep the messages of libraries off the screen."""

import logging
import os
import sys
from contextlib import contextmanager

from pyimagesearch import InputError


@contextmanager
def quiet_stderr():
    """Discard what is written to standard error within the block, also by libraries in C.

    These write to the file descriptor itself. It belongs to the whole process, so use this only
    where no other thread has anything to print. Exceptions pass as usual.
    """
    try:
        screen = os.dup(2)
    except OSError:
        # It is closed: nothing can be seen.
        yield
        return
    if sys.stderr is not None:
        sys.stderr.flush()
    try:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 2)
        os.close(null)
        yield
    finally:
        os.dup2(screen, 2)
        os.close(screen)


@contextmanager
def quiet_tensorflow():
    """Discard the start-up lines of TensorFlow, which is to be imported within the block.

    It prints some of them before it reads any setting. The setting discards the later ones. Keras is
    configured as this package needs it, whatever the environment and its file of settings say.

    Raises:
        InputError: If Keras is in use already, with another backend.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if "keras" not in sys.modules:
        os.environ["KERAS_BACKEND"] = "tensorflow"
    with quiet_stderr():
        if "keras" in sys.modules:
            _configure_keras()
        yield
        if "keras" in sys.modules:
            _configure_keras()


def _configure_keras():
    """Set what networks depend on: the numbers are float32, the channels come last."""
    import keras

    if (backend := keras.config.backend()) != "tensorflow":
        raise InputError(
            f"expected Keras with the backend tensorflow, found it in use with {backend}: set "
            "KERAS_BACKEND=tensorflow before Keras is imported"
        )
    keras.config.set_floatx("float32")
    keras.config.set_image_data_format("channels_last")


@contextmanager
def quiet_retracing():
    """Discard TensorFlow's warnings of functions that are compiled again and again.

    Each network has functions of its own, so that a search over many networks compiles many.
    """
    logger = logging.getLogger("tensorflow")

    def is_not_retracing(record):
        return "triggered tf.function retracing" not in record.getMessage()

    logger.addFilter(is_not_retracing)
    try:
        yield
    finally:
        logger.removeFilter(is_not_retracing)

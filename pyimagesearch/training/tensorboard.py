"""Summaries of a training for TensorBoard."""

import os
from pathlib import Path

import tensorflow as tf

from pyimagesearch import InputError


def tensorboard_writer(folder):
    """Make a function that writes the losses of each epoch for TensorBoard.

    Args:
        folder: Folder to write to; it is made if it is missing.

    Returns:
        A function `(epoch, **figures)`; a figure that is `None` is left out.

    Raises:
        InputError: If the folder can't be written to.
    """
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        # As bytes, because TensorFlow takes only UTF-8 as text.
        writer = tf.summary.create_file_writer(os.fsencode(folder))
    except (OSError, tf.errors.OpError) as fault:
        raise InputError(f"cannot write to the folder {folder}: {fault}") from None

    # `tf.summary.scalar` does this too, but needs TensorBoard to be installed.
    kind = tf.compat.v1.SummaryMetadata(plugin_data={"plugin_name": "scalars"}, data_class=1)

    def write(epoch, **figures):
        with writer.as_default(step=epoch):
            for name, value in figures.items():
                if value is not None:
                    tf.summary.write(name, tf.constant(value, tf.float32), metadata=kind)
        writer.flush()

    return write

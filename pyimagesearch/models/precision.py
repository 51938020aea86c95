"""Whether bf16 is faster than float32 on this machine, by a trial."""

import logging
import math
import time

import tensorflow as tf

from pyimagesearch.models.architectures import clone_with_precision

logger = logging.getLogger(__name__)

# Images in the batch of a trial, and the numbers in these images, both at most; and its repetitions.
BATCH_SIZE, MAX_BATCH_NUMBERS, REPETITIONS = 256, 2**20, 3


def warn_unless_faster(autoencoder, training=False):
    """Time a batch in float32 and in bf16, and warn if bf16 is not faster here.

    Args:
        autoencoder: Keras model from `(N, H, W, C)` to the same, of pixels; it stays as it is.
        training: Whether the gradients are needed, too.
    """
    seconds = (
        seconds_of_batch(clone_with_precision(autoencoder, precision), training)
        for precision in ("float32", "bf16")
    )
    if warning := format_warning(*seconds):
        logger.warning(warning)


def format_warning(in_float32, in_bf16):
    """A warning if bf16 is not faster, by the seconds of a batch in either precision; else `None`.

    Example:
        >>> format_warning(0.2, 0.3)
        '--precision bf16 does not help here: a batch takes 300 ms, in float32 200 ms; leave it out'
        >>> format_warning(0.3, 0.2)
    """
    if in_bf16 < in_float32:
        return None
    return (
        f"--precision bf16 does not help here: a batch takes {1000 * in_bf16:.3g} ms, in float32 "
        f"{1000 * in_float32:.3g} ms; leave it out"
    )


def seconds_of_batch(autoencoder, training):
    """The shortest time of some in which a batch passes through a network, in seconds."""
    shape = autoencoder.input_shape[1:]
    n = max(1, min(BATCH_SIZE, MAX_BATCH_NUMBERS // math.prod(shape)))

    @tf.function(autograph=False)
    def run(batch):
        with tf.GradientTape() as tape:
            outputs = tf.cast(autoencoder(batch, training=training), tf.float32)
            error = tf.reduce_mean(tf.square(outputs - batch))
        if not training:
            return error
        gradients = tape.gradient(error, autoencoder.trainable_variables)
        return tf.add_n([tf.reduce_sum(gradient) for gradient in gradients])

    batch, seconds = tf.fill((n, *shape), 0.5), []
    run(batch).numpy()  # compiles
    for _ in range(REPETITIONS):
        started = time.perf_counter()
        run(batch).numpy()
        seconds.append(time.perf_counter() - started)
    return min(seconds)

"""How is a network fitted when some of the images are bad?"""

import dataclasses
import time
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf


def cosine(rate, steps, epochs):
    """Warm-up over a twentieth of the steps, then half a cosine down to nothing.

    (Loshchilov and Hutter, "SGDR: Stochastic gradient descent with warm restarts", ICLR 2017,
    without the restarts.)
    """
    warm_up = max(1, steps // 20)
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=rate / (warm_up + 1),
        warmup_target=rate,
        warmup_steps=warm_up,
        decay_steps=max(1, steps - warm_up),
    )


def inverse_time(rate, steps, epochs):
    """What Keras 2's `Adam(lr, decay=lr / epochs)` did, which Keras 3 ignores."""
    return keras.optimizers.schedules.InverseTimeDecay(
        rate, decay_steps=1, decay_rate=rate / epochs
    )


# Name -> function from the highest rate, the number of steps and of epochs to a Keras schedule.
SCHEDULES = {"cosine": cosine, "inverse-time": inverse_time}


@dataclass(frozen=True)
class History:
    """What happened in training.

    Attributes:
        loss: Trimmed mean of the squared error over the training images, by epoch.
        val_loss: The same over the images held out, by epoch; empty without any.
        seconds: How long the training took.
        suspects: Indices of the training images that the last epoch ignored, ascending.
    """

    loss: list[float]
    val_loss: list[float]
    seconds: float
    suspects: np.ndarray

    def as_dict(self):
        """As plain numbers and lists, for JSON."""
        return {**dataclasses.asdict(self), "suspects": self.suspects.tolist()}


def split(n, held_out=0.2, seed=42):
    """Choose at random which images are trained on and which are held out.

    Args:
        n: Number of images.
        held_out: Share of them to hold out, in [0, 1). At least one image is trained on.
        seed: Of the choice.

    Returns:
        Two int arrays of indices, each ascending: trained on, held out.

    Example:
        >>> trained, held_out = split(10, held_out=0.2)
        >>> len(trained), len(held_out)
        (8, 2)
    """
    order = np.random.default_rng([seed, 0]).permutation(n)
    n_held_out = min(round(n * held_out), n - 1)
    return np.sort(order[n_held_out:]), np.sort(order[:n_held_out])


def number_of_epochs(n, epochs, batch_size, min_steps):
    """Epochs that are needed for at least `min_steps` steps, and never fewer than `epochs`."""
    return max(epochs, -(-min_steps // -(-n // batch_size)))


def fit(
    autoencoder,
    images,
    held_out=None,
    *,
    epochs,
    batch_size,
    learning_rate,
    schedule="cosine",
    trim=0.0,
    seed=42,
    on_epoch=None,
):
    """Fit an autoencoder to images some of which it should not learn.

    After the first epoch, the images whose error was among the largest `trim` of the whole set
    when they were last seen are suspects: the next epoch gives them no weight. Each epoch judges
    anew, so that an image can clear itself. An outlier is thus not learnt, and stays badly
    reconstructed however long the training. (Iterative trimmed loss minimisation: Shen and
    Sanghavi, "Learning with bad training data via iterative trimmed loss minimization",
    ICML 2019.)

    Args:
        autoencoder: Keras model from `(N, H, W, C)` to the same; trained in place.
        images: float32 array `(N, H, W, C)` in [0, 1].
        held_out: The like, `(M, H, W, C)`, for the validation loss; or `None`.
        epochs: Passes over the images.
        batch_size: Images per step.
        learning_rate: Of Adam, at its highest.
        schedule: A key of `SCHEDULES`.
        trim: Share of the images to suspect, in [0, 1). 0 is plain training.
        seed: Of the order of the images.
        on_epoch: Called after each epoch as `on_epoch(epoch, loss=..., val_loss=...)`, epochs
            counted from 1 and `val_loss` `None` without held-out images.

    Returns:
        A `History`.

    Example:
        >>> from pyimagesearch.convautoencoder import ConvAutoencoder
        >>> images = np.zeros((20, 8, 8, 1), "float32")
        >>> autoencoder = ConvAutoencoder.build(8, 8, 1, filters=(4,), latentDim=2, seed=0)[2]
        >>> history = fit(autoencoder, images, epochs=3, batch_size=10, learning_rate=0.01)
        >>> history.loss[0] > history.loss[2]
        True
    """
    started = time.monotonic()
    n = len(images)
    steps = epochs * -(-n // batch_size)
    optimizer = keras.optimizers.Adam(SCHEDULES[schedule](learning_rate, steps, epochs))
    optimizer.build(autoencoder.trainable_variables)
    signature = tf.TensorSpec((None, *images.shape[1:]), tf.float32)

    def squared_error(batch, training):  # (B, H, W, C) -> (B,)
        return tf.reduce_mean(tf.square(batch - autoencoder(batch, training=training)), (1, 2, 3))

    @tf.function(input_signature=[signature, tf.TensorSpec((None,), tf.float32)])
    def step(batch, weights):
        with tf.GradientTape() as tape:
            errors = squared_error(batch, training=True)
            loss = tf.math.divide_no_nan(tf.reduce_sum(errors * weights), tf.reduce_sum(weights))
        gradients = tape.gradient(loss, autoencoder.trainable_variables)
        optimizer.apply(gradients, autoencoder.trainable_variables)
        return errors

    @tf.function(input_signature=[signature])
    def validate(batch):
        return squared_error(batch, training=False)

    n_suspects = int(trim * n)
    weights = np.ones(n, np.float32)  # 1: learn from this image; 0: a suspect
    errors = np.zeros(n, np.float32)
    losses, val_losses = [], []
    for epoch in range(1, epochs + 1):
        # A generator of its own for every epoch: any epoch's order is known without the others.
        order = np.random.default_rng([seed, epoch]).permutation(n)
        for batch in np.array_split(order, range(batch_size, n, batch_size)):
            errors[batch] = step(images[batch], weights[batch])
        losses.append(trimmed_mean(errors, trim))
        val_loss = None
        if held_out is not None and len(held_out):
            parts = np.array_split(held_out, range(1024, len(held_out), 1024))
            val_loss = trimmed_mean(np.concatenate([validate(part) for part in parts]), trim)
            val_losses.append(val_loss)
        if epoch < epochs:
            weights[:] = 1
            weights[largest(errors, n_suspects)] = 0
        if on_epoch is not None:
            on_epoch(epoch, loss=losses[-1], val_loss=val_loss)
    return History(losses, val_losses, time.monotonic() - started, np.flatnonzero(weights == 0))


def largest(errors, k):
    """Indices of the `k` largest errors; of equal ones, the first."""
    return np.argsort(-errors, kind="stable")[:k]


def trimmed_mean(errors, trim):
    """Mean of the errors without the largest share `trim` of them.

    Args:
        errors: float array `(N,)`, N at least 1.
        trim: Share to leave out, in [0, 1).

    Example:
        >>> trimmed_mean(np.array([1.0, 2.0, 3.0, 100.0]), trim=0.25)
        2.0
    """
    kept = len(errors) - int(trim * len(errors))
    return float(np.mean(np.sort(errors)[:kept], dtype=np.float64))

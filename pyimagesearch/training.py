"""How is a network fitted when some of the images are bad?"""

import dataclasses
import time
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

from pyimagesearch.streams import batches


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


def squared_error(wanted, given):
    """Mean squared error of each image: two float tensors `(B, H, W, C)` to `(B,)`."""
    return tf.reduce_mean(tf.square(wanted - given), (1, 2, 3))


def cross_entropy(wanted, given):
    """Pixel-wise cross-entropy of each image, in nats: two tensors in [0, 1] to `(B,)`."""
    return tf.reduce_mean(keras.losses.binary_crossentropy(wanted, given), (1, 2))


# Name -> function from the wanted and the given images to one loss an image.
LOSSES = {"mse": squared_error, "bce": cross_entropy}


@dataclass(frozen=True)
class History:
    """What happened in training.

    Attributes:
        loss: Trimmed mean of the loss over the training images, by epoch.
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
    trained=None,
    held_out=(),
    *,
    epochs,
    batch_size,
    learning_rate,
    schedule="cosine",
    trim=0.0,
    loss="mse",
    corrupt=None,
    seed=42,
    on_epoch=None,
):
    """Fit an autoencoder to images some of which it should not learn.

    After the first epoch, the images whose loss was among the largest `trim` of the whole set
    when they were last seen are suspects: the next epoch gives them no weight. Each epoch judges
    anew, so that an image can clear itself. An outlier is thus not learnt, and stays badly
    reconstructed however long the training. (Iterative trimmed loss minimisation: Shen and
    Sanghavi, "Learning with bad training data via iterative trimmed loss minimization",
    ICML 2019.)

    With `corrupt`, the network sees spoilt images and is to give back the clean ones (denoising
    autoencoder: Vincent et al., "Extracting and composing robust features with denoising
    autoencoders", ICML 2008).

    Args:
        autoencoder: Keras model from `(N, H, W, C)` to the same; trained in place.
        images: float32 array `(N, H, W, C)` in [0, 1], or anything that `streams.batches` takes.
        trained: int array of the indices to train on; all unless given.
        held_out: int array of the indices for the validation loss; may be empty.
        epochs: Passes over the images.
        batch_size: Images per step.
        learning_rate: Of Adam, at its highest.
        schedule: A key of `SCHEDULES`.
        trim: Share of the images to suspect, in [0, 1). 0 is plain training.
        loss: A key of `LOSSES`.
        corrupt: Function from a batch, float32 array `(B, H, W, C)`, and a seed, a list of whole
            numbers, to the spoilt batch; `None` leaves the images as they are.
        seed: Of the order of the images and of what is spoilt.
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
    trained = np.arange(len(images)) if trained is None else np.asarray(trained)
    n = len(trained)
    steps = epochs * -(-n // batch_size)
    optimizer = keras.optimizers.Adam(SCHEDULES[schedule](learning_rate, steps, epochs))
    optimizer.build(autoencoder.trainable_variables)
    signature = tf.TensorSpec((None, *images.shape[1:]), tf.float32)

    def image_losses(given, wanted, training):  # two (B, H, W, C) -> (B,)
        return LOSSES[loss](wanted, autoencoder(given, training=training))

    @tf.function(input_signature=[signature, signature, tf.TensorSpec((None,), tf.float32)])
    def step(given, wanted, weights):
        with tf.GradientTape() as tape:
            losses = image_losses(given, wanted, training=True)
            kept = tf.math.divide_no_nan(tf.reduce_sum(losses * weights), tf.reduce_sum(weights))
        gradients = tape.gradient(kept, autoencoder.trainable_variables)
        optimizer.apply(gradients, autoencoder.trainable_variables)
        return losses

    @tf.function(input_signature=[signature, signature])
    def validate(given, wanted):
        return image_losses(given, wanted, training=False)

    def spoil(batch, *seeds):
        return batch if corrupt is None else corrupt(batch, [seed, *seeds])

    n_suspects = int(trim * n)
    weights = np.ones(len(images), np.float32)  # 1: learn from this image; 0: a suspect
    last_seen = np.zeros(len(images), np.float32)  # each image's loss when it was last seen
    curve, val_curve = [], []
    for epoch in range(1, epochs + 1):
        # A generator of its own for every epoch: any epoch's order is known without the others.
        order = np.random.default_rng([seed, epoch]).permutation(trained)
        for number, (indices, batch) in enumerate(batches(images, order, batch_size)):
            last_seen[indices] = step(spoil(batch, epoch, number), batch, weights[indices])
        curve.append(trimmed_mean(last_seen[trained], trim))
        val_loss = None
        if len(held_out):
            # Spoilt alike in every epoch, so that the curve shows the network alone.
            losses = [
                validate(spoil(batch, 0, number), batch)
                for number, (_, batch) in enumerate(batches(images, held_out, batch_size))
            ]
            val_loss = trimmed_mean(np.concatenate(losses), trim)
            val_curve.append(val_loss)
        if epoch < epochs:
            weights[:] = 1
            weights[trained[largest(last_seen[trained], n_suspects)]] = 0
        if on_epoch is not None:
            on_epoch(epoch, loss=curve[-1], val_loss=val_loss)
    return History(curve, val_curve, time.monotonic() - started, np.flatnonzero(weights == 0))


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

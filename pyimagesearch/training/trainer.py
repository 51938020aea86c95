"""How is a network fitted when some of the images are bad?"""

import dataclasses
import functools
import time
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

from pyimagesearch import InputError
from pyimagesearch.data.batches import iterate_batches
from pyimagesearch.models.architectures import Autoencoder
from pyimagesearch.runtime.distribution import Cluster
from pyimagesearch.training.losses import LOSSES, trimmed_mean
from pyimagesearch.training.sample_weights import trimmed_sample_weights
from pyimagesearch.training.schedules import SCHEDULES


@dataclass(frozen=True)
class History:
    """What happened in training.

    Attributes:
        loss: Trimmed mean of the loss over the training images, by epoch.
        val_loss: The same over the images held out, by epoch; empty without any.
        seconds: How long the training took.
        suspects: Indices of the training images to which the last epoch gave no weight at all, or
            was giving none as it was interrupted, ascending.
        interrupted: Whether somebody has ended the training, by Ctrl-C, before its time.
    """

    loss: list[float]
    val_loss: list[float]
    seconds: float
    suspects: np.ndarray
    interrupted: bool = False

    def as_dict(self):
        """As plain numbers and lists, for JSON."""
        return {**dataclasses.asdict(self), "suspects": self.suspects.tolist()}


def fit_autoencoder(
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
    initial_outlier_scores=None,
    sample_weight_fn=None,
    loss="mse",
    corrupt=None,
    seed=42,
    on_epoch=None,
    cluster=None,
    state=None,
    keep=None,
):
    """Fit an autoencoder to images some of which it should not learn.

    After the first epoch, the images whose loss was among the largest `trim` of the whole set when
    they were last seen count for less, and the worst of them for nothing (`trimmed_sample_weights`). Each epoch
    judges anew, so that an image can clear itself. An outlier is thus not learnt, and stays badly
    reconstructed however long the training. (Iterative trimmed loss minimisation, here with a soft
    limit: Shen and Sanghavi, "Learning with bad training data via iterative trimmed loss
    minimization", ICML 2019.)

    What the loss can't tell as long as little is learnt may be known beforehand: with `initial_outlier_scores` the
    most doubtful are suspects in the first epoch, and later those of whom the product of doubt and
    loss is largest. With `sample_weight_fn`, it is not their rank alone that decides how much they count.

    With `corrupt`, the network sees spoilt images and is to give back the clean ones (denoising
    autoencoder: Vincent et al., "Extracting and composing robust features with denoising
    autoencoders", ICML 2008).

    With a cluster of several devices each takes its slice of every batch, and the gradients and
    losses are added up. Whom to suspect is decided on the losses of all, so that everything means
    the same as on one device; only the order in which numbers are added differs.

    Ctrl-C ends the training with what its last whole epoch has led to; within the first epoch, it
    is raised.

    Args:
        autoencoder: Keras model from `(N, H, W, C)` to the same, built within the scope of the
            cluster's strategy; trained in place.
        images: float32 array `(N, H, W, C)` in [0, 1], or anything that `batches.iterate_batches` takes.
        trained: int array of the indices to train on; all unless given.
        held_out: int array of the indices for the validation loss; may be empty.
        epochs: Passes over the images.
        batch_size: Images per step.
        learning_rate: Of Adam, at its highest.
        schedule: A key of `SCHEDULES`.
        trim: Share of the images' weight to take from the most suspect, in [0, 1). 0 is plain
            training.
        initial_outlier_scores: float array `(n,)`, at least 0: how doubtful each of the n images to train on is, in
            any unit. Unless given, all are suspected by their loss alone.
        sample_weight_fn: Function from float array `(n,)`, how suspect each of them is, to float32 array
            `(n,)` in [0, 1], how much it counts; `trimmed_sample_weights` with the trim unless given.
        loss: A key of `LOSSES`.
        corrupt: Function from a batch, float32 array `(B, H, W, C)`, and a seed, a list of whole
            numbers, to the spoilt batch; `None` leaves the images as they are.
        seed: Of the order of the images and of what is spoilt.
        on_epoch: Called after each epoch as `on_epoch(epoch, loss=..., val_loss=...,
            learning_rate=..., trimmed=...)`, epochs counted from 1, `val_loss` `None` without
            held-out images, and `trimmed` the share of the weight that was taken away.
        cluster: A `distribution.Cluster`; the one device unless given.
        state: Where to go on: what `keep` was given, in a training of the same settings. It goes
            on to the very same result as without an interruption.
        keep: Called after each epoch, before `on_epoch`, with all that later epochs need to know:
            a dict of arrays by name.

    Returns:
        A `History`.

    Raises:
        InputError: If an image can no longer be read, if a worker is lost, if there are fewer
            images in a batch than devices, or if the state is that of another version.

    Example:
        >>> from pyimagesearch.convautoencoder import ConvAutoencoder
        >>> images = np.zeros((20, 8, 8, 1), "float32")
        >>> autoencoder = ConvAutoencoder.build(8, 8, 1, filters=(4,), latentDim=2, seed=0)[2]
        >>> history = fit_autoencoder(autoencoder, images, epochs=3, batch_size=10, learning_rate=0.01)
        >>> history.loss[0] > history.loss[2]
        True
    """
    started = time.monotonic()
    cluster = cluster or Cluster()
    if batch_size < cluster.devices:
        raise InputError(
            f"expected at least one image for each of {cluster.devices} devices in a batch, received "
            f"a batch size of {batch_size}: take larger batches"
        )
    trained = np.arange(len(images)) if trained is None else np.asarray(trained)
    held_out = np.asarray(held_out, np.int64)
    n = len(trained)
    sample_weight_fn = sample_weight_fn or functools.partial(trimmed_sample_weights, trim=trim)
    steps = epochs * -(-n // batch_size)
    with cluster.scope():
        rate = SCHEDULES[schedule](learning_rate, steps, epochs)
        optimizer = keras.optimizers.Adam(rate)
        optimizer.build(autoencoder.trainable_variables)
    synchronize_batch_norm(autoencoder, cluster.devices > 1)
    network = Autoencoder(autoencoder)

    def losses_of(given, wanted, training):  # two (B, H, W, C) -> (B,)
        seen = network.preprocess(wanted)
        # Normalizing the contrast would take some of the noise away again: it is added afterwards.
        given = seen + (given - wanted) if network.normalizes_contrast else given
        return LOSSES[loss](seen, network.reconstruct(given, training))

    def step(given, wanted, weights, sum_of_weights):
        with tf.GradientTape() as tape:
            losses = losses_of(given, wanted, training=True)
            # The sum is that of the whole batch, so that what the devices find adds up to its mean.
            kept = tf.math.divide_no_nan(tf.reduce_sum(losses * weights), sum_of_weights)
        gradients = tape.gradient(kept, autoencoder.trainable_variables)
        optimizer.apply(gradients, autoencoder.trainable_variables)
        return losses

    def validate(given, wanted):
        return losses_of(given, wanted, training=False)

    some_images = tf.TensorSpec((None, *images.shape[1:]), tf.float32)
    some_weights, sum_of_weights = tf.TensorSpec((None,)), tf.TensorSpec(())
    step = cluster.replicate(step, some_images, some_images, some_weights, sum_of_weights)
    validate = cluster.replicate(validate, some_images, some_images)

    def each_batch(order, call, *seeds):
        """Call a function with each batch of images in an order; return all losses."""
        found = np.zeros(len(order), np.float32)
        shape = images.shape[1:]
        for count, (batch, own, wanted) in enumerate(
            local_batches(images, order, batch_size, cluster)
        ):
            indices, given = order[batch], wanted
            if corrupt is not None:
                # How they are spoilt is drawn for the whole batch, whoever has which part of it.
                whole = np.zeros((len(indices), *shape), np.float32)
                whole[own] = wanted
                given = corrupt(whole, [seed, *seeds, count])[own]
            found[batch][own] = call(indices, own, given, wanted)
        return cluster.all_reduce_sum(found)

    def learn(indices, own, given, wanted):
        kept = weights[indices]
        return step(len(indices), given, wanted, kept[own], kept.sum())

    def look(indices, own, given, wanted):
        return validate(len(indices), given, wanted)

    variables = [*autoencoder.variables, *optimizer.variables]
    weights = np.ones(len(images), np.float32)  # 1: learn from this image; 0: a suspect
    if initial_outlier_scores is not None:
        weights[trained] = sample_weight_fn(initial_outlier_scores)
    last_seen = np.zeros(len(images), np.float32)  # each image's loss when it was
    curve, val_curve, before, interrupted = [], [], 0.0, False

    def go_on_from(state):
        for number, variable in enumerate(variables):
            variable.assign(state[f"variable/{number}"])
        weights[:] = state["weights"]
        return state["loss"].tolist(), state["val_loss"].tolist()

    if state is not None:
        try:
            curve, val_curve = go_on_from(state)
            before = float(state["seconds"])
        except KeyError as missing:
            raise InputError(
                f"the unfinished training has kept no {missing}: another version of this project "
                "began it; leave --resume out to begin anew"
            ) from None
    for epoch in range(len(curve) + 1, epochs + 1):
        try:
            # A generator of its own for every epoch: any epoch's order is known without the others.
            order = np.random.default_rng([seed, epoch]).permutation(trained)
            last_seen[order] = each_batch(order, learn, epoch)
            curve.append(trimmed_mean(last_seen[trained], trim))
            if len(held_out):
                # Spoilt alike in every epoch, so that the curve shows the network alone.
                val_curve.append(trimmed_mean(each_batch(held_out, look, 0), trim))
            trimmed = 1 - weights[trained].mean(dtype=np.float64)
            if epoch < epochs:
                suspicion = last_seen[trained] * (
                    1 if initial_outlier_scores is None else initial_outlier_scores
                )
                weights[trained] = sample_weight_fn(suspicion)
            state = {
                "loss": np.array(curve),
                "val_loss": np.array(val_curve),
                "seconds": np.array(before + time.monotonic() - started),
                "weights": weights.copy(),
            }
            for number, variable in enumerate(variables):
                state[f"variable/{number}"] = keras.ops.convert_to_numpy(variable).copy()
            if keep is not None:
                keep(state)
            if on_epoch is not None:
                on_epoch(
                    epoch,
                    loss=curve[-1],
                    val_loss=val_curve[-1] if val_curve else None,
                    learning_rate=float(optimizer.learning_rate),
                    trimmed=trimmed,
                )
        except KeyboardInterrupt:
            if state is None:
                raise
            curve, val_curve = go_on_from(state)
            interrupted = True
            break
    seconds = before + time.monotonic() - started
    return History(curve, val_curve, seconds, np.flatnonzero(weights == 0), interrupted)


def local_batches(images, order, batch_size, cluster):
    """Go through images in an order, each process of a cluster through its part of each batch.

    Args:
        images: Anything that `batches.iterate_batches` takes.
        order: int array of indices, the same in every process.
        batch_size: Images in each batch of the cluster but the last.
        cluster: A `distribution.Cluster`.

    Yields:
        Triples: which part of the order is the batch, and which part of the batch is this
        process's own, as slices; and the pixels of the latter, float32 `(B, H, W, C)`.

    Example:
        >>> from pyimagesearch.runtime.distribution import Cluster
        >>> images = np.zeros((3, 1, 1, 1), np.float32)
        >>> [pixels.shape for *_, pixels in local_batches(images, np.arange(3), 2, Cluster())]
        [(2, 1, 1, 1), (1, 1, 1, 1)]
    """
    starts = range(0, len(order), batch_size)
    parts = [slice(start, min(start + batch_size, len(order))) for start in starts]
    owned = [cluster.local_slice(part.stop - part.start) for part in parts]
    mine = [order[part][own] for part, own in zip(parts, owned, strict=True)]
    pixels = iterate_batches(
        images, np.concatenate([order[:0], *mine]), max(map(len, mine), default=1)
    )
    nothing = np.zeros((0, *images.shape[1:]), np.float32)
    for part, own, indices in zip(parts, owned, mine, strict=True):
        # The last batch may be too small for everybody to have a part.
        yield part, own, next(pixels)[1] if len(indices) else nothing


def synchronize_batch_norm(model, together):
    """Say whether batch normalisation takes its statistics over the slices of all devices."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            synchronize_batch_norm(layer, together)
        elif isinstance(layer, keras.layers.BatchNormalization):
            layer.synchronized = together

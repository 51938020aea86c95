"""The training loop: weighted steps, validation, checkpoints, on any number of devices."""

import time
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

from pyimagesearch import InputError
from pyimagesearch.data.batches import local_batches
from pyimagesearch.models.architectures import Autoencoder
from pyimagesearch.runtime.distribution import Cluster
from pyimagesearch.training.checkpoint import check_state
from pyimagesearch.training.losses import LOSSES, trimmed_mean
from pyimagesearch.training.sample_weights import TrimmedWeighting
from pyimagesearch.training.schedules import SCHEDULES


@dataclass(frozen=True)
class History:
    """What happened in training.

    Attributes:
        loss: Trimmed mean of the loss over the training images, by epoch.
        val_loss: The same over the held-out images, by epoch; empty without any.
        seconds: How long the training took.
        outliers: int array of the indices of the training images that had no weight at the end,
            ascending.
        interrupted: Whether Ctrl-C ended the training early.
    """

    loss: list[float]
    val_loss: list[float]
    seconds: float
    outliers: np.ndarray
    interrupted: bool = False

    def as_dict(self):
        """Plain numbers and lists, for JSON; its key for the outliers is `suspects`."""
        return {
            "loss": self.loss,
            "val_loss": self.val_loss,
            "seconds": self.seconds,
            "suspects": self.outliers.tolist(),
            "interrupted": self.interrupted,
        }


class Trainer:
    """Fits an autoencoder to images some of which are outliers.

    The loss is a weighted mean. After each epoch the images with the highest losses get lower
    sample weights, or none, so that outliers are not learned and stay badly reconstructed, however
    long the training. Each epoch weights all images anew. (Iterative trimmed loss minimization,
    here with a soft limit: Shen and Sanghavi, "Learning with bad training data via iterative
    trimmed loss minimization", ICML 2019.)

    With a corruption, the inputs are corrupted images and the targets the clean ones (denoising
    autoencoder: Vincent et al., "Extracting and composing robust features with denoising
    autoencoders", ICML 2008).

    On several devices each takes its slice of every batch, and gradients and losses are added up.
    Sample weights come from the losses of all. Only the order in which numbers are added differs
    from one device.

    Args:
        model: Keras model from `(N, H, W, C)` to the same, built within the scope of the cluster's
            strategy; trained in place.
        recipe: A `recipes.Recipe`: how to train, on which loss.
        images: float32 array `(N, H, W, C)` in [0, 1], or anything that `iterate_batches` takes.
        split: A pair of int arrays of indices: the training images, and the held-out images for the
            validation loss, which may be empty; `None`: all are training images.
        sample_weighting: An object like `TrimmedWeighting`, which is taken unless given.
        corruption_fn: Function from a batch, float32 array `(B, H, W, C)`, and a seed, a list of
            whole numbers, to the corrupted batch; `None` leaves the images as they are.
        seed: Of the order of the images and of the corruption.
        cluster: A `distribution.Cluster`; the one device unless given.
        frequency_weights: float array `(N,)`, above 0: how many times each image counts in the
            losses; `None`: once.

    Attributes:
        loss, val_loss: As of `History`, so far.
        epochs: How many epochs the training has.
        sample_weights: float32 array `(N,)` in [0, 1], one for each image: what trimming leaves.
        frequency_weights: float32 array `(N,)`: as given, with a mean of 1 over the training images;
            or `None`.

    Raises:
        InputError: If there are fewer images in a batch than devices.

    Example:
        >>> from pyimagesearch.convautoencoder import ConvAutoencoder
        >>> from pyimagesearch.training.recipes import make_recipe
        >>> images = np.zeros((20, 8, 8, 1), "float32")
        >>> model = ConvAutoencoder.build(8, 8, 1, filters=(4,), latentDim=2, seed=0)[2]
        >>> history = Trainer(model, make_recipe(epochs=3, batch_size=10), images).fit()
        >>> history.loss[0] > history.loss[2]
        True
    """

    def __init__(
        self,
        model,
        recipe,
        images,
        split=None,
        *,
        sample_weighting=None,
        corruption_fn=None,
        seed=42,
        cluster=None,
        frequency_weights=None,
    ):
        self._started = time.monotonic()
        self.cluster = cluster or Cluster()
        if recipe.batch_size < self.cluster.devices:
            raise InputError(
                f"expected at least one image for each of {self.cluster.devices} devices in a "
                f"batch, received a batch size of {recipe.batch_size}: take larger batches"
            )
        self.model, self.recipe, self.images, self.seed = model, recipe, images, seed
        self.corruption_fn = corruption_fn
        trained, held_out = split or (np.arange(len(images)), [])
        self.trained, self.held_out = np.asarray(trained), np.asarray(held_out, np.int64)
        self.epochs = recipe.epochs_for(len(self.trained))
        self.frequency_weights = None
        if frequency_weights is not None:
            weights = np.asarray(frequency_weights, np.float64)
            self.frequency_weights = np.float32(weights / weights[self.trained].mean())
        self.network = Autoencoder(model)
        self._build_optimizer()
        synchronize_batch_norm(model, self.cluster.devices > 1)
        self._compile()

        self.loss, self.val_loss = [], []
        self.sample_weighting = sample_weighting or TrimmedWeighting(recipe.trim)
        self.sample_weights = np.ones(len(images), np.float32)
        initial = self.sample_weighting.initial_outlier_scores
        if initial is not None:
            self.sample_weights[self.trained] = self.sample_weighting(initial)

    def _build_optimizer(self):
        """Make Adam with the learning rate schedule of the recipe."""
        steps = self.epochs * self.recipe.steps_per_epoch(len(self.trained))
        with self.cluster.scope():
            schedule = SCHEDULES[self.recipe.schedule]
            rate = schedule(self.recipe.learning_rate, steps, self.epochs)
            self.optimizer = keras.optimizers.Adam(rate)
            self.optimizer.build(self.model.trainable_variables)
        # All that steps change, in the order in which checkpoints have it.
        self.variables = [*self.model.variables, *self.optimizer.variables]

    def _compile(self):
        """Compile both steps for the devices of the cluster."""
        batch = tf.TensorSpec((None, *self.images.shape[1:]), tf.float32)
        weights, total_weight = tf.TensorSpec((None,)), tf.TensorSpec(())
        self._train_function = self.cluster.replicate(
            self.train_step, batch, batch, weights, total_weight
        )
        self._test_function = self.cluster.replicate(self.test_step, batch, batch)

    def compute_losses(self, inputs, targets, training):
        """The loss of each image: two float tensors `(B, H, W, C)` to `(B,)`."""
        preprocessed = self.network.preprocess(targets)
        if self.network.normalizes_contrast:
            # Noise is added afterwards: normalizing contrast would remove some of it again.
            inputs = preprocessed + (inputs - targets)
        outputs = self.network.reconstruct(inputs, training)
        return LOSSES[self.recipe.loss](preprocessed, outputs)

    def train_step(self, inputs, targets, sample_weights, total_weight):
        """Take one optimizer step on the weighted mean loss, on one device.

        Args:
            inputs, targets: float32 tensors `(B, H, W, C)`: this device's slice of a batch.
            sample_weights: float32 tensor `(B,)`: what trimming leaves, times the frequency weights.
            total_weight: The sum of what trimming leaves of the whole batch, so that the gradients
                of all devices add up to that of its weighted mean. Frequency weights are not in it:
                a batch that counts more takes a larger part in the epoch.

        Returns:
            The loss of each image before the step, float32 tensor `(B,)`.
        """
        with tf.GradientTape() as tape:
            losses = self.compute_losses(inputs, targets, training=True)
            mean = tf.math.divide_no_nan(tf.reduce_sum(losses * sample_weights), total_weight)
        gradients = tape.gradient(mean, self.model.trainable_variables)
        self.optimizer.apply(gradients, self.model.trainable_variables)
        return losses

    def test_step(self, inputs, targets):
        """The loss of each held-out image, on one device: as `train_step` without the step."""
        return self.compute_losses(inputs, targets, training=False)

    def run_batches(self, order, epoch, training):
        """Go through images batch by batch, on all devices.

        Args:
            order: int array `(n,)` of indices, the same in every process.
            epoch: Part of the seed of their corruption.
            training: Whether to learn from them.

        Returns:
            The loss of each, float32 array `(n,)`, the same in every process.
        """
        losses = np.zeros(len(order), np.float32)
        batches = local_batches(self.images, order, self.recipe.batch_size, self.cluster)
        for number, (batch, local, targets) in enumerate(batches):
            indices = order[batch]
            inputs = self._corrupt(targets, local, len(indices), [self.seed, epoch, number])
            if training:
                weights = self.sample_weights[indices]
                counted = self._counts(indices, 1) * weights
                losses[batch][local] = self._train_function(
                    len(indices), inputs, targets, counted[local], weights.sum()
                )
            else:
                losses[batch][local] = self._test_function(len(indices), inputs, targets)
        return self.cluster.all_reduce_sum(losses)

    def _counts(self, indices, default=None):
        """The frequency weights of some images; a default where there are none."""
        return default if self.frequency_weights is None else self.frequency_weights[indices]

    def _corrupt(self, targets, local, batch_size, seed):
        """Corrupt this process's slice of a batch."""
        if self.corruption_fn is None:
            return targets
        # Drawn for the whole batch, so that it doesn't depend on how the batch is sliced.
        whole = np.zeros((batch_size, *targets.shape[1:]), np.float32)
        whole[local] = targets
        return self.corruption_fn(whole, seed)[local]

    def run_epoch(self, epoch):
        """Train on each image once, compute the validation loss, and weight the images anew.

        Args:
            epoch: Its number, from 1.

        Returns:
            A dict of figures: `loss`, `val_loss` (`None` without held-out images),
            `learning_rate`, and `trimmed`, the share of the sample weight that was taken away.
        """
        trim = self.recipe.trim
        # A generator of its own for every epoch: a resumed training needs no earlier ones.
        order = np.random.default_rng([self.seed, epoch]).permutation(self.trained)
        by_image = np.zeros(len(self.images), np.float32)
        by_image[order] = self.run_batches(order, epoch, training=True)
        losses = by_image[self.trained]
        self.loss.append(trimmed_mean(losses, trim, self._counts(self.trained)))
        if len(self.held_out):
            # Corrupted alike in every epoch, so that the curve shows the network alone.
            held_out_losses = self.run_batches(self.held_out, 0, training=False)
            counts = self._counts(self.held_out)
            self.val_loss.append(trimmed_mean(held_out_losses, trim, counts))
        left = self._counts(self.trained, np.float32(1)) * self.sample_weights[self.trained]
        trimmed = 1 - left.mean(dtype=np.float64)
        if epoch < self.epochs:
            outlier_scores = self.sample_weighting.outlier_scores(losses)
            self.sample_weights[self.trained] = self.sample_weighting(outlier_scores)
        return {
            "loss": self.loss[-1],
            "val_loss": self.val_loss[-1] if self.val_loss else None,
            "learning_rate": float(self.optimizer.learning_rate),
            "trimmed": trimmed,
        }

    def fit(self, checkpoint=None, on_checkpoint=None, on_epoch=None):
        """Run all epochs that are left.

        Ctrl-C ends the training with the model of the last complete epoch; within the first epoch,
        it is raised.

        Args:
            checkpoint: Where to resume: what `on_checkpoint` received in a training with the same
                settings. The result is the same, to the bit, as without an interruption.
            on_checkpoint: Called after each epoch, before `on_epoch`, with the `state_dict`.
            on_epoch: Called as `on_epoch(epoch, epochs, **figures)`: at the start, with the number
                of complete epochs and no figures, and after each epoch with those of `run_epoch`.

        Returns:
            A `History`.

        Raises:
            InputError: If an image can no longer be read, if a worker is lost, or if the
                checkpoint is of another version.
        """
        if checkpoint is not None:
            self.load_state_dict(checkpoint)
        if on_epoch is not None:
            on_epoch(len(self.loss), self.epochs)
        interrupted = False
        for epoch in range(len(self.loss) + 1, self.epochs + 1):
            try:
                figures = self.run_epoch(epoch)
                checkpoint = self.state_dict()
                if on_checkpoint is not None:
                    on_checkpoint(checkpoint)
                if on_epoch is not None:
                    on_epoch(epoch, self.epochs, **figures)
            except KeyboardInterrupt:
                if checkpoint is None:
                    raise
                self.load_state_dict(checkpoint)
                interrupted = True
                break
        outliers = np.flatnonzero(self.sample_weights == 0)
        return History(self.loss, self.val_loss, self.seconds, outliers, interrupted)

    @property
    def seconds(self):
        """How long the training has taken, all runs together."""
        return time.monotonic() - self._started

    def state_dict(self):
        """Copy all that later epochs depend on: a dict of arrays by name."""
        variables = {
            f"variable/{number}": keras.ops.convert_to_numpy(variable).copy()
            for number, variable in enumerate(self.variables)
        }
        return {
            "loss": np.array(self.loss),
            "val_loss": np.array(self.val_loss),
            "seconds": np.array(self.seconds),
            "weights": self.sample_weights.copy(),
            **variables,
        }

    def load_state_dict(self, state):
        """Go back to where `state_dict` was called, in this process or in an earlier one.

        Raises:
            InputError: If it is not the state of such a training.
        """
        check_state(state, self.state_dict())
        for number, variable in enumerate(self.variables):
            variable.assign(state[f"variable/{number}"])
        self.sample_weights[:] = state["weights"]
        self.loss, self.val_loss = state["loss"].tolist(), state["val_loss"].tolist()
        self._started = time.monotonic() - float(state["seconds"])


def synchronize_batch_norm(model, synchronized):
    """Set whether batch normalization takes its statistics over the slices of all devices."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            synchronize_batch_norm(layer, synchronized)
        elif isinstance(layer, keras.layers.BatchNormalization):
            layer.synchronized = synchronized

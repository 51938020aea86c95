"""Training of a recipe's network on four fifths of the images."""

from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from pyimagesearch.data import corruptions, dataset_files, datasets, sources
from pyimagesearch.data.batches import iterate_batches, subsample
from pyimagesearch.models import architectures
from pyimagesearch.models.normalization import fit_normalization
from pyimagesearch.runtime.distribution import Cluster
from pyimagesearch.storage import model_files
from pyimagesearch.training import trainer
from pyimagesearch.training.sample_weights import make_sample_weighting


@dataclass(frozen=True)
class TrainingResult:
    """A network fresh from its training.

    Attributes:
        autoencoder: Keras model from `(N, H, W, C)` to the same.
        trained: int array of the indices of the images that it was trained on, ascending.
        held_out: int array of those that it was not; may be empty.
        history: A `trainer.History`.
    """

    autoencoder: keras.Model
    trained: np.ndarray
    held_out: np.ndarray
    history: trainer.History


def train(
    images,
    recipe,
    *,
    loss="mse",
    corrupt=None,
    seed=42,
    precision="float32",
    cluster=None,
    state=None,
    keep=None,
    on_epoch=None,
):
    """Build the network of a recipe and fit it to four fifths of the images.

    Args:
        images: float32 array `(N, H, W, C)` in [0, 1], or anything that `batches.iterate_batches` takes.
        recipe: A `recipes.Recipe`.
        loss: A key of `losses.LOSSES`.
        corrupt: What the network is to restore: a pair of a key of `corruptions.CORRUPTIONS` and
            an amount; `None`: the images as they are.
        seed: Of the choice of images, the weights, the order and what is spoilt.
        precision: A key of `architectures.PRECISION_POLICIES`.
        cluster: A `distribution.Cluster`; the one device unless given.
        state, keep: As for `trainer.fit_autoencoder`.
        on_epoch: Called as `on_epoch(epoch, epochs, **figures)`: once before the first epoch, with
            the number of those that are done and no figures, and after each with the figures of
            `trainer.fit_autoencoder`.

    Returns:
        A `TrainingResult`. Its network is a float32 one and this process's own, however it was trained.

    Example:
        >>> from pyimagesearch.training.recipes import make_recipe
        >>> images = np.zeros((10, 8, 8, 1), "float32")
        >>> fitted = train(images, make_recipe(filters=(4,), epochs=1))
        >>> len(fitted.trained), len(fitted.held_out), len(fitted.history.loss)
        (8, 2, 1)
    """
    trained, held_out = split(len(images), seed=seed)
    normalization = None
    if recipe.centred:
        some = [batch for _, batch in iterate_batches(images, subsample(trained, seed, 1000), 256)]
        normalization = fit_normalization(np.concatenate(some), recipe.even_contrast)
    autoencoder = architectures.build(recipe, images.shape[1:], seed, normalization)
    epochs = number_of_epochs(len(trained), recipe.epochs, recipe.batch_size, recipe.min_steps)

    spoil = corrupt and corruptions.corruption_fn(corrupt)
    if recipe.noise and not corrupt:
        spoil = corruptions.additive_noise(
            recipe.noise * (normalization.deviation if normalization else 1)
        )

    def tell(epoch, **figures):
        if on_epoch is not None:
            on_epoch(epoch, epochs, **figures)

    cluster = cluster or Cluster()
    with cluster.scope():
        learner = architectures.clone_with_precision(autoencoder, precision)
    initial_outlier_scores, sample_weight_fn = make_sample_weighting(
        images, trained, recipe, seed, cluster
    )
    tell(0 if state is None else len(state["loss"]))
    history = trainer.fit_autoencoder(
        learner,
        images,
        trained,
        held_out,
        epochs=epochs,
        batch_size=recipe.batch_size,
        learning_rate=recipe.learning_rate,
        schedule=recipe.schedule,
        trim=recipe.trim,
        initial_outlier_scores=initial_outlier_scores,
        sample_weight_fn=sample_weight_fn,
        loss=loss,
        corrupt=spoil,
        seed=seed,
        on_epoch=tell,
        cluster=cluster,
        state=state,
        # The others know as much, and would all write the same file.
        keep=keep if cluster.is_chief else None,
    )
    autoencoder.set_weights(learner.get_weights())
    return TrainingResult(autoencoder, trained, held_out, history)


def files_read(dataset, model):
    """The files that are read as images are judged by a model, be they there or not.

    Args:
        dataset: As for `open_dataset`.
        model: Path of the model.

    Returns:
        A list of paths; of a folder of images, just that of the folder.
    """
    read = [model, model_files.settings_path(model), model_files.reference_path(model)]
    if dataset in sources.SOURCES:
        return read
    if not datasets.is_source(dataset) and Path(dataset).suffix not in (".npy", ".csv"):
        read.append(dataset_files.manifest_path(dataset))
    return [dataset, *read]


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

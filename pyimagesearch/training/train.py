"""Training of a recipe's network: of pixels on four fifths of the images, of features on all."""

import dataclasses
from dataclasses import dataclass

import keras
import numpy as np

from pyimagesearch.data import corruptions
from pyimagesearch.data.batches import iterate_batches, subsample
from pyimagesearch.models import architectures, feature_autoencoder
from pyimagesearch.models.normalization import fit_normalization
from pyimagesearch.models.precision import warn_unless_faster
from pyimagesearch.runtime.distribution import Cluster
from pyimagesearch.training.feature_extraction import ImageFeatures
from pyimagesearch.training.feature_store import FeatureStore
from pyimagesearch.training.feature_training import MAX_IMAGES, FeatureFit, FeatureTrainer
from pyimagesearch.training.recipes import FeatureRecipe, Recipe
from pyimagesearch.training.sample_weights import make_sample_weighting
from pyimagesearch.training.trainer import History, Trainer

# Training images from which the statistics of the normalization are computed, at most.
MAX_NORMALIZATION_IMAGES = 1000


@dataclass(frozen=True)
class TrainingResult:
    """A trained network, and how it came about.

    Attributes:
        autoencoder: Keras model from `(N, H, W, C)` to the same; of features, as
            `feature_autoencoder.build` returns it.
        trained: int array of the indices of the training images, ascending.
        held_out: int array of those of the held-out images; may be empty.
        history: A `trainer.History`.
        recipe: The `recipes.Recipe` or `recipes.FeatureRecipe` that was followed.
        fit: Of features, a `feature_training.FeatureFit`; else `None`.
    """

    autoencoder: keras.Model
    trained: np.ndarray
    held_out: np.ndarray
    history: History
    recipe: Recipe | FeatureRecipe
    fit: FeatureFit | None = None

    @property
    def reference(self):
        """Of features, what the scores know about normal images, a dict of arrays; else `None`."""
        return self.fit and self.fit.reference


def train(
    images,
    recipe,
    *,
    seed=42,
    precision="float32",
    cluster=None,
    groups=None,
    checkpoint=None,
    on_checkpoint=None,
    on_epoch=None,
    on_batch=None,
    backbone_weights=None,
    frequency_weights=None,
):
    """Build the network of a recipe and fit it to four fifths of the images, of features to all.

    Args:
        images: float32 array `(N, H, W, C)` in [0, 1], or anything that `iterate_batches` takes.
        recipe: A `recipes.Recipe` or `recipes.FeatureRecipe`.
        seed: Of the split, the initial weights, the order of the images and the corruption.
        precision: A key of `architectures.PRECISION_POLICIES`. Where a trial shows that bf16 is not
            faster, that is logged as a warning, of networks of pixels.
        cluster: A `distribution.Cluster`; the one device unless given.
        groups: int array `(N,)`: of each image the index of the first of its duplicates. They are
            not separated: held-out images that have a twin among the others would be scored too
            low. Of features, the first of each group is trained on. `None` if there are none.
        checkpoint, on_checkpoint, on_epoch: As for `Trainer.fit`; `on_checkpoint` is called in the
            chief process alone.
        on_batch: Of features, called after each batch that the backbone has seen, as
            `on_batch(done, total)`.
        backbone_weights: Of features, as `weights` for `backbone.build`.
        frequency_weights: float array `(N,)`, above 0: how many times each image counts in losses,
            in what is trimmed and in the normalization; `None`: once. Not of features.

    Returns:
        A `TrainingResult`. Its network is a float32 one and this process's own, however it was
        trained.

    Raises:
        InputError: As `Trainer` and `Trainer.fit` do.

    Example:
        >>> from pyimagesearch.training.recipes import make_recipe
        >>> images = np.zeros((10, 8, 8, 1), "float32")
        >>> result = train(images, make_recipe(filters=(4,), epochs=1))
        >>> len(result.trained), len(result.held_out), len(result.history.loss)
        (8, 2, 1)
    """
    cluster = cluster or Cluster()
    resuming = checkpoint, on_checkpoint if cluster.is_chief else None, on_epoch
    if isinstance(recipe, FeatureRecipe):
        autoencoder, extractor = _build_feature_autoencoder(
            images.shape[1:], recipe, precision, cluster, backbone_weights
        )
        # Each image is judged by the others: a duplicate among these would vouch for it.
        distinct = np.arange(len(images)) if groups is None else np.unique(groups)
        trained = subsample(distinct, seed, MAX_IMAGES)
        features = ImageFeatures(images, trained, extractor, FeatureStore, seed, cluster, on_batch)
        return _fit_features(features, trained, recipe, seed, autoencoder, resuming)
    trained, held_out = split(len(images), seed=seed, groups=groups)
    normalization = None
    if recipe.center:
        sample = subsample(trained, seed, MAX_NORMALIZATION_IMAGES)
        some = np.concatenate([batch for _, batch in iterate_batches(images, sample, 256)])
        counts = None if frequency_weights is None else frequency_weights[sample]
        normalization = fit_normalization(some, recipe.normalize_contrast, counts)
    autoencoder = architectures.build(recipe, images.shape[1:], seed, normalization)
    with cluster.scope():
        model = architectures.clone_with_precision(autoencoder, precision)
    if precision == "bf16" and cluster.is_chief:
        warn_unless_faster(autoencoder, training=True)
    counts = None if frequency_weights is None else frequency_weights[trained]
    trainer = Trainer(
        model,
        recipe,
        images,
        (trained, held_out),
        sample_weighting=make_sample_weighting(images, trained, recipe, seed, cluster, counts),
        corruption_fn=make_corruption(recipe, normalization),
        seed=seed,
        cluster=cluster,
        frequency_weights=frequency_weights,
    )
    history = trainer.fit(*resuming)
    autoencoder.set_weights(model.get_weights())
    return TrainingResult(autoencoder, trained, held_out, history, recipe)


def _build_feature_autoencoder(image_shape, recipe, precision, cluster, weights):
    """A feature autoencoder that is to be fitted, and the extractor of features to fit it to."""
    parts = image_shape, recipe.backbone, recipe.latent_dim
    autoencoder = feature_autoencoder.build(*parts, weights)
    copy = autoencoder
    if precision != "float32" or cluster.devices > 1:
        with cluster.scope():
            copy = feature_autoencoder.build(*parts, False, precision)
            copy.set_weights(autoencoder.get_weights())
    return autoencoder, feature_autoencoder.extractor(copy)


def _fit_features(features, trained, recipe, seed, autoencoder, resuming):
    """Fit a feature autoencoder to the features of the images that are trained on."""
    trainer = FeatureTrainer(features, recipe, seed)
    history = trainer.fit(*resuming)
    history = dataclasses.replace(history, outliers=trained[history.outliers])
    for name, weights in trainer.fitted.weights.items():
        autoencoder.get_layer(name).set_weights(weights)
    return TrainingResult(autoencoder, trained, trained[:0], history, recipe, trainer.fitted)


def split(n, held_out=0.2, seed=42, groups=None):
    """Split images at random into training images and held-out images.

    Args:
        n: Number of images.
        held_out: Share of them to hold out, in [0, 1). At least one image is trained on.
        seed: Of the choice.
        groups: int array `(N,)`: images of the same number stay together; groups that are larger
            than what is to be held out are trained on. `None` if each image may go anywhere.

    Returns:
        Two int arrays of indices, each ascending: training images, held-out images.

    Example:
        >>> trained, held_out = split(10, held_out=0.2)
        >>> len(trained), len(held_out)
        (8, 2)
        >>> trained, held_out = split(4, 0.5, groups=np.array([0, 1, 0, 1]))
        >>> (held_out % 2).tolist() in ([0, 0], [1, 1])
        True
    """
    order = np.random.default_rng([seed, 0]).permutation(n)
    n_held_out = min(round(n * held_out), n - 1)
    if groups is None:
        return np.sort(order[n_held_out:]), np.sort(order[:n_held_out])
    _, first, members = np.unique(groups[order], return_index=True, return_inverse=True)
    sizes, chosen = np.bincount(members), []
    for group in np.argsort(first):  # in the order of their first images
        if sizes[group] <= n_held_out:
            chosen.append(group)
            n_held_out -= sizes[group]
    is_held_out = np.isin(members, chosen)
    return np.sort(order[~is_held_out]), np.sort(order[is_held_out])


def make_corruption(recipe, normalization):
    """The function that corrupts the inputs of a training, or `None`: see `Trainer`."""
    if recipe.corruption is not None:
        return corruptions.corruption_fn(recipe.corruption)
    if recipe.noise:
        return corruptions.additive_noise(
            recipe.noise * (normalization.deviation if normalization else 1)
        )
    return None

"""A trained model: the network, its calibration and its reference, loaded to score images."""

from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from pyimagesearch import InputError
from pyimagesearch.data import dataset_files, datasets, sources
from pyimagesearch.data.image_files import ImageFiles
from pyimagesearch.detection import feature_scores, scoring, thresholds
from pyimagesearch.detection.model_settings import check_settings, refuse
from pyimagesearch.detection.scores import SCORES
from pyimagesearch.models import architectures, feature_autoencoder, rebuilding
from pyimagesearch.models.precision import warn_unless_faster
from pyimagesearch.runtime.distribution import Cluster
from pyimagesearch.storage import files, model_files


@dataclass(frozen=True)
class TrainedModel:
    """A trained network with one of its scores.

    Attributes:
        autoencoder: Keras model from `(N, H, W, C)` to the same.
        score: A key of `scores.SCORES`.
        calibration: What `calibrate` found for that score; may be empty.
        reference: What `fit_reference` returned for that score; may be empty.
        valid_label: The classes that were normal in training, a list, or `None`.
        settings: The JSON object beside the model, which says how it was trained.
    """

    autoencoder: keras.Model
    score: str
    calibration: dict
    reference: dict
    valid_label: list | None
    settings: dict

    @classmethod
    def load(cls, path, score="auto", precision="float32", cluster=None):
        """Load a model and the files beside it.

        Args:
            path: Path of the model.
            score: One of the scores of the model, or `auto`: the one that its recipe recommends.
            precision: A key of `architectures.PRECISION_POLICIES`, to calculate in. Where a trial shows
                that bf16 is not faster, that is logged as a warning, of networks of pixels.
            cluster: A `distribution.Cluster` on whose devices the network is to run; one device
                unless given.

        Returns:
            A `TrainedModel`.

        Raises:
            InputError: If the model is missing, or if one of the files is broken.
        """
        settings_path = model_files.settings_path(path)
        settings = files.load_json(settings_path)
        check_settings(settings, settings_path)
        score = resolve_score(score, settings)
        calibration, valid_label = parse_calibration(settings, score, settings_path)
        cluster = cluster or Cluster()
        with cluster.scope():
            autoencoder = load_network(path, settings, precision)
        if feature_autoencoder.is_feature_autoencoder(autoencoder):
            group, max_bytes = feature_scores.REFERENCE, feature_scores.max_bytes(autoencoder)
        else:
            if precision == "bf16" and cluster.is_chief:
                warn_unless_faster(autoencoder)
            group, max_bytes = score, model_files.reference_bytes(autoencoder.input_shape[1:])
        reference = model_files.load_reference(model_files.reference_path(path), group, max_bytes)
        try_blank_image(autoencoder, score, reference, path)
        return cls(autoencoder, score, calibration, reference, valid_label, settings)

    @property
    def image_shape(self):
        """Shape `(H, W, C)` of the images that the model takes."""
        return self.autoencoder.input_shape[1:]

    @property
    def is_of_features(self):
        """Whether the network is an autoencoder of features, of recipe `photos`."""
        return feature_autoencoder.is_feature_autoencoder(self.autoencoder)

    def score_images(self, images, cluster=None, on_batch=None):
        """Score images: see `scoring.score_images`."""
        return scoring.score_images(
            self.autoencoder, images, self.score, self.reference, cluster=cluster, on_batch=on_batch
        )

    def z_scores(self, scores):
        """How many robust standard deviations scores lie above the median of held-out images.

        Args:
            scores: float array `(N,)`.

        Returns:
            float64 array `(N,)`; `None` if no image was held out, or if their scores are all equal.
        """
        held_out = self.calibration.get("held_out", {})
        if not held_out.get("n"):
            return None
        center, scale = thresholds.center_and_scale(held_out)
        return (np.asarray(scores, np.float64) - center) / scale if scale > 0 else None

    def was_trained_on(self, dataset):
        """Whether a dataset is the one that the model was trained on, as far as is known.

        Args:
            dataset: A `Dataset`.

        Returns:
            Of images in memory, whether their fingerprint is the same; of image files, which would
            have to be read for that, whether their names are.
        """
        if isinstance(dataset.images, np.ndarray):
            return dataset_files.fingerprint(dataset.images) == self.settings.get("fingerprint")
        is_files = isinstance(dataset.images, ImageFiles)
        return is_files and dataset_files.names_digest(dataset.names) == self.settings.get("names")

    def reconstruct(self, images, order):
        """Reconstruct images: see `scoring.reconstruct`."""
        return scoring.reconstruct(self.autoencoder, images, order, self.score, self.reference)


def try_blank_image(autoencoder, score, reference, path):
    """Run a blank image through the network, the map and the score, before any long work begins.

    Args:
        autoencoder, score, reference: As for `scoring.make_scorer`.
        path: Path of the model, for messages.

    Raises:
        InputError: If anything does not fit together, or gives no finite score.
    """
    image = np.zeros((1, *autoencoder.input_shape[1:]), np.float32)
    try:
        *_, maps, scores = scoring.make_scorer(autoencoder, score, reference)(image)
        if tuple(maps.shape) != image.shape[:3] or tuple(scores.shape) != (1,):
            raise ValueError(f"a map of {maps.shape[1:]}")
        if not np.isfinite(maps).all() or not np.isfinite(scores).all():
            raise ValueError("a score that is not finite")
    except InputError:
        raise
    except Exception as fault:
        # Whatever a layer raises: there are too many kinds to list.
        raise InputError(
            f"{path} and the files beside it don't score a blank image ({files.first_line(fault)}): "
            "train again"
        ) from None


def load_network(path, settings, precision="float32"):
    """Build the network that the settings beside a model describe, and load its weights.

    Args:
        path: Path of the model.
        settings: The JSON object beside it; empty where there is none.
        precision: A key of `architectures.PRECISION_POLICIES`, to calculate in.

    Returns:
        A Keras model from `(N, H, W, C)` to the same.

    Raises:
        InputError: If the model is missing or broken, if no settings say how to build it, or if
            they describe another one.
    """
    size, name = model_files.archive_size(path), model_files.settings_path(path)
    recipe, image_shape = settings.get("recipe"), settings.get("image_shape")
    if recipe is None:
        raise InputError(
            f"expected beside {path} its settings {name}, as training writes them: copy them from "
            "where it was trained, or train again"
        )
    if recipe.get("arch") == "features":
        autoencoder = feature_autoencoder.rebuild(recipe, image_shape, precision)
        model_files.load_weights(path, autoencoder)
        return autoencoder
    autoencoder = rebuilding.rebuild(recipe, image_shape, size, name)
    model_files.load_weights(path, autoencoder, with_constants=True)
    return architectures.clone_with_precision(autoencoder, precision)


def resolve_score(score, settings):
    """The score that `auto` stands for: what training has noted; `mse` for older models."""
    if score != "auto":
        return score
    recommended = settings.get("recommended_score", "mse")
    return recommended if recommended in (*SCORES, *feature_scores.NAMES) else "mse"


def parse_calibration(settings, score, name):
    """The calibration of a score, and the normal classes, if they are as training writes them.

    Args:
        settings: The JSON object beside a model; may be empty.
        score: A key of `scores.SCORES`.
        name: The name of the file, for the message.

    Returns:
        A pair: what `calibrate` found for that score, a dict, empty if there is nothing; and a
        list of labels, or `None`.

    Raises:
        InputError: If the object is not as training writes it.

    Example:
        >>> parse_calibration({"command": {"valid_label": [1, "cat"]}}, "mse", "a.json")
        ({}, [1, 'cat'])
    """
    check_settings(settings, name)
    try:
        calibration = settings.get("scores", {}).get(score, {})
        valid = not calibration or thresholds.is_calibration(calibration)
    except (AttributeError, KeyError, TypeError):
        valid = False
    if not valid:
        refuse(name, f"scores.{score}")
    valid_label = settings.get("command", {}).get("valid_label")
    return calibration, valid_label


def files_read(paths, model):
    """The files that are read when images are scored by a model, whether they exist or not.

    Args:
        paths: As for `datasets.open_dataset`.
        model: Path of the model.

    Returns:
        A list of paths; of a folder of images, only that of the folder.
    """
    read = [model, model_files.settings_path(model), model_files.reference_path(model)]
    for path in datasets.as_list(paths):
        if path in sources.SOURCES:
            continue
        read.append(path)
        if not datasets.is_source(path) and Path(path).suffix not in (".npy", ".csv"):
            read.append(dataset_files.manifest_path(path))
    return read

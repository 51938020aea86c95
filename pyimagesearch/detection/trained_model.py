"""A trained model with its calibration, loaded to score images."""

import math
from dataclasses import dataclass
from pathlib import Path

import keras

from pyimagesearch import InputError
from pyimagesearch.data import dataset_files, datasets, sources
from pyimagesearch.detection import scoring
from pyimagesearch.models import architectures
from pyimagesearch.runtime.distribution import Cluster
from pyimagesearch.storage import files, model_files


@dataclass(frozen=True)
class TrainedModel:
    """A trained model, with what training has noted down beside it.

    Attributes:
        autoencoder: Keras model from `(N, H, W, C)` to the same.
        score: The score to judge by, a key of `scores.SCORES`.
        calibration: What `calibrate` noted for that score; empty for a model from elsewhere.
        reference: What that score knows about normal images; may be empty.
        valid_label: The classes that were normal in training, or `None`.
        about: All that training has noted down; empty for a model from elsewhere.
    """

    autoencoder: keras.Model
    score: str
    calibration: dict
    reference: dict
    valid_label: list | None
    about: dict

    def score_images(self, images, cluster=None, on_batch=None):
        """Score images: see `scoring.score_images`."""
        return scoring.score_images(
            self.autoencoder, images, self.score, self.reference, cluster=cluster, on_batch=on_batch
        )

    def reconstruct(self, images, order):
        """Reconstruct images: see `scoring.reconstruct`."""
        return scoring.reconstruct(self.autoencoder, images, order, self.score, self.reference)


def load_trained_model(path, score="mse", precision="float32", cluster=None):
    """Load a model and what lies beside it, to calculate in some precision; see `TrainedModel`."""
    settings = model_files.settings_path(path)
    about = files.load_json(settings)
    calibration, valid_label = parse_calibration(about, score, settings)
    autoencoder = model_files.load_model(path)
    reference = model_files.load_reference(
        model_files.reference_path(path), score, autoencoder.input_shape[1:]
    )
    with (cluster or Cluster()).scope():
        autoencoder = architectures.clone_with_precision(autoencoder, precision)
    return TrainedModel(autoencoder, score, calibration, reference, valid_label, about)


def parse_calibration(about, score, name):
    """What training has noted down for a score, and its normal classes, once they are checked.

    Args:
        about: The JSON object beside a model.
        score: A key of `scores.SCORES`.
        name: What to call it in messages.

    Returns:
        What `calibrate` noted for that score, empty if nothing; and a list of labels, or `None`.

    Raises:
        InputError: If it is not as training writes it.

    Example:
        >>> parse_calibration({"command": {"valid_label": [1, "cat"]}}, "mse", "a.json")
        ({}, [1, 'cat'])
    """

    def finite(value):
        return type(value) in (int, float) and math.isfinite(value)

    try:
        calibration = about.get("scores", {}).get(score, {})
        valid_label = about.get("command", {}).get("valid_label")
        summaries = [calibration["trained"], calibration["held_out"]] if calibration else []
        sound = (
            all(finite(calibration[key]) for key in ("threshold", "pixel_threshold") if calibration)
            and all(finite(value) for summary in summaries for value in summary.values())
            and all({"mean", "std"} <= summary.keys() for summary in summaries if summary["n"])
            and all(type(label) in (int, str) for label in valid_label or [])
        )
    except (AttributeError, KeyError, TypeError):
        sound = False
    if not sound:
        raise InputError(
            f"{name} is not as training writes it: train again, or take it away to go without "
            "what training has noted"
        )
    return calibration, valid_label


def files_read(dataset, model):
    """The files that are read when images are scored by a model, whether they exist or not.

    Args:
        dataset: As for `datasets.open_dataset`.
        model: Path of the model.

    Returns:
        A list of paths; of a folder of images, only that of the folder.
    """
    read = [model, model_files.settings_path(model), model_files.reference_path(model)]
    if dataset in sources.SOURCES:
        return read
    if not datasets.is_source(dataset) and Path(dataset).suffix not in (".npy", ".csv"):
        read.append(dataset_files.manifest_path(dataset))
    return [dataset, *read]

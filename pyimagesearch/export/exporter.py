"""The exporter: writes a model in another format and compares its scores with the model's."""

import contextlib
import os
import tempfile
import warnings
from pathlib import Path

from pyimagesearch import InputError
from pyimagesearch.cli import detection_arguments
from pyimagesearch.export.formats import FORMATS, SAVEDMODEL_FILES
from pyimagesearch.runtime.quiet import quiet_stderr
from pyimagesearch.storage import atomic, ownership

# Largest relative difference of a score that rounding may cause.
MAX_RELATIVE_DIFFERENCE = 1e-4


def export(model, format_name, path, images):
    """Export a model, provided that the export scores as the model does.

    Args:
        model: A `trained_model.TrainedModel`.
        format_name: A key of `FORMATS`.
        path: Path of the file or folder to write. An earlier export there is replaced.
        images: float32 array `(N, H, W, C)` in [0, 1], N at least 1, to compare the scores of.

    Returns:
        The largest relative difference of a score.

    Raises:
        InputError: If a package is missing, if a score differs by more than
            `MAX_RELATIVE_DIFFERENCE`, or if the path can't be written to. Nothing is written then,
            and an earlier export stays.
    """
    from pyimagesearch.storage import files

    target = FORMATS[format_name]
    target.check_packages(format_name)
    expected = model.score_images(images)
    about = files.as_json(describe(model, format_name))
    with tempfile.TemporaryDirectory(prefix=".", dir=Path(path).parent) as folder:
        exported = Path(folder, target.filename)
        with quiet_converters():
            target.write(build_exported_model(model), exported, about)
            scores = target.read(exported)(images)["score"]
        difference = max_relative_difference(expected, scores)
        if not difference <= MAX_RELATIVE_DIFFERENCE:
            raise InputError(
                f"expected scores of the {format_name} that differ from the model's by at most "
                f"{MAX_RELATIVE_DIFFERENCE:g}, found {difference:.2g}: nothing was written; take "
                "another format"
            )
        # Once more: a file may have appeared there in the meantime.
        check_output(path, format_name)
        atomic.move(exported, path)
    return difference


# What the description says of images whose ratio of width to height is another.
ASPECT_RATIOS = {
    "stretch": "resize to the whole, whatever the ratio of width to height",
    "pad": "resize to fit inside, the rest is background, the image in the middle",
    "crop": "cut to the ratio of width to height, around the middle",
}


def build_exported_model(model):
    """Build one Keras model that reconstructs, scores and flags images.

    Args:
        model: A `trained_model.TrainedModel`.

    Returns:
        A Keras model from `images`, float32 `(N, H, W, C)` in [0, 1], to a dict: `reconstruction`
        `(N, H, W, C)`, `error_map` `(N, H, W)` and `score` `(N,)`, all float32; and `flagged`,
        bool `(N,)`, where the calibration has a threshold.

    Raises:
        InputError: If the score needs a reference and the model has none.
    """
    import keras

    from pyimagesearch.detection import scoring

    class Detector(keras.Model):
        def __init__(self):
            super().__init__()
            self.autoencoder = model.autoencoder

        def call(self, images):
            # Made here, so that the reference becomes a constant of the graph.
            score_batch = scoring.make_scorer(self.autoencoder, model.score, model.reference)
            _, reconstructions, maps, scores = score_batch(images)
            outputs = {"reconstruction": reconstructions, "error_map": maps, "score": scores}
            if "threshold" in model.calibration:
                outputs["flagged"] = scores > model.calibration["threshold"]
            return outputs

    detector = Detector()
    detector(keras.Input(model.image_shape))
    return detector


def describe(model, format_name):
    """Describe an exported model on its own: the content of `about.json`.

    Args:
        model: A `trained_model.TrainedModel`.
        format_name: A key of `FORMATS`.

    Returns:
        A dict for JSON.
    """
    from pyimagesearch.data.image_files import ImageFiles
    from pyimagesearch.storage import model_files

    height, width, depth = model.image_shape
    n = FORMATS[format_name].batch_size or "N"
    colors = {
        1: "one channel, gray, as Pillow's convert('L')",
        3: "three channels, in the order R, G, B",
    }
    # A model of arrays says nothing of files: then as files are read by default.
    reading = model.settings.get("preprocessing") or ImageFiles([], None).preprocessing
    rule = f"{detection_arguments.format_rule('auto', True)}, on the training images"
    about = {
        "score": model.score,
        "threshold": model.calibration.get("threshold"),
        "threshold_rule": rule if model.calibration else None,
        "pixel_threshold": model.calibration.get("pixel_threshold"),
        "threshold_from": "images that were held out, or judged by all others",
        "image_shape": [height, width, depth],
        **reading,
        "preprocessing": [
            "decode; a large JPEG reduced by 2, 4 or 8 as Pillow's Image.draft does, so that its "
            f"shorter side has at least {2 * max(height, width)} pixels",
            "turn as the EXIF orientation says; lay what is transparent on the background",
            colors.get(depth, "channels as in training"),
            ASPECT_RATIOS[reading["aspect_ratio"]],
            f"resize with Pillow's Resampling.BOX to height min({height}, own height) and width "
            f"min({width}, own width), then with Resampling.BILINEAR to {height} and {width}",
            "divide by 255; pixels of more than 8 bits by the maximum, and 1 at most",
        ],
        "input": {"images": f"float32, [{n}, {height}, {width}, {depth}], 0 to 1"},
        "outputs": {
            "reconstruction": f"float32, [{n}, {height}, {width}, {depth}], 0 to 1",
            "error_map": f"float32, [{n}, {height}, {width}], the higher, the more anomalous the "
            "pixel; anomalous above pixel_threshold",
            "score": f"float32, [{n}], the higher, the more anomalous the image",
        },
        "versions": model_files.versions(),
    }
    if model.calibration:
        about["outputs"]["flagged"] = f"bool, [{n}], score > threshold"
    return about


def max_relative_difference(expected, scores):
    """Largest difference of scores relative to the expected ones; to a score of 0, absolute.

    Example:
        >>> import numpy as np
        >>> round(max_relative_difference(np.array([2.0, 0.5]), np.array([2.0, 0.6])), 3)
        0.2
    """
    import numpy as np

    expected = np.asarray(expected, np.float64)
    # NaN comes out as NaN: NumPy's maximum, unlike Python's, passes it on.
    return float(np.max(np.abs(expected - scores) / np.where(expected == 0, 1, np.abs(expected))))


@contextlib.contextmanager
def quiet_converters():
    """Discard the messages of converters, which are of no use to the user."""
    with quiet_stderr(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def check_output(path, format_name, inputs=()):
    """Check that an export may be written, before it is made.

    Args:
        path: Path of the file or folder to write.
        format_name: A key of `FORMATS`.
        inputs: Paths of the files that are read.

    Raises:
        InputError: If the path is one of the inputs, or of something else than an earlier export.
    """
    path = Path(path)
    if format_name != "savedmodel":
        atomic.check_writable(path, inputs=inputs)
        return
    if os.path.lexists(path) and not is_exported_folder(path):
        raise InputError(
            f"expected a new folder, or one that this suite has exported, at {path}, found "
            "something else (or an export of an earlier version): move it away, or name another "
            "--output"
        )
    atomic.check_folder(path.parent)


def is_exported_folder(path):
    """Whether a folder is empty, or holds an exported model and nothing else."""
    if path.is_symlink() or not path.is_dir():
        return False
    found = [entry for entry in path.rglob("*") if entry.is_symlink() or not entry.is_dir()]
    names = {entry.relative_to(path).as_posix() for entry in found}
    if not names:
        return True
    return names <= set(SAVEDMODEL_FILES) and ownership.is_own_file(path / SAVEDMODEL_FILES[-1])

"""The exporter: one network with its scores, written and compared with ours."""

import contextlib
import importlib.util
import os
import sys
import tempfile
import warnings
from pathlib import Path

from pyimagesearch import InputError
from pyimagesearch.cli import detection_arguments
from pyimagesearch.export.formats import FORMATS, IN_SAVEDMODEL
from pyimagesearch.runtime.quiet import quiet_stderr
from pyimagesearch.storage import atomic, ownership

# Largest relative difference of a score that is put down to rounding.
MAX_RELATIVE_DIFFERENCE = 1e-4


def build_exported_model(model):
    """One network from images to all there is to know about them.

    Args:
        model: A `trained_model.TrainedModel`.

    Returns:
        A Keras model from `images`, float32 `(N, H, W, C)` in [0, 1], to a dict: `reconstruction`
        `(N, H, W, C)`, `error_map` `(N, H, W)` and `score` `(N,)`, all float32; and `flagged`,
        bool `(N,)`, where training has noted a threshold.

    Raises:
        InputError: If the score needs what training has learnt about normal images, and there is
            none beside the model.
    """
    import keras

    from pyimagesearch.detection import scoring

    class Detector(keras.Model):
        def __init__(self):
            super().__init__()
            self.autoencoder = model.autoencoder

        def call(self, images):
            # Made in here, so that the reference becomes a constant of the graph.
            judged = scoring.make_scorer(self.autoencoder, model.score, model.reference)
            reconstruction, maps, score = judged(images)
            known = {"reconstruction": reconstruction, "error_map": maps, "score": score}
            if "threshold" in model.calibration:
                known["flagged"] = score > model.calibration["threshold"]
            return known

    detector = Detector()
    detector(keras.Input(model.autoencoder.input_shape[1:]))
    return detector


def describe(model, form):
    """What somebody who has only the exported model needs to know about it.

    Args:
        model: A `trained_model.TrainedModel`.
        form: A key of `FORMATS`.

    Returns:
        A dict for JSON.
    """
    from pyimagesearch.storage import model_files

    height, width, depth = model.autoencoder.input_shape[1:]
    n = 1 if form == "tflite" else "N"
    colours = {1: "one channel, gray", 3: "three channels, in the order R, G, B"}
    told = {
        "score": model.score,
        "threshold": model.calibration.get("threshold"),
        "threshold_rule": f"{detection_arguments.format_rule('auto', True)}, on the training images",
        "pixel_threshold": model.calibration.get("pixel_threshold"),
        "image_shape": [height, width, depth],
        "preprocessing": [
            f"decode to 8 bits, {colours.get(depth, 'channels as in training')}; transparency is dropped",
            f"resize to height {height} and width {width}: by area where the image shrinks, "
            "bilinearly where it grows",
            "divide by 255",
        ],
        "input": {"images": f"float32, [{n}, {height}, {width}, {depth}], 0 to 1"},
        "outputs": {
            "reconstruction": f"float32, [{n}, {height}, {width}, {depth}], 0 to 1",
            "error_map": f"float32, [{n}, {height}, {width}], the higher, the odder the place; "
            "found odd above pixel_threshold",
            "score": f"float32, [{n}], the higher, the more anomalous",
            "flagged": f"bool, [{n}], score > threshold",
        },
        "versions": model_files.versions(),
    }
    if not model.calibration:
        for name in ("threshold_rule", "threshold", "pixel_threshold"):
            told[name] = None
        del told["outputs"]["flagged"]
    return told


def max_relative_difference(ours, theirs):
    """Largest relative difference of scores; of scores of 0, the absolute one.

    Example:
        >>> import numpy as np
        >>> round(max_relative_difference(np.array([2.0, 0.5]), np.array([2.0, 0.6])), 3)
        0.2
    """
    import numpy as np

    ours = np.asarray(ours, np.float64)
    # NumPy's maximum carries a NaN through, which is then no small difference.
    return float(np.max(np.abs(ours - theirs) / np.where(ours == 0, 1, np.abs(ours))))


@contextlib.contextmanager
def quiet_libraries():
    """Keep what converters say to each other off the screen: there is nothing to be done."""
    with quiet_stderr(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def export(model, form, path, images):
    """Write a model in another format, and see whether it scores as before.

    Args:
        model: A `trained_model.TrainedModel`.
        form: A key of `FORMATS`.
        path: Where to. What was exported there earlier is replaced.
        images: float32 array `(N, H, W, C)` in [0, 1], to compare the scores of; at least one.

    Returns:
        The largest relative difference of a score.

    Raises:
        InputError: If a package is missing, if the score differs by more than
            `MAX_RELATIVE_DIFFERENCE`, or if it can't be written there. Nothing is then left or lost.
    """
    from pyimagesearch.storage import files

    chosen = FORMATS[form]
    if missing := [name for name in chosen.needs if importlib.util.find_spec(name) is None]:
        raise InputError(
            f"--to {form} needs {', '.join(missing)}, which this Python does not have: run "
            f"{sys.executable} -m pip install {' '.join(chosen.needs)}, or take another format"
        )
    ours = model.score_images(images)
    text = files.as_json(describe(model, form))
    with tempfile.TemporaryDirectory(prefix=".", dir=Path(path).parent) as folder:
        made = Path(folder, chosen.name)
        with quiet_libraries():
            chosen.write(build_exported_model(model), made, text)
            theirs = chosen.read(made)(images)["score"]
        difference = max_relative_difference(ours, theirs)
        if not difference <= MAX_RELATIVE_DIFFERENCE:
            raise InputError(
                f"expected the scores of the {form} to differ by at most {MAX_RELATIVE_DIFFERENCE:g} "
                f"from ours, found {difference:.2g}: nothing was written; take another format"
            )
        # Again: something may have come there since the work began.
        check_output(path, form)
        atomic.move(made, path)
    return difference


def check_output(path, form, inputs=()):
    """Make sure that an export may be written, before any work is done for it.

    Args:
        path: Where the export is to be.
        form: A key of `FORMATS`.
        inputs: Paths of what it is made from.

    Raises:
        InputError: If something is there that is no earlier export, or is read.
    """
    path = Path(path)
    if form != "savedmodel":
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
    """Whether a folder is empty, or holds a network that was exported there and nothing else."""
    if path.is_symlink() or not path.is_dir():
        return False
    found = [thing for thing in path.rglob("*") if thing.is_symlink() or not thing.is_dir()]
    names = {thing.relative_to(path).as_posix() for thing in found}
    return not names or (names <= {*IN_SAVEDMODEL} and ownership.is_ours(path / IN_SAVEDMODEL[-1]))

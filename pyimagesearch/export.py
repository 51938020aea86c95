"""How does a trained model leave this project, so that others' programs score as we do?

python -m pyimagesearch.export --model output/autoencoder.model --to tflite --output output/detector.tflite
"""

import contextlib
import importlib.util
import os
import sys
import tempfile
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pyimagesearch import InputError, atomic, commandline, ownership
from pyimagesearch.silence import quiet_stderr, quiet_tensorflow

# Largest relative difference of a score that is put down to rounding.
MAX_RELATIVE_DIFFERENCE = 1e-4
# Images to check on, at most.
MAX_CHECKED_IMAGES = 500
# What a file beside the network is called, in all formats.
ABOUT = "about.json"
# All files in a folder for TensorFlow Serving; the last bears the mark of the suite.
IN_SAVEDMODEL = (
    "saved_model.pb",
    "fingerprint.pb",
    "variables/variables.index",
    "variables/variables.data-00000-of-00001",
    f"assets.extra/{ABOUT}",
)


def build_exported_model(model):
    """One network from images to all there is to know about them.

    Args:
        model: A `pipeline.TrainedModel`.

    Returns:
        A Keras model from `images`, float32 `(N, H, W, C)` in [0, 1], to a dict: `reconstruction`
        `(N, H, W, C)`, `error_map` `(N, H, W)` and `score` `(N,)`, all float32; and `flagged`,
        bool `(N,)`, where training has noted a threshold.

    Raises:
        InputError: If the score needs what training has learnt about normal images, and there is
            none beside the model.
    """
    import keras

    from pyimagesearch import scoring

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


def input_signature(model, n=None):
    """What goes into a network: `n` images of its size, or any number of them."""
    import tensorflow as tf

    return [tf.TensorSpec((n, *model.autoencoder.input_shape[1:]), tf.float32, name="images")]


def write_savedmodel(detector, path, about):
    """Write a folder for TensorFlow Serving and `tf.saved_model.load`."""
    detector.export(
        path, format="tf_saved_model", verbose=False, input_signature=input_signature(detector)
    )
    # TensorFlow's place for what is not its own.
    (path / "assets.extra").mkdir()
    (path / "assets.extra" / ABOUT).write_text(about)


def read_savedmodel(path):
    """Open it; see `Format.read`."""
    import tensorflow as tf

    loaded = tf.saved_model.load(path)
    return lambda images: loaded.signatures["serving_default"](images=tf.constant(images))


def write_tflite(detector, path, about):
    """Write a file for LiteRT, which was TensorFlow Lite: one image at a time."""
    detector.export(
        path, format="litert", verbose=False, input_signature=input_signature(detector, n=1)
    )
    # A zip archive behind the network is how such files carry others along.
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(ABOUT, about)
        archive.comment = ownership.MARK


def read_tflite(path):
    """Open it; see `Format.read`."""
    import numpy as np
    import tensorflow as tf

    with warnings.catch_warnings():
        # Announced long ago, it is still there; its successor would be one more package to install.
        warnings.filterwarnings("ignore", r"\s*Warning: tf.lite.Interpreter is deprecated")
        runner = tf.lite.Interpreter(str(path)).get_signature_runner()

    def run(images):
        outputs = [runner(images=images[i : i + 1]) for i in range(len(images))]
        return {name: np.concatenate([one[name] for one in outputs]) for name in outputs[0]}

    return run


def write_onnx(detector, path, about):
    """Write a file for ONNX Runtime and others."""
    import onnx

    detector.export(path, format="onnx", verbose=False, input_signature=input_signature(detector))
    described = onnx.load(path)
    onnx.helper.set_model_props(described, {Path(ABOUT).stem: about})
    onnx.save(described, path)


def read_onnx(path):
    """Open it; see `Format.read`."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path)
    names = [output.name for output in session.get_outputs()]
    return lambda images: dict(zip(names, session.run(names, {"images": images}), strict=True))


@dataclass(frozen=True)
class Format:
    """A format of networks.

    Attributes:
        write: Function from what `network` returns, a path and a text about it: it writes the
            file or folder.
        read: Function from the path to a function from images, float32 array `(N, H, W, C)`, to
            a dict of arrays, by the name of the output.
        name: What a file is called while it is written: Keras looks at the suffix.
        needs: Packages that don't come with `requirements.txt`.
    """

    write: Callable
    read: Callable
    name: str
    needs: tuple[str, ...] = ()


FORMATS = {
    "savedmodel": Format(write_savedmodel, read_savedmodel, "model"),
    "tflite": Format(write_tflite, read_tflite, "model.tflite"),
    "onnx": Format(write_onnx, read_onnx, "model.onnx", ("onnx", "tf2onnx", "onnxruntime")),
}


def describe(model, form):
    """What somebody who has only the exported model needs to know about it.

    Args:
        model: A `pipeline.TrainedModel`.
        form: A key of `FORMATS`.

    Returns:
        A dict for JSON.
    """
    from pyimagesearch import persistence

    height, width, depth = model.autoencoder.input_shape[1:]
    n = 1 if form == "tflite" else "N"
    colours = {1: "one channel, gray", 3: "three channels, in the order R, G, B"}
    told = {
        "score": model.score,
        "threshold": model.calibration.get("threshold"),
        "threshold_rule": f"{commandline.format_rule('auto', True)}, on the training images",
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
        "versions": persistence.versions(),
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
        model: A `pipeline.TrainedModel`.
        form: A key of `FORMATS`.
        path: Where to. What was exported there earlier is replaced.
        images: float32 array `(N, H, W, C)` in [0, 1], to compare the scores of; at least one.

    Returns:
        The largest relative difference of a score.

    Raises:
        InputError: If a package is missing, if the score differs by more than
            `MAX_RELATIVE_DIFFERENCE`, or if it can't be written there. Nothing is then left or lost.
    """
    from pyimagesearch import persistence

    chosen = FORMATS[form]
    if missing := [name for name in chosen.needs if importlib.util.find_spec(name) is None]:
        raise InputError(
            f"--to {form} needs {', '.join(missing)}, which this Python does not have: run "
            f"{sys.executable} -m pip install {' '.join(chosen.needs)}, or take another format"
        )
    ours = model.score_images(images)
    text = persistence.as_json(describe(model, form))
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


def training_dataset(model):
    """The images that a model was trained on, as a dataset for `pipeline.open_dataset`.

    Raises:
        InputError: If they are not where training has put them.
    """
    from pyimagesearch import persistence

    settings = persistence.load_json(persistence.settings_path(model))
    if dataset := settings.get("command", {}).get("dataset"):
        # Too large for a pickle, the manifest stands for them.
        for path in (dataset, persistence.manifest_path(dataset)):
            if Path(path).is_file():
                return str(path)
    raise InputError(
        f"expected the images that {model} was trained on at {dataset or 'a known place'}, found "
        "none: name some images with --dataset"
    )


def parser():
    """The flags of `python -m pyimagesearch.export`."""
    root = commandline.Parser(
        prog="-m pyimagesearch.export",
        description="Write a trained model in a format that other programs run.",
    )
    add = root.add_argument
    add("-m", "--model", required=True, metavar="PATH", help="the trained autoencoder")
    add("--to", required=True, choices=list(FORMATS), help="the format")
    add(
        "--output",
        required=True,
        metavar="PATH",
        help="where to: a file; for savedmodel a folder",
    )
    add(
        "--score",
        choices=commandline.SCORES,
        default="mse",
        help="what to judge by, as for find_anomalies.py (default: %(default)s)",
    )
    add(
        "-d",
        "--dataset",
        metavar="PATH",
        help="images to compare the scores of, as for find_anomalies.py (default: those of the "
        "training, if they are still there)",
    )
    add(
        "--split",
        choices=["train", "test", "all"],
        default="test",
        help="of a dataset that has splits (default: %(default)s)",
    )
    return root


@commandline.exit_status
def main(argv=None):
    """Export a model as the flags say, and tell how far its scores are from ours."""
    args = parser().parse_args(argv)
    narrator = commandline.Narrator()

    # Imported here, so that --help and a wrong flag are answered at once.
    with quiet_tensorflow():
        import numpy as np

        from pyimagesearch import pipeline

    source = args.dataset or training_dataset(args.model)
    check_output(args.output, args.to, pipeline.files_read(source, args.model))

    # The model, and some of the images that it is to be checked on, from end to end.
    narrator.say("loading autoencoder and images...")
    model = pipeline.load_trained_model(args.model, args.score)
    shape = model.autoencoder.input_shape[1:]
    dataset, _ = pipeline.open_dataset(
        source,
        args.split,
        shape,
        model.valid_label,
        narrator.files_checked,
    )
    narrator.own_pictures_left_out(dataset.own_pictures)
    n = len(dataset.images)
    images = dataset.images[np.linspace(0, n - 1, min(n, MAX_CHECKED_IMAGES)).astype(int)]

    narrator.say(f"exporting to {args.to}...")
    difference = export(model, args.to, args.output, images)
    narrator.say(
        f"largest relative difference of a score, {args.score}, over {len(images):,} images: "
        f"{difference:.1e}"
    )
    calibration = model.calibration.get("threshold")
    told = "none noted in training" if calibration is None else f"{calibration:.6f}"
    narrator.say(f"wrote {args.output}: images of {'x'.join(map(str, shape))}, threshold {told}")


if __name__ == "__main__":
    sys.exit(main())

"""The formats of exported models: how each is written and read."""

import importlib.util
import sys
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pyimagesearch import InputError
from pyimagesearch.storage import ownership

# Name of the description inside an export, in all formats.
ABOUT = "about.json"
# All files in a SavedModel folder; the last bears the mark of the suite.
SAVEDMODEL_FILES = (
    "saved_model.pb",
    "fingerprint.pb",
    "variables/variables.index",
    "variables/variables.data-00000-of-00001",
    f"assets.extra/{ABOUT}",
)


def input_signature(detector, batch_size=None):
    """The input of an exported model: `batch_size` images of its size, or any number of them."""
    import tensorflow as tf

    shape = (batch_size, *detector.autoencoder.input_shape[1:])
    return [tf.TensorSpec(shape, tf.float32, name="images")]


def write_savedmodel(detector, path, about):
    """Write a folder for TensorFlow Serving and `tf.saved_model.load`."""
    detector.export(
        path, format="tf_saved_model", verbose=False, input_signature=input_signature(detector)
    )
    # TensorFlow's folder for files of others.
    (path / "assets.extra").mkdir()
    (path / "assets.extra" / ABOUT).write_text(about)


def read_savedmodel(path):
    """Load a SavedModel; see `Format.read`."""
    import tensorflow as tf

    loaded = tf.saved_model.load(path)
    return lambda images: loaded.signatures["serving_default"](images=tf.constant(images))


def write_tflite(detector, path, about):
    """Write a file for LiteRT, formerly TensorFlow Lite, that takes one image at a time."""
    detector.export(
        path,
        format="litert",
        verbose=False,
        input_signature=input_signature(detector, FORMATS["tflite"].batch_size),
    )
    # Such files carry others in a zip archive at their end.
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(ABOUT, about)
        archive.comment = ownership.MARK


def read_tflite(path):
    """Load a LiteRT file; see `Format.read`."""
    import numpy as np
    import tensorflow as tf

    with warnings.catch_warnings():
        # It is deprecated, but its successor is one more package to install.
        warnings.filterwarnings("ignore", r"\s*Warning: tf.lite.Interpreter is deprecated")
        runner = tf.lite.Interpreter(str(path)).get_signature_runner()

    def run(images):
        outputs = [runner(images=images[i : i + 1]) for i in range(len(images))]
        return {name: np.concatenate([output[name] for output in outputs]) for name in outputs[0]}

    return run


def write_onnx(detector, path, about):
    """Write a file for ONNX Runtime and others."""
    import onnx

    detector.export(path, format="onnx", verbose=False, input_signature=input_signature(detector))
    exported = onnx.load(path)
    onnx.helper.set_model_props(exported, {Path(ABOUT).stem: about})
    onnx.save(exported, path)


def read_onnx(path):
    """Load an ONNX file; see `Format.read`."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path)
    names = [output.name for output in session.get_outputs()]
    return lambda images: dict(zip(names, session.run(names, {"images": images}), strict=True))


@dataclass(frozen=True)
class Format:
    """A format of exported models.

    Attributes:
        write: Function from what `exporter.build_exported_model` returns, a path and the text of
            `about.json`, that writes the file or folder.
        read: Function from the path to a function from images, float32 array `(N, H, W, C)`, to
            a dict of arrays by the names of the outputs.
        filename: Name to write under at first: Keras looks at the suffix.
        batch_size: Number of images that it takes at once; `None`: any.
        packages: Packages that it needs besides those of `requirements.txt`.
    """

    write: Callable
    read: Callable
    filename: str
    batch_size: int | None = None
    packages: tuple[str, ...] = ()

    def check_packages(self, name):
        """Raise an `InputError` if a package that the format needs, by its name, is missing."""
        missing = [
            package for package in self.packages if importlib.util.find_spec(package) is None
        ]
        if missing:
            raise InputError(
                f"--to {name} needs {', '.join(missing)}, which this Python does not have: run "
                f"{sys.executable} -m pip install {' '.join(self.packages)}, or take another format"
            )


FORMATS = {
    "savedmodel": Format(write_savedmodel, read_savedmodel, "model"),
    "tflite": Format(write_tflite, read_tflite, "model.tflite", batch_size=1),
    "onnx": Format(
        write_onnx, read_onnx, "model.onnx", packages=("onnx", "tf2onnx", "onnxruntime")
    ),
}

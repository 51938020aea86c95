"""Formats that a network is exported to, and how each is written and read back."""

import warnings
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pyimagesearch.storage import ownership

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

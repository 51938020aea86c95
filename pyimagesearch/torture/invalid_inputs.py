"""What do people get wrong by accident?

Tables of flags, for the tests and for `torture`.
"""

import pickle
from pathlib import Path

import numpy as np

from pyimagesearch.torture.malicious_files import (
    MALICIOUS_FILES,
    MALICIOUS_PICKLES,
    encoded_image,
    mnist_like,
    npy_header,
)
from pyimagesearch.torture.malicious_models import legacy_hdf5


def write(path, content):
    """Put a file there, and say where."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_bytes(content)
    return str(path)


def pickled(path, array):
    """Put a pickled array there, and say where."""
    return write(path, pickle.dumps(array))


def manifested(path, rows):
    """Put a pickle of two sound images there, with a manifest of so many rows; say where."""
    lines = ["index,name,label", *(f"{i},a,0" for i in range(rows))]
    write(path.with_suffix(".csv"), "\n".join(lines).encode())
    return pickled(path, np.zeros((2, 28, 28, 1), np.float32))


def folder(path):
    """Make an empty folder, and say where."""
    path.mkdir()
    return str(path)


def images(path, *contents):
    """Make a folder of image files, and say where."""
    for i, content in enumerate(contents):
        write(path / f"{i}.png", content)
    return str(path)


def images_of_sides(height, width, depth=1):
    """Two black images of a size."""
    return np.zeros((2, height, width, depth), np.float32)


# What people get wrong: name -> function from a folder to work in to flags for the training
# script, and a part of the one line that they are to be answered with.
TRAINING_INPUTS = {
    "source missing": (lambda w: ["--source", "no/such.npz"], "there is no file no/such.npz"),
    "source unknown": (lambda w: ["--source", "photos"], "expected auto, mnist, digits"),
    "source an empty folder": (lambda w: ["--source", folder(w / "e")], "files in"),
    "source an empty file": (lambda w: ["--source", write(w / "e.npz", b"")], "not a whole .npz"),
    "source cut short": (
        lambda w: ["--source", write(w / "c.npz", mnist_like()[:300])],
        "not a whole .npz",
    ),
    "source a folder called .npz": (lambda w: ["--source", folder(w / "f.npz")], "files in"),
    "source without images": (
        lambda w: ["--source", write(w / "n.npz", MALICIOUS_FILES[".npz", "no images"](""))],
        "at least one image",
    ),
    "source with NaN": (
        lambda w: ["--source", write(w / "n.npz", MALICIOUS_FILES[".npz", "NaN"](""))],
        "NaN or infinity",
    ),
    "source with text for pixels": (
        lambda w: ["--source", write(w / "t.npz", MALICIOUS_FILES[".npz", "text"](""))],
        "<U1",
    ),
    "source of broken images": (
        lambda w: ["--source", images(w / "b", b"", encoded_image(".png")[:60])],
        "can be decoded",
    ),
    "source unreadable": (lambda w: ["--source", "/proc/self/mem/x.npz"], "get it again"),
    "size for what is no folder": (lambda w: ["--image-size", "9"], "leave these flags out"),
    "size of 0": (lambda w: ["--image-size", "0"], "--image-size: expected a whole number"),
    "size beyond reason": (lambda w: ["--image-size", "1000000"], "at most 16384"),
    "three sizes": (lambda w: ["--image-size", "1", "2", "3"], "received 3 numbers"),
    "dataset a folder": (lambda w: ["-d", folder(w / "f")], "found a folder"),
    "model a folder": (lambda w: ["-m", folder(w / "f")], "found a folder"),
    "picture a folder": (lambda w: ["--vis", folder(w / "f")], "found a folder"),
    "dataset below a file": (
        lambda w: ["-d", write(w / "file", b"") + "/images.pickle"],
        "cannot write to the folder",
    ),
    "model where nobody can write": (lambda w: ["-m", "/proc/a.model"], "cannot write to"),
    "one name for two results": (lambda w: ["--vis", "a.png", "--plot", "a.png"], "name two files"),
    "contamination negative": (lambda w: ["--contam", "-0.1"], "--contam: expected a number"),
    "contamination beyond what there is": (lambda w: ["--contam", "2"], "and there are 183"),
    "contamination of a folder": (
        lambda w: ["--source", images(w / "b", encoded_image(".png")), "--contam", "0.1"],
        "leave --contam out",
    ),
    "label that does not exist": (lambda w: ["--valid-label", "12"], "no image has the label 12"),
    "anomaly that does not exist": (lambda w: ["--anomaly-label", "12"], "label 12: choose among"),
    "label on both sides": (lambda w: ["--anomaly-label", "1"], "can't be normal and an anomaly"),
    "no epochs": (lambda w: ["--epochs", "0"], "--epochs: expected a whole number, at least 1"),
    "no batch": (lambda w: ["--batch-size", "0"], "--batch-size: expected"),
    "no rate": (lambda w: ["--lr", "0"], "--lr: expected a number, above 0"),
    "rate that is no number": (lambda w: ["--lr", "nan"], "--lr: expected a number"),
    "no code": (lambda w: ["--latent-dim", "0"], "--latent-dim: expected"),
    "code beyond reason": (lambda w: ["--latent-dim", "1000000000"], "at most 65536"),
    "trim of all": (lambda w: ["--trim", "1"], "--trim: expected a number"),
    "seed negative": (lambda w: ["--seed", "-1"], "--seed: expected"),
    "corruption without a number": (lambda w: ["--corrupt", "noise"], "--corrupt: expected"),
    "corruption with a broken number": (lambda w: ["--corrupt", "noise:0.x"], "--corrupt"),
    "corruption unknown": (lambda w: ["--corrupt", "fog:1"], "--corrupt: expected"),
    "corruption beyond reason": (lambda w: ["--corrupt", "blur:1e9"], "at most 1000"),
    "architecture unknown": (lambda w: ["--arch", "cathedral"], "--arch"),
    "flag unknown": (lambda w: ["--cake"], "--cake"),
}

# The same for the detection script; `of(model)` are functions of the bytes of a sound model.
DETECTION_INPUTS = {
    "dataset missing": (lambda w: ["-d", "no.pickle"], "there is no file"),
    "dataset an empty folder": (lambda w: ["-d", folder(w / "e")], "files in"),
    "dataset empty": (lambda w: ["-d", write(w / "e.pickle", b"")], "not a whole pickle"),
    "dataset cut short": (
        lambda w: ["-d", write(w / "c.pickle", pickle.dumps(images_of_sides(28, 28))[:-9])],
        "not a whole pickle",
    ),
    "dataset that runs code": (
        lambda w: [
            "-d",
            write(w / "x.pickle", MALICIOUS_PICKLES["posix.system"](f"touch {w}/executed")),
        ],
        "asks for posix.system",
    ),
    "dataset without images": (
        lambda w: ["-d", pickled(w / "n.pickle", np.zeros((0, 28, 28, 1)))],
        "at least one image",
    ),
    "dataset with NaN": (
        lambda w: ["-d", pickled(w / "n.pickle", np.full((2, 28, 28), np.nan))],
        "NaN or infinity",
    ),
    "dataset with infinities": (
        lambda w: ["-d", pickled(w / "n.pickle", np.full((2, 28, 28), np.inf))],
        "NaN or infinity",
    ),
    "dataset below 0": (
        lambda w: ["-d", pickled(w / "n.pickle", np.full((2, 28, 28), -1.0))],
        "scale or clip them",
    ),
    "dataset above 255": (
        lambda w: ["-d", pickled(w / "n.pickle", np.full((2, 28, 28), 256.0))],
        "scale or clip them",
    ),
    "dataset of text": (lambda w: ["-d", pickled(w / "n.pickle", np.array(["a"]))], "refused"),
    "dataset of complex numbers": (
        lambda w: ["-d", pickled(w / "n.pickle", np.full((1, 28, 28), 1j))],
        "complex128",
    ),
    "dataset of one dimension": (
        lambda w: ["-d", pickled(w / "n.pickle", np.zeros(9))],
        "of shape (9,)",
    ),
    "images of another size": (
        lambda w: ["-d", pickled(w / "n.pickle", images_of_sides(28, 32))],
        "(28, 28, 1) and these are of shape (28, 32, 1)",
    ),
    "images of other channels": (
        lambda w: ["-d", pickled(w / "n.pickle", images_of_sides(28, 28, 3))],
        "(28, 28, 1) and these are of shape (28, 28, 3)",
    ),
    "images of 1x1": (
        lambda w: ["-d", pickled(w / "n.pickle", images_of_sides(1, 1))],
        "(1, 1, 1)",
    ),
    "manifest too short": (lambda w: ["-d", manifested(w / "m.pickle", 1)], "does not belong"),
    "manifest too long": (lambda w: ["-d", manifested(w / "m.pickle", 3)], "does not belong"),
    "manifest of files that are gone": (
        lambda w: ["-d", write(w / "m.csv", b"index,name,label\n0,gone.png,0\n")],
        "found no such file",
    ),
    "array cut short": (
        lambda w: ["-d", write(w / "a.npy", npy_header((9, 28, 28)))],
        "not a whole",
    ),
    "folder of broken images": (lambda w: ["-d", images(w / "b", b"")], "can be decoded"),
    "model missing": (lambda w: ["-m", "no.model"], "there is no file"),
    "model a folder": (lambda w: ["-m", folder(w / "f")], "expected a file, found the folder"),
    "model a SavedModel": (
        lambda w: ["-m", str(Path(write(w / "s" / "saved_model.pb", b"x")).parent)],
        "is a SavedModel",
    ),
    "model HDF5": (lambda w: ["-m", write(w / "a.keras", legacy_hdf5(b""))], "is an HDF5 file"),
    "model empty": (lambda w: ["-m", write(w / "a.keras", b"")], "not a whole .keras archive"),
    "model a pickle": (
        lambda w: ["-m", pickled(w / "a.keras", images_of_sides(1, 1))],
        "not a whole .keras archive",
    ),
    "output a file": (lambda w: ["--output", write(w / "file", b"")], "cannot write to the folder"),
    "output where nobody can write": (lambda w: ["--output", "/proc/x"], "cannot write to"),
    "report a folder": (
        lambda w: ["--output", str(Path(folder(w / "o"), folder(w / "o" / "report.json")).parent)],
        "found a folder",
    ),
    "quantile above 1": (lambda w: ["-q", "1.1"], "--quantile: expected a number, at least 0"),
    "quantile below 0": (lambda w: ["-q", "-0.1"], "--quantile: expected a number, at least 0"),
    "no standard deviations": (lambda w: ["--std", "0"], "--std: expected a number, above 0"),
    "share of nothing": (lambda w: ["--contamination", "0"], "--contamination: expected"),
    "share of all": (lambda w: ["--contamination", "1"], "--contamination: expected"),
    "threshold in words": (lambda w: ["--threshold", "high"], "--threshold: "),
    "two rules at once": (lambda w: ["--std", "3", "--auto"], "not allowed with"),
    "quantile and threshold": (lambda w: ["-q", "0.9", "--threshold", "1"], "not allowed with"),
    "none on top": (lambda w: ["--top", "0"], "--top: expected a whole number"),
    "score unknown": (lambda w: ["--score", "cake"], "--score"),
    "corruption with a broken number": (lambda w: ["--corrupt", "noise:"], "--corrupt"),
    "corruption of nothing": (lambda w: ["--corrupt-fraction", "0"], "--corrupt-fraction"),
}

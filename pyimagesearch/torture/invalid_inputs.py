"""Invalid input that people type by accident: tables of flags and of the error each is answered with.

The tests and `python -m pyimagesearch.torture` run over both tables.
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


def write_file(path, content):
    """Write bytes to a new file; its path as text."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_bytes(content)
    return str(path)


def write_pickle(path, array):
    """Write a pickled array; its path as text."""
    return write_file(path, pickle.dumps(array))


def write_manifest(path, n_rows):
    """Write a pickle of two images with a manifest of `n_rows` rows; the path of the pickle."""
    lines = ["index,name,label", *(f"{i},a,0" for i in range(n_rows))]
    write_file(path.with_suffix(".csv"), "\n".join(lines).encode())
    return write_pickle(path, np.zeros((2, 28, 28, 1), np.float32))


def write_images(folder, *contents):
    """Write PNG files of these bytes; the path of their folder as text."""
    for i, content in enumerate(contents):
        write_file(folder / f"{i}.png", content)
    return str(folder)


def make_folder(path):
    """Make an empty folder; its path as text."""
    path.mkdir()
    return str(path)


def black_images(height, width, depth=1):
    """Two black images of a size."""
    return np.zeros((2, height, width, depth), np.float32)


# Name -> function from a scratch folder to flags of the training script, and a part of the error
# that they are answered with. The flags follow `--source digits`.
TRAINING_INPUTS = {
    "source missing": (lambda tmp: ["--source", "no/such.npz"], "no file or folder at no/such.npz"),
    "source unknown": (lambda tmp: ["--source", "photos"], "no file or folder at photos"),
    "source an empty folder": (
        lambda tmp: ["--source", make_folder(tmp / "e")],
        "expected images in",
    ),
    "source an empty file": (
        lambda tmp: ["--source", write_file(tmp / "e.npz", b"")],
        "not a whole .npz",
    ),
    "source truncated": (
        lambda tmp: ["--source", write_file(tmp / "c.npz", mnist_like()[:300])],
        "not a whole .npz",
    ),
    "source a folder called .npz": (
        lambda tmp: ["--source", make_folder(tmp / "f.npz")],
        "expected images in",
    ),
    "source without images": (
        lambda tmp: [
            "--source",
            write_file(tmp / "n.npz", MALICIOUS_FILES[".npz", "no images"]("")),
        ],
        "at least one image",
    ),
    "source with NaN": (
        lambda tmp: ["--source", write_file(tmp / "n.npz", MALICIOUS_FILES[".npz", "NaN"](""))],
        "NaN or infinity",
    ),
    "source with text for pixels": (
        lambda tmp: ["--source", write_file(tmp / "t.npz", MALICIOUS_FILES[".npz", "text"](""))],
        "<U1",
    ),
    "source of broken images": (
        lambda tmp: ["--source", write_images(tmp / "b", b"", encoded_image(".png")[:60])],
        "can be read",
    ),
    "source unreadable": (
        lambda tmp: (tmp / "x.npz").symlink_to("/proc/self/mem") or ["--source", f"{tmp}/x.npz"],
        "get it again",
    ),
    "size of a source that is no folder": (
        lambda tmp: ["--image-size", "9"],
        "leave these out",
    ),
    "size of 0": (lambda tmp: ["--image-size", "0"], "--image-size: expected a whole number"),
    "size too large": (lambda tmp: ["--image-size", "1000000"], "at most 16384"),
    "three sizes": (lambda tmp: ["--image-size", "1", "2", "3"], "received 3 numbers"),
    "dataset a folder": (lambda tmp: ["-d", make_folder(tmp / "f")], "found a folder"),
    "model a folder": (lambda tmp: ["-m", make_folder(tmp / "f")], "found a folder"),
    "picture a folder": (lambda tmp: ["--vis", make_folder(tmp / "f")], "found a folder"),
    "dataset below a file": (
        lambda tmp: ["-d", write_file(tmp / "file", b"") + "/images.pickle"],
        "cannot write to the folder",
    ),
    "model in a read-only folder": (lambda tmp: ["-m", "/proc/a.model"], "cannot write to"),
    "one path for two results": (
        lambda tmp: ["--vis", str(tmp / "a.png"), "--plot", str(tmp / "a.png")],
        "name two files",
    ),
    "contamination negative": (lambda tmp: ["--contam", "-0.1"], "--contam: expected a number"),
    "contamination beyond the available anomalies": (
        lambda tmp: ["--contam", "2"],
        "and there are 183",
    ),
    "contamination of a folder": (
        lambda tmp: ["--source", write_images(tmp / "b", encoded_image(".png")), "--contam", "0.1"],
        "leave it out",
    ),
    "label that does not exist": (lambda tmp: ["--valid-label", "12"], "no image has the label 12"),
    "anomaly that does not exist": (
        lambda tmp: ["--anomaly-label", "12"],
        "label 12: choose among",
    ),
    "label both normal and anomalous": (
        lambda tmp: ["--anomaly-label", "1"],
        "can't be normal and an anomaly",
    ),
    "0 epochs": (lambda tmp: ["--epochs", "0"], "--epochs: expected a whole number, at least 1"),
    "batch size of 0": (lambda tmp: ["--batch-size", "0"], "--batch-size: expected"),
    "learning rate of 0": (lambda tmp: ["--lr", "0"], "--lr: expected a number, above 0"),
    "learning rate of NaN": (lambda tmp: ["--lr", "nan"], "--lr: expected a number"),
    "latent code of 0": (lambda tmp: ["--latent-dim", "0"], "--latent-dim: expected"),
    "latent code too large": (lambda tmp: ["--latent-dim", "1000000000"], "at most 65536"),
    "trim of 1": (lambda tmp: ["--trim", "1"], "--trim: expected a number"),
    "seed negative": (lambda tmp: ["--seed", "-1"], "--seed: expected"),
    "corruption without an amount": (lambda tmp: ["--corrupt", "noise"], "--corrupt: expected"),
    "corruption with an invalid amount": (lambda tmp: ["--corrupt", "noise:0.x"], "--corrupt"),
    "corruption unknown": (lambda tmp: ["--corrupt", "fog:1"], "--corrupt: expected"),
    "corruption too strong": (lambda tmp: ["--corrupt", "blur:1e9"], "at most 1000"),
    "architecture unknown": (lambda tmp: ["--arch", "cathedral"], "--arch"),
    "flag unknown": (lambda tmp: ["--cake"], "--cake"),
}

# The same for the detection script.
DETECTION_INPUTS = {
    "dataset missing": (lambda tmp: ["-d", "no.pickle"], "no file or folder at no.pickle"),
    "dataset an empty folder": (lambda tmp: ["-d", make_folder(tmp / "e")], "expected images in"),
    "dataset empty": (lambda tmp: ["-d", write_file(tmp / "e.pickle", b"")], "not a whole pickle"),
    "dataset truncated": (
        lambda tmp: ["-d", write_file(tmp / "c.pickle", pickle.dumps(black_images(28, 28))[:-9])],
        "not a whole pickle",
    ),
    "dataset that runs code": (
        lambda tmp: [
            "-d",
            write_file(
                tmp / "x.pickle", MALICIOUS_PICKLES["posix.system"](f"touch {tmp}/executed")
            ),
        ],
        "asks for posix.system",
    ),
    "dataset without images": (
        lambda tmp: ["-d", write_pickle(tmp / "n.pickle", np.zeros((0, 28, 28, 1)))],
        "at least one image",
    ),
    "dataset with NaN": (
        lambda tmp: ["-d", write_pickle(tmp / "n.pickle", np.full((2, 28, 28), np.nan))],
        "NaN or infinity",
    ),
    "dataset with infinities": (
        lambda tmp: ["-d", write_pickle(tmp / "n.pickle", np.full((2, 28, 28), np.inf))],
        "NaN or infinity",
    ),
    "dataset below 0": (
        lambda tmp: ["-d", write_pickle(tmp / "n.pickle", np.full((2, 28, 28), -1.0))],
        "scale or clip them",
    ),
    "dataset above 255": (
        lambda tmp: ["-d", write_pickle(tmp / "n.pickle", np.full((2, 28, 28), 256.0))],
        "scale or clip them",
    ),
    "dataset of text": (
        lambda tmp: ["-d", write_pickle(tmp / "n.pickle", np.array(["a"]))],
        "refused",
    ),
    "dataset of complex numbers": (
        lambda tmp: ["-d", write_pickle(tmp / "n.pickle", np.full((1, 28, 28), 1j))],
        "complex128",
    ),
    "dataset of one dimension": (
        lambda tmp: ["-d", write_pickle(tmp / "n.pickle", np.zeros(9))],
        "of shape (9,)",
    ),
    "images of another size": (
        lambda tmp: ["-d", write_pickle(tmp / "n.pickle", black_images(28, 32))],
        "(28, 28, 1) and these are of shape (28, 32, 1)",
    ),
    "images of other channels": (
        lambda tmp: ["-d", write_pickle(tmp / "n.pickle", black_images(28, 28, 3))],
        "(28, 28, 1) and these are of shape (28, 28, 3)",
    ),
    "images of 1x1": (
        lambda tmp: ["-d", write_pickle(tmp / "n.pickle", black_images(1, 1))],
        "(1, 1, 1)",
    ),
    "manifest too short": (
        lambda tmp: ["-d", write_manifest(tmp / "m.pickle", 1)],
        "does not belong",
    ),
    "manifest too long": (
        lambda tmp: ["-d", write_manifest(tmp / "m.pickle", 3)],
        "does not belong",
    ),
    "manifest of missing files": (
        lambda tmp: ["-d", write_file(tmp / "m.csv", b"index,name,label\n0,gone.png,0\n")],
        "found no such file",
    ),
    "array truncated": (
        lambda tmp: ["-d", write_file(tmp / "a.npy", npy_header((9, 28, 28)))],
        "not a whole",
    ),
    "folder of broken images": (lambda tmp: ["-d", write_images(tmp / "b", b"")], "can be read"),
    "model missing": (lambda tmp: ["-m", "no.model"], "there is no file"),
    "model a folder": (
        lambda tmp: ["-m", make_folder(tmp / "f")],
        "expected a file, found the folder",
    ),
    "model a SavedModel": (
        lambda tmp: ["-m", str(Path(write_file(tmp / "s" / "saved_model.pb", b"x")).parent)],
        "is a SavedModel",
    ),
    "model HDF5": (
        lambda tmp: ["-m", write_file(tmp / "a.keras", legacy_hdf5())],
        "is an HDF5 file",
    ),
    "model empty": (
        lambda tmp: ["-m", write_file(tmp / "a.keras", b"")],
        "not a whole .keras archive",
    ),
    "model a pickle": (
        lambda tmp: ["-m", write_pickle(tmp / "a.keras", black_images(1, 1))],
        "not a whole .keras archive",
    ),
    "output a file": (
        lambda tmp: ["--output", write_file(tmp / "file", b"")],
        "cannot write to the folder",
    ),
    "output in a read-only folder": (lambda tmp: ["--output", "/proc/x"], "cannot write to"),
    "report a folder": (
        lambda tmp: [
            "--output",
            str(Path(make_folder(tmp / "o"), make_folder(tmp / "o" / "report.json")).parent),
        ],
        "found a folder",
    ),
    "quantile above 1": (lambda tmp: ["-q", "1.1"], "--quantile: expected a number, at least 0"),
    "quantile below 0": (lambda tmp: ["-q", "-0.1"], "--quantile: expected a number, at least 0"),
    "0 standard deviations": (lambda tmp: ["--std", "0"], "--std: expected a number, above 0"),
    "contamination of 0": (lambda tmp: ["--contamination", "0"], "--contamination: expected"),
    "contamination of 1": (lambda tmp: ["--contamination", "1"], "--contamination: expected"),
    "threshold of text": (lambda tmp: ["--threshold", "high"], "--threshold: "),
    "two rules at once": (lambda tmp: ["--std", "3", "--auto"], "not allowed with"),
    "quantile and threshold": (lambda tmp: ["-q", "0.9", "--threshold", "1"], "not allowed with"),
    "top 0": (lambda tmp: ["--top", "0"], "--top: expected a whole number"),
    "score unknown": (lambda tmp: ["--score", "cake"], "--score"),
    "corruption with an invalid amount": (lambda tmp: ["--corrupt", "noise:"], "--corrupt"),
    "corrupt fraction of 0": (lambda tmp: ["--corrupt-fraction", "0"], "--corrupt-fraction"),
}

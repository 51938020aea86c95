"""Made-up sources of images for the tests of this folder."""

from pathlib import Path

import cv2
import numpy as np
import pytest


@pytest.fixture
def npz(tmp_path, rng):
    """A small file in the layout of Keras's MNIST, and its arrays."""
    arrays = {
        "x_train": rng.integers(0, 256, (30, 6, 5), np.uint8),
        "y_train": np.arange(30) % 3,
        "x_test": rng.integers(0, 256, (12, 6, 5), np.uint8),
        "y_test": np.arange(12) % 3,
    }
    np.savez(tmp_path / "small.npz", **arrays)
    return str(tmp_path / "small.npz"), arrays


def draw(path, value, shape=(6, 4)):
    """Write an image of one brightness."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(path.suffix, np.full(shape, value, np.uint8))[1].tobytes())


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """The name of a folder of three images and a broken one, as its user types it."""
    monkeypatch.chdir(tmp_path)
    for name, value in (("b.png", 51), ("a/z.png", 102), ("a/é.bmp", 153)):
        draw(Path("photos", name), value)
    Path("photos", "a", "broken.png").write_text("no picture")
    return "photos"


@pytest.fixture
def screws(tmp_path):
    """A made-up category in the layout of MVTec AD; each image has another brightness."""
    folder = tmp_path / "screws"
    for name, value in {
        "train/good/000.png": 10,
        "train/good/001.png": 11,
        "test/good/000.png": 20,
        "test/bent/000.png": 30,
        "test/bent/001.png": 31,
        "test/scratch/000.png": 40,
        "ground_truth/bent/000_mask.png": 255,
        "ground_truth/bent/001.png": 255,
        "ground_truth/scratch/000_mask.bmp": 255,
    }.items():
        draw(folder / name, value)
    return folder


@pytest.fixture
def write(tmp_path):
    """A function that writes pixels, in RGB, to a file in a folder and returns its path."""

    def write(name, pixels):
        pixels = np.asarray(pixels)
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if pixels.ndim == 3:
            pixels = pixels[..., [2, 1, 0, 3][: pixels.shape[2]]]
        path.write_bytes(cv2.imencode(path.suffix.lower(), pixels)[1].tobytes())
        return path

    return write

"""Make the photographs at the head of the README, and the picture of what is odd among them.

The photographs are crops of the two that come with scikit-learn: 240 of a flower, one of them
blanked, one blurred and one scratched, and six of a pagoda. Both scripts run on them. From the root of the
repository:

python .github/images/make_photos.py [FOLDER]

The folder (default: output/photos) must not exist yet. It receives the photographs in `crops`, the
results in `found`, and `photos.png`: the montage of the results, smaller and in 128 colors.
"""

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from sklearn.datasets import load_sample_images

SIDE = 128  # pixels, of a crop
# Of each picture: how many crops, the row and column around which they are cut, and how many pixels
# their centers may lie away from there.
CROPS = {"flower": (240, (222, 308), 12), "china": (6, (190, 205), 70)}
BLURRED, BLANK, SCRATCHED = 60, 61, 62  # crops of the flower


def crop(picture, center, reach, rng):
    """Cut a square at a random place, of a random size, and bring it to one size.

    Args:
        picture: uint8 array `(H, W, 3)`.
        center: Row and column.
        reach: How many pixels the center of the square may lie away from there.
        rng: A `numpy.random.Generator`.

    Returns:
        uint8 array `(SIDE, SIDE, 3)`.
    """
    row, column = np.add(center, rng.integers(-reach, reach + 1, 2))
    half = int(rng.integers(112, 128))
    top, left = max(row - half, 0), max(column - half, 0)
    square = picture[top : top + 2 * half, left : left + 2 * half]
    return cv2.resize(square, (SIDE, SIDE), interpolation=cv2.INTER_AREA)


def make_crops(folder, seed=42):
    """Write the photographs into a new folder, in an order that does not tell which are odd."""
    rng = np.random.default_rng(seed)
    sample = load_sample_images()
    pictures = {
        Path(name).stem: image for name, image in zip(sample.filenames, sample.images, strict=True)
    }
    crops = [
        crop(pictures[name], center, reach, rng)
        for name, (count, center, reach) in CROPS.items()
        for _ in range(count)
    ]
    crops[BLURRED] = cv2.GaussianBlur(crops[BLURRED], (0, 0), 6)
    crops[BLANK] = np.full_like(crops[BLANK], 90)
    cv2.line(crops[SCRATCHED], (30, 88), (62, 104), (225, 225, 235), 2, cv2.LINE_AA)
    folder.mkdir(parents=True)
    for place, number in enumerate(rng.permutation(len(crops))):
        Image.fromarray(crops[number]).save(folder / f"photo_{place:03}.png")


def main():
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "output/photos")
    crops, model, dataset = folder / "crops", folder / "photos.model", folder / "photos.pickle"
    make_crops(crops)
    train = ["--source", crops, "--dataset", dataset, "--model", model]
    train += ["--vis", folder / "recon_vis.png", "--plot", folder / "plot.png"]
    find = ["--dataset", crops, "--model", model, "--contamination", "0.037"]
    find += ["--top", "12", "--output", folder / "found"]
    for script, flags in (
        ("train_unsupervised_autoencoder.py", train),
        ("find_anomalies.py", find),
    ):
        subprocess.run([sys.executable, script, *map(str, flags)], check=True)
    with Image.open(folder / "found" / "anomalies.png") as montage:
        small = montage.convert("RGB").resize([side * 3 // 4 for side in montage.size])
        small.quantize(128).save(folder / "photos.png", optimize=True)
    print(f"[INFO] wrote {folder / 'photos.png'}")


if __name__ == "__main__":
    main()

"""Folders of images: unlabeled ones, the layout of MVTec AD, and files of a manifest."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np

from pyimagesearch import InputError
from pyimagesearch.data.image_files import ImageFiles, decode, find_readable, list_images
from pyimagesearch.data.sources import Source, parts_of


def is_mvtec(folder):
    """Whether a folder has the layout of a category of MVTec AD: `train/good`, `test/<defect>`."""
    return Path(folder, "train", "good").is_dir() and Path(folder, "test").is_dir()


def load_folder(folder, split="train", size=None, grayscale=False, on_progress=None):
    """Load a folder of unlabeled images, which has no splits."""
    paths, own = list_images(folder)
    files, skipped = check_files(paths, size, grayscale, on_progress)
    return Source(
        str(folder),
        files,
        None,
        as_text(files.paths),
        np.full(len(files), -1, np.int8),
        skipped=skipped,
        own_pictures=as_text(own),
    )


def load_mvtec(folder, split="train", size=None, grayscale=False, on_progress=None):
    """Load a category of MVTec AD, or a folder in the same layout.

    Bergmann et al., "MVTec AD: a comprehensive real-world dataset for unsupervised anomaly
    detection", CVPR 2019. The layout is `train/good`, `test/good`, `test/<defect>` and
    `ground_truth/<defect>/<name of the image>_mask.png`; the masks may lack `_mask`, or be BMP.

    Args:
        folder: Path of the category's folder.
        split, size, grayscale, on_progress: As for `load`.

    Returns:
        A `Source` with labels, and with masks if there is a folder `ground_truth`.

    Raises:
        InputError: If a part has no images, if an image in `test` is not in the folder of a
            defect, or if there are masks but one is missing.
    """
    folder = Path(folder)
    where = {"train": folder / "train" / "good", "test": folder / "test"}
    listed = [list_images(where[part]) for part in parts_of(split)]
    paths = [path for images, _ in listed for path in images]
    own = [path for _, pictures in listed for path in pictures]
    files, skipped = check_files(paths, size, grayscale, on_progress)

    has_masks = (folder / "ground_truth").is_dir()
    labels, masks = [], []
    for path in files.paths:
        defect = path.relative_to(folder).parts[1]
        if defect == path.name:
            raise InputError(
                f"expected test images in {folder / 'test'}/<defect>/ or good/, found {path}: move "
                "it into one of them"
            )
        is_anomaly = defect != "good"
        labels.append(int(is_anomaly))
        masks.append(find_mask(path, folder) if is_anomaly and has_masks else None)
    return Source(
        str(folder),
        files,
        None,
        as_text(files.paths),
        np.array(labels, np.int8),
        masks if any(masks) else None,
        skipped,
        as_text(own),
    )


def find_mask(image, folder):
    """Path of the ground-truth mask of an anomalous test image in the layout of MVTec AD."""
    masks = folder / "ground_truth" / image.parent.relative_to(folder / "test")
    candidates = [
        masks / f"{image.stem}{end}{suffix}" for suffix in (".png", ".bmp") for end in ("_mask", "")
    ]
    for mask in candidates:
        if mask.is_file():
            return mask
    raise InputError(
        f"expected a mask for {image} at {candidates[0]}, found none: put it there, or remove the "
        "folder ground_truth to go without masks"
    )


def load_files(names, labels, size=None, grayscale=False, on_progress=None):
    """Load the image files that a manifest lists.

    Args:
        names: N paths.
        labels: int8 array `(N,)`: 0 normal, 1 anomaly, -1 unknown.
        size, grayscale, on_progress: As for `load`.

    Returns:
        A `Source`.

    Raises:
        InputError: If a file is missing or can't be decoded: the model was calibrated on all.
    """
    names = [find_listed(name) for name in names]
    # Checked first: that is quick, and a wrong working folder is the most likely cause.
    if missing := [name for name in names if not Path(name).is_file()]:
        otherwise = "" if is_utf8(missing[0]) else ", or save the manifest as CSV in UTF-8"
        raise InputError(
            f"expected the image {missing[0]}, as the manifest lists it, found no such file"
            f"{count_others(missing)}: run in the folder where the manifest was made, or put it "
            f"back{otherwise}"
        )
    files, skipped = check_files([Path(name) for name in names], size, grayscale, on_progress)
    if skipped:
        raise InputError(
            f"expected an image in {skipped[0]}, as the manifest lists it, found one that can't be decoded"
            f"{count_others(skipped)}: get it again"
        )
    return Source("files", files, None, list(names), labels)


def find_listed(name):
    """The name of a file that a manifest lists, read as Windows-1252 if only that is a file's.

    Spreadsheets save CSV so if they are not told otherwise. A name that is not UTF-8 may also be
    the very name of the file.
    """
    if is_utf8(name) or Path(name).is_file():
        return name
    try:
        other = name.encode("utf-8", "surrogateescape").decode("cp1252")
    except UnicodeError:
        return name
    return other if Path(other).is_file() else name


def is_utf8(name):
    """Whether a name is in UTF-8: whether no bytes of it had to be kept as surrogates.

    Example:
        >>> is_utf8("größe.png"), is_utf8("gr\\udcf6\\udcdfe.png")
        (True, False)
    """
    return not any("\ud800" <= character <= "\udfff" for character in name)


def count_others(items):
    """The number of further items, for a message that names the first."""
    return f" (nor {len(items) - 1:,} more)" if len(items) > 1 else ""


def check_files(paths, size, grayscale, on_progress):
    """Check image files by decoding each of them.

    Args:
        paths: List of paths.
        size, grayscale, on_progress: As for `load`.

    Returns:
        A tuple of the `ImageFiles` that can be decoded and the names of the others.
    """

    def report(done):
        if on_progress is not None:
            on_progress(done, len(paths))

    report(0)
    readable, skipped, size = find_readable(paths, size, report)
    return ImageFiles(readable, size, grayscale), as_text(skipped)


def as_text(paths):
    """The paths as text."""
    return [str(path) for path in paths]


def load_masks(paths, size):
    """Read ground-truth masks.

    Args:
        paths: N paths of images that are black where the image is normal; `None` for one that is
            black everywhere.
        size: Height and width in pixels to which they are resized by nearest neighbor.

    Returns:
        bool array `(N, H, W)`: whether the pixel is anomalous.

    Raises:
        InputError: If one can't be decoded.

    Example:
        >>> load_masks([None], (2, 3)).tolist()
        [[[False, False, False], [False, False, False]]]
    """
    height, width = size
    masks = np.zeros((len(paths), height, width), bool)

    def read(row, path):
        if path is None:
            return
        # At its own depth, because low values would be lost if 16 bits were reduced to 8.
        mask = decode(path, cv2.IMREAD_GRAYSCALE | cv2.IMREAD_ANYDEPTH)
        if mask is None:
            raise InputError(
                f"expected a mask in {path}, found none that can be decoded: get it again"
            )
        binary = (mask > 0).astype(np.uint8)
        # OpenCV's INTER_NEAREST is off by half a pixel.
        masks[row] = cv2.resize(binary, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)

    with ThreadPoolExecutor() as pool:
        list(pool.map(read, range(len(paths)), paths))
    return masks

"""Folders of images: one's own, MVTec AD's layout, and manifests of files."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np

from pyimagesearch import InputError
from pyimagesearch.data.image_files import ImageFiles, decode, find_readable, list_images
from pyimagesearch.data.sources import Source, parts_of


def is_mvtec(folder):
    """Whether a folder is laid out as a category of MVTec AD: `train/good`, `test/<defect>`."""
    return Path(folder, "train", "good").is_dir() and Path(folder, "test").is_dir()


def load_folder(folder, split="train", size=None, grayscale=False, on_progress=None):
    """One's own images, of which nobody knows which are odd. They have no splits."""
    paths, own = list_images(folder)
    files, skipped = read_files(paths, size, grayscale, on_progress)
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
    """A category of MVTec AD, or images laid out as it is.

    Bergmann et al., "MVTec AD: a comprehensive real-world dataset for unsupervised anomaly
    detection", CVPR 2019. The layout is `train/good`, `test/good`, `test/<defect>` and
    `ground_truth/<defect>/<name of the image>_mask.png`; the masks may lack `_mask`, or be BMP.

    Args:
        folder: Path of the category's folder.
        split, size, grayscale, on_progress: As for `load`.

    Returns:
        A `Source` with labels; and with masks, if there is a folder `ground_truth`.

    Raises:
        InputError: If a part has no images, if one lies in `test` outside of any defect's folder,
            or if there are masks but one is missing.
    """
    folder = Path(folder)
    where = {"train": folder / "train" / "good", "test": folder / "test"}
    listed = [list_images(where[part]) for part in parts_of(split)]
    paths = [path for images, _ in listed for path in images]
    own = [path for _, pictures in listed for path in pictures]
    files, skipped = read_files(paths, size, grayscale, on_progress)

    has_masks = (folder / "ground_truth").is_dir()
    labels, masks = [], []
    for path in files.paths:
        defect = path.relative_to(folder).parts[1]
        if defect == path.name:
            raise InputError(
                f"expected test images in {folder / 'test'}/<defect>/ or good/, found {path}: move "
                "it into one of them"
            )
        odd = defect != "good"
        labels.append(int(odd))
        masks.append(mask_of(path, folder) if odd and has_masks else None)
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


def mask_of(image, folder):
    """Path of the ground-truth mask of an odd test image in a folder in the layout of MVTec AD."""
    place = folder / "ground_truth" / image.parent.relative_to(folder / "test")
    wanted = [
        place / f"{image.stem}{end}{suffix}" for suffix in (".png", ".bmp") for end in ("_mask", "")
    ]
    for mask in wanted:
        if mask.is_file():
            return mask
    raise InputError(
        f"expected a mask for {image} at {wanted[0]}, found none: put it there, or take the "
        "folder ground_truth away to go without masks"
    )


def load_files(names, labels, size=None, grayscale=False, on_progress=None):
    """The very image files that a manifest names.

    Args:
        names: N paths.
        labels: int8 array `(N,)`: 0 normal, 1 anomaly, -1 unknown.
        size, grayscale, on_progress: As for `load`.

    Returns:
        A `Source`.

    Raises:
        InputError: If a file is missing or can't be decoded: what is known about the images
            was found out on all of them.
    """
    # All looked for first: that takes no time, and a wrong working folder is the likeliest fault.
    if missing := [name for name in names if not Path(name).is_file()]:
        raise InputError(
            f"expected the image {missing[0]}, as the manifest says, found no such file"
            f"{count_others(missing)}: run in the folder where the manifest was made, or put it back"
        )
    files, skipped = read_files([Path(name) for name in names], size, grayscale, on_progress)
    if skipped:
        raise InputError(
            f"expected an image in {skipped[0]}, as the manifest says, and it can't be decoded"
            f"{count_others(skipped)}: get it again"
        )
    return Source("files", files, None, list(names), labels)


def count_others(things):
    """What to say of the things that are not the first one."""
    return f" (nor {len(things) - 1:,} more)" if len(things) > 1 else ""


def read_files(paths, size, grayscale, on_progress):
    """Check image files, all of them once.

    Returns:
        A tuple of the `Files` that can be decoded and the names of the others.
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
        paths: N paths of images that are black where nothing is wrong; `None` in the place of
            one stands for all black.
        size: Height and width in pixels, to which they are resized by nearest neighbour.

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

    def read(place, path):
        if path is None:
            return
        # At their own depth, because 16 bits reduced to 8 would lose the low values.
        mask = decode(path, cv2.IMREAD_GRAYSCALE | cv2.IMREAD_ANYDEPTH)
        if mask is None:
            raise InputError(
                f"expected a mask in {path}, and it is missing or can't be decoded: get it again"
            )
        marked = (mask > 0).astype(np.uint8)
        # OpenCV's plain nearest neighbour is off by half a pixel.
        masks[place] = cv2.resize(marked, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)

    with ThreadPoolExecutor() as pool:
        list(pool.map(read, range(len(paths)), paths))
    return masks

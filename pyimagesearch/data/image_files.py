"""Image files: listed and checked once, then read batch by batch, from a folder of any size."""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from pyimagesearch import InputError
from pyimagesearch.runtime.quiet import quiet_stderr
from pyimagesearch.storage import ownership

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp")
# Height and width to which images of several sizes are resized by default.
DEFAULT_SIZE = (128, 128)
# Files that a thread checks in a row: with one task per small file, threads wait for each other.
FILES_PER_TASK = 16


def list_images(folder):
    """List the image files in a folder and the folders below it, without hidden ones.

    Pictures that the suite has written, such as results in the same folder, are listed apart.

    Args:
        folder: Path of the folder.

    Returns:
        A tuple of two sorted lists of paths that begin with `folder`: the images, and the pictures
        that the suite has written.

    Raises:
        InputError: If there is no such folder, if it or one below it can't be listed, or if no
            image in it has a suffix of `SUFFIXES`, in upper or lower case.
    """

    def fail(fault):
        raise InputError(
            f"expected a folder of images, cannot list {fault.filename} ({fault.strerror}): "
            "check the path and its permissions"
        )

    found, visited = [], set()
    # Links to folders are followed, each folder only once: a link may lead to one above it.
    for here, below, files in os.walk(folder, onerror=fail, followlinks=True):
        real = os.path.realpath(here)
        if real in visited:
            below.clear()
            continue
        visited.add(real)
        # Sorted, so that of several paths to a folder always the same is taken.
        below[:] = sorted(name for name in below if not name.startswith("."))
        found += [
            Path(here, name)
            for name in files
            if not name.startswith(".") and name.lower().endswith(SUFFIXES)
        ]
    images, own = [], []
    for path in sorted(found):
        is_own = path.suffix.lower() == ".png" and ownership.is_own_picture(path)
        (own if is_own else images).append(path)
    if not images:
        but = f" but {len(own):,} that this suite has written" if own else ""
        raise InputError(
            f"expected {', '.join(SUFFIXES)} files in {folder}, found none{but}: check the path"
        )
    return images, own


def decode(path, flags):
    """Decode a whole image file.

    Args:
        path: Path of a PNG, JPEG or BMP file.
        flags: OpenCV's `IMREAD_` flags.

    Returns:
        Array `(H, W)` or `(H, W, 3)`, BGR; `None` if the file is missing, broken or truncated.
    """
    try:
        # A pipe or a device of this name would be read forever.
        if not Path(path).is_file():
            return None
        # Read here, because OpenCV can't open every name on every system.
        data = Path(path).read_bytes()
        # A JPEG ends with an end mark after its last scan. OpenCV 4 decodes a truncated file
        # without one, and fills the rest with gray.
        if data.startswith(b"\xff\xd8") and data.rfind(b"\xff\xd9") < data.rfind(b"\xff\xda"):
            return None
        return cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except (OSError, cv2.error):
        return None


def read_image(path, size=None, grayscale=False):
    """Read an image file of any depth, number of channels and orientation.

    Args:
        path: Path of a PNG, JPEG or BMP file.
        size: Height and width in pixels to which it is resized; `None` for its own.
        grayscale: Whether to convert it to one channel instead of three.

    Returns:
        uint8 array `(H, W, 1 or 3)`, RGB; `None` if it can't be decoded. 16 bits are reduced to
        8, transparency is ignored, and the image is rotated as its EXIF orientation says.
    """
    image = decode(path, cv2.IMREAD_GRAYSCALE if grayscale else cv2.IMREAD_COLOR)
    if image is None:
        return None
    if not grayscale:
        image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
    if size is not None and image.shape[:2] != tuple(size):
        height, width = size
        # Area averaging when it shrinks, so that fine patterns do not alias into coarse ones.
        shrinks = image.shape[0] * image.shape[1] > height * width
        method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        image = cv2.resize(image, (width, height), interpolation=method)
    return image.reshape(*image.shape[:2], -1)


def find_readable(paths, size=None, on_file=None):
    """Find the files that can be decoded, and their common size, without keeping their pixels.

    Args:
        paths: List of paths of image files.
        size: Height and width in pixels to which they will be resized, or `None`.
        on_file: Called every few files as `on_file(done)` with the number of files read so far.

    Returns:
        A tuple of the list of paths that can be decoded; the list of the others; and the height
        and width to use: `size`, else their own if it is the same for all, else `DEFAULT_SIZE`.

    Raises:
        InputError: If none can be decoded.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = cv2.imwrite(f"{folder}/black.png", np.zeros((4, 6, 3), np.uint8))
        ...     _ = Path(folder, "empty.jpg").write_bytes(b"")
        ...     images, _ = list_images(folder)
        ...     readable, skipped, size = find_readable(images)
        ...     ImageFiles(readable, size)[:].shape, len(skipped)
        ((1, 4, 6, 3), 1)
    """

    def sizes_of(paths):
        # One channel is enough, and takes less time.
        images = [read_image(path, grayscale=True) for path in paths]
        return [None if image is None else image.shape[:2] for image in images]

    sizes = []
    threads = os.cpu_count()
    tasks = [paths[i : i + FILES_PER_TASK] for i in range(0, len(paths), FILES_PER_TASK)]
    with ThreadPoolExecutor(threads) as pool:  # decoding releases Python's lock
        for start in range(0, len(tasks), threads):
            with quiet_stderr():
                for found in pool.map(sizes_of, tasks[start : start + threads]):
                    sizes += found
            if on_file is not None:
                on_file(len(sizes))
    readable = [path for path, found in zip(paths, sizes, strict=True) if found]
    skipped = [path for path, found in zip(paths, sizes, strict=True) if not found]
    if not readable:
        raise InputError(
            f"expected images, and none of {len(paths):,} files can be decoded "
            f"({', '.join(map(str, skipped[:3]))}, ...): get them again"
        )
    if size is None:
        own = set(sizes) - {None}
        size = own.pop() if len(own) == 1 else DEFAULT_SIZE
    return readable, skipped, tuple(size)


@dataclass(frozen=True)
class ImageFiles:
    """Image files, read when they are indexed, as if from one float32 array `(N, H, W, C)`.

    Attributes:
        paths: N paths of image files that can be decoded, as `find_readable` returns them.
        size: Height and width in pixels to which they are resized.
        grayscale: Whether they have one channel instead of three.
    """

    paths: list[Path]
    size: tuple[int, int]
    grayscale: bool = False

    @property
    def shape(self):
        """`(N, H, W, C)`, as of an array."""
        return len(self.paths), *self.size, 1 if self.grayscale else 3

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, indices):
        """Read some of the images.

        Args:
            indices: A slice, an int, or an int or bool array, as for the first axis of an array.

        Returns:
            float32 array `(n, H, W, C)` in [0, 1], or `(H, W, C)` for an int.

        Raises:
            InputError: If a file is missing or broken that was found readable before.
        """
        chosen = np.arange(len(self))[indices]
        pixels = np.empty((chosen.size, *self.shape[1:]), np.float32)
        # One after the other: `batches.iterate_batches` reads several batches at once.
        for row, index in enumerate(chosen.ravel()):
            path = self.paths[index]
            image = read_image(path, self.size, self.grayscale)
            if image is None:
                raise InputError(
                    f"expected the image {path} to stay as it was when the run began, found it "
                    "missing or broken: put it back, or start again without it"
                )
            np.divide(image, np.float32(255), out=pixels[row])
        return pixels.reshape(*chosen.shape, *self.shape[1:])

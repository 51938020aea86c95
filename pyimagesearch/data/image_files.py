"""Image files: listed and checked once, then read batch by batch, from a folder of any size."""

import dataclasses
import os
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from pyimagesearch import InputError
from pyimagesearch.data import decoding, image_quality, resizing
from pyimagesearch.data.decoding import WHITE, Unreadable, read_pixels
from pyimagesearch.data.pixel_store import PixelStore
from pyimagesearch.runtime.quiet import quiet_stderr
from pyimagesearch.storage import ownership

# Height and width to which images of several sizes are resized by default.
DEFAULT_SIZE = (128, 128)
# Files that a thread checks in a row: with one task per small file, threads wait for each other.
FILES_PER_TASK = 16
# Folders and files that systems and programs leave among images, besides those with a dot.
LITTER = {
    "@eadir",
    "#recycle",
    "$recycle.bin",
    "__macosx",
    "desktop.ini",
    "lost+found",
    "system volume information",
    "thumbs.db",
}
# Large JPEGs are reduced while they are decoded, but to no less than so many times the longer side
# that is wanted, so that the area averages that follow are as exact as of all pixels.
REDUCED_AT_LEAST = 2


def list_images(folder):
    """List the files in a folder and the folders below it, without hidden ones and litter.

    Which of them are images is known by their content, when they are read: see `check_files`.
    Pictures that the suite has written, such as results in the same folder, are listed apart.

    Args:
        folder: Path of the folder.

    Returns:
        A tuple of two sorted lists of paths that begin with `folder`: the files, and the pictures
        that the suite has written.

    Raises:
        InputError: If there is no such folder, if it or one below it can't be listed, or if there
            is no file in it.
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
        below[:] = sorted(name for name in below if not is_litter(name))
        found += [Path(here, name) for name in files if not is_litter(name)]
    images, own = [], []
    for path in sorted(found):
        (own if ownership.is_own_picture(path) else images).append(path)
    if not images:
        but = f" but {len(own):,} that this suite has written" if own else ""
        raise InputError(f"expected images in {folder}, found none{but}: check the path")
    return images, own


def is_litter(name):
    """Whether a file or a folder of this name is left by a system and not put there by a person."""
    return name.startswith(".") or name.casefold() in LITTER


def check_files(paths, size=None, grayscale=None, on_progress=None, background=WHITE):
    """Check image files by decoding each of them, without keeping their pixels.

    Args:
        paths: List of paths.
        size: Height and width in pixels to which they will be resized; `None` for their own if it
            is the same for all, else `DEFAULT_SIZE`.
        grayscale: Whether they will have one channel instead of three; `None`: if all are gray.
        on_progress: Called every few files as `on_progress(done, total)`, at first with `done=0`.
        background: R, G and B in 0 to 255 of what lies behind transparent pixels.

    Returns:
        A tuple of the `ImageFiles` that can be decoded; a dict of the others, from path as text to
        the reason; and what was noted of each image, an array `(N,)` of dtype
        `image_quality.NOTES`.

    Raises:
        InputError: If none can be decoded.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Image.new("RGB", (6, 4)).save(f"{folder}/black.png")
        ...     _ = Path(folder, "cut.jpg").write_bytes(bytes.fromhex("ffd8ffe0"))
        ...     files, skipped, notes = check_files(list_images(folder)[0])
        ...     files[:].shape, list(skipped.values())
        ((1, 4, 6, 1), ['broken or truncated'])
    """

    def check(paths):
        found = []
        for path in paths:
            try:
                pixels, own_size = read_pixels(path, image_quality.PROBE, background)
                found.append(image_quality.note(pixels, own_size))
            except Unreadable as reason:
                # Nobody needs to be told of tables and reports that a run has left here.
                is_own = str(reason) == "not an image" and ownership.is_own_file(path)
                found.append(None if is_own else str(reason))
        return found

    def report(done):
        if on_progress is not None:
            on_progress(done, len(paths))

    report(0)
    found = []
    threads = os.cpu_count()
    tasks = [paths[i : i + FILES_PER_TASK] for i in range(0, len(paths), FILES_PER_TASK)]
    with ThreadPoolExecutor(threads) as pool:  # decoding releases Python's lock
        for start in range(0, len(tasks), threads):
            with quiet_stderr():
                for some in pool.map(check, tasks[start : start + threads]):
                    found += some
            report(len(found))
    pairs = list(zip(paths, found, strict=True))
    skipped = {str(path): reason for path, reason in pairs if isinstance(reason, str)}
    readable = [path for path, note in pairs if isinstance(note, tuple)]
    if not readable:
        raise InputError(
            f"expected images, and none of {len(paths):,} files can be read "
            f"({format_skipped(skipped)}): the formats are {decoding.FORMATS}"
        )
    notes = np.array([note for note in found if isinstance(note, tuple)], image_quality.NOTES)
    if size is None:
        sizes = np.unique(notes[["height", "width"]])
        size = sizes[0].item() if len(sizes) == 1 else DEFAULT_SIZE
    if grayscale is None:
        grayscale = bool(notes["is_gray"].all())
    maximum = image_quality.white_level(notes)
    files = ImageFiles(readable, tuple(size), grayscale, background=background, maximum=maximum)
    return files, skipped, notes


def format_skipped(skipped):
    """The reasons for which files were passed over, each with their number and the first of them.

    Example:
        >>> format_skipped({"a.txt": "not an image", "b.jpg": "empty", "c.md": "not an image"})
        'not an image (2, such as a.txt); empty (b.jpg)'
    """
    by_reason = defaultdict(list)
    for path, reason in skipped.items():
        by_reason[reason].append(path)
    return "; ".join(
        f"{reason} ({f'{len(paths):,}, such as ' if len(paths) > 1 else ''}{paths[0]})"
        for reason, paths in by_reason.items()
    )


def read_image(path, size=None, grayscale=False):
    """Read an image file of 8 bits a channel, or reduced to them.

    Args:
        path: Path of a file of any format in `decoding.FORMATS`.
        size: Height and width in pixels to which it is resized; `None` for its own.
        grayscale: Whether to convert it to one channel instead of three.

    Returns:
        float32 array `(H, W, 1 or 3)` in [0, 1], RGB.

    Raises:
        decoding.Unreadable: If it can't be decoded.
    """
    files = ImageFiles([path], size, grayscale)
    return files.read(path)


@dataclass(frozen=True)
class ImageFiles:
    """Image files, read when they are indexed, as if from one float32 array `(N, H, W, C)`.

    Attributes:
        paths: N paths of image files that can be decoded, as `check_files` finds them.
        size: Height and width in pixels to which they are resized.
        grayscale: Whether they have one channel instead of three.
        aspect_ratio: What becomes of another ratio of width to height than that of `size`: a key
            of `resizing.ASPECT_RATIOS`.
        background: R, G and B in 0 to 255 of what lies behind transparent pixels and beside an
            image that is padded.
        maximum: The value for white in files of more than 8 bits a channel.
        facts: What the files have in common, for JSON: `is_gray`, `is_deep` (more than 8 bits) and
            `aspect` (median ratio of width to height).
    """

    paths: list[Path]
    size: tuple[int, int] | None
    grayscale: bool = False
    aspect_ratio: str = "stretch"
    background: tuple[int, int, int] = WHITE
    maximum: int = 65535
    facts: dict = field(default_factory=dict)

    @property
    def shape(self):
        """`(N, H, W, C)`, as of an array."""
        return len(self.paths), *self.size, 1 if self.grayscale else 3

    @property
    def preprocessing(self):
        """How a file becomes an image, besides its size and channels: a dict for JSON."""
        return {
            "aspect_ratio": self.aspect_ratio,
            "background": list(self.background),
            "maximum": self.maximum,
        }

    def select(self, indices):
        """The images of these indices, still to be read."""
        return dataclasses.replace(self, paths=[self.paths[i] for i in indices])

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
            try:
                pixels[row] = self.read(path)
            except Unreadable:
                raise InputError(
                    f"expected the image {path} to stay as it was when the run began, found it "
                    "missing or broken: put it back, or start again without it"
                ) from None
        return pixels.reshape(*chosen.shape, *self.shape[1:])

    def __post_init__(self):
        # Filled by several threads at once. A copy with other settings begins with an empty one.
        object.__setattr__(self, "_kept", PixelStore())

    def read(self, path):
        """Read one file, or recall it: float32 array `(H, W, C)` in [0, 1].

        Raises:
            decoding.Unreadable: If it can't be decoded.
        """
        pixels = self._kept.get(path)
        if pixels is None:
            pixels = self._decode(path)
            self._kept.put(path, pixels)
        white = np.float32(255 if pixels.dtype == np.uint8 else self.maximum)
        return np.minimum(pixels / white, 1, dtype=np.float32)

    def _decode(self, path):
        """Decode and resize one file: array `(H, W, C)` in the units of the file."""
        at_least = self.size and REDUCED_AT_LEAST * max(self.size)
        pixels, _ = read_pixels(path, at_least, self.background)
        white = np.float32(255 if pixels.dtype == np.uint8 else self.maximum)
        pixels = resizing.with_channels(pixels, 1 if self.grayscale else 3)
        if self.size is not None:
            fit = resizing.ASPECT_RATIOS[self.aspect_ratio]
            pixels = fit(pixels, self.size, np.float32(self.background) / 255 * white)
        return pixels

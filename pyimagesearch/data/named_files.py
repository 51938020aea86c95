"""Image files that a program names: a folder, or a list of paths."""

import os
import warnings
from pathlib import Path

from pyimagesearch import InputError
from pyimagesearch.data import image_folders


def as_paths(value):
    """See what was given as paths.

    Args:
        value: Anything.

    Returns:
        A list of paths, if it is a path or a sequence of nothing but paths; else `None`.

    Example:
        >>> as_paths("photos"), as_paths([Path("b.png"), "a.png"]), as_paths([[0.5]])
        (['photos'], ['b.png', 'a.png'], None)
    """
    if isinstance(value, str | os.PathLike):
        value = [value]
    is_list = isinstance(value, list | tuple) and len(value) > 0
    if is_list and all(isinstance(path, str | os.PathLike) for path in value):
        return [os.fspath(path) for path in value]
    return None


def open_files(paths, reading, on_progress=None):
    """Open image files, unlabeled: each file that is named, and all images in each folder.

    Args:
        paths: A list of paths.
        reading: An `image_folders.Reading`.
        on_progress: As for `datasets.load`.

    Returns:
        A `sources.Source`, in the order of the paths, within a folder in that of the names.

    Raises:
        InputError: If a path that is named is missing or no image, or if a folder has none. What
            can't be read in a folder is passed over with a warning.
    """
    named = set()
    for path in map(Path, paths):
        if not path.exists():
            raise InputError(f"expected an image or a folder of images, there is no {path}")
        if str(path) in named:
            raise InputError(f"expected each path once, received {path} again: remove it")
        named.add(str(path))
    source = image_folders.load_several(paths, reading, on_progress)
    for path, reason in source.skipped.items():
        # Whoever names files expects one score for each.
        if path in named:
            raise InputError(f"expected an image in {path}: {reason}")
    if source.skipped:
        path, reason = next(iter(source.skipped.items()))
        others = len(source.skipped) - 1
        also = f", and {others:,} more" if others else ""
        warnings.warn(f"passed over {path} ({reason}){also}", stacklevel=2)
    return source

"""Folders of images: unlabeled ones, labeled sets of many layouts, and files of a manifest."""

import dataclasses
import os
from pathlib import Path

import numpy as np

from pyimagesearch import InputError
from pyimagesearch.data import image_quality, layouts
from pyimagesearch.data.decoding import WHITE
from pyimagesearch.data.image_files import check_files, format_skipped, list_images
from pyimagesearch.data.masks import Mask
from pyimagesearch.data.sources import Source, parts_of


@dataclasses.dataclass(frozen=True)
class Reading:
    """How the image files of a source are read.

    Attributes:
        size: Height and width in pixels to which they are resized; `None` for their own, if it is
            the same for all.
        grayscale: Whether they have one channel instead of three; `None`: if all are gray.
        aspect_ratio, background, maximum: As in `image_files.ImageFiles`; `maximum` is `None` where
            it is found from the files.
    """

    size: tuple[int, int] | None = None
    grayscale: bool | None = None
    aspect_ratio: str = "stretch"
    background: tuple[int, int, int] = WHITE
    maximum: int | None = None


def load_folder(folder, split="train", reading=Reading(), on_progress=None):
    """Load a folder of images: a labeled set if its folders say what is normal, else unlabeled.

    The layouts are those of MVTec AD, MVTec AD 2, MVTec 3D-AD, MVTec LOCO, VisA and BTAD, folders
    `good`, `bad` and `mask`, and whatever has such names in it: see `layouts`. Bergmann et al.,
    "MVTec AD: a comprehensive real-world dataset for unsupervised anomaly detection", CVPR 2019.

    Args:
        folder: Path of the folder.
        split: `train`, `test` or `all`. Of a labeled set without splits, `train` means its normal
            images, and the others all. Unlabeled images have no splits: all are loaded.
        reading: A `Reading`.
        on_progress: As for `datasets.load`.

    Returns:
        A `Source`. That of a labeled set has classes and labels, and masks if there are any. That
        of unlabeled images in several folders has these as classes.

    Raises:
        InputError: If there are no images in the split, if a test image is in no folder of a class,
            if there are masks but one is missing, or if the folder holds several sets.
    """
    folder = Path(folder)
    paths, own = list_images(folder)
    places = {path: layouts.place_of(path, folder) for path in paths}
    own = [str(path) for path in own if places_role(path, folder) == "image"]
    if not layouts.is_labeled(places.values()):
        return _load_unlabeled(folder, places, own, reading, on_progress)
    _refuse_several_sets(folder, places)
    chosen = _choose_split(folder, places, split)
    files, skipped, quality = read_files(list(chosen), reading, on_progress)
    labels = np.array([not chosen[path].is_normal for path in files.paths], np.int8)
    masks = _find_masks(folder, places, files)
    return Source(
        str(folder),
        files,
        classes=np.array([chosen[path].class_name for path in files.paths]),
        names=[str(path) for path in files.paths],
        labels=labels,
        masks=masks if any(masks) else None,
        skipped=skipped,
        own_pictures=own,
        quality=quality,
        remarks=[f"took {folder} for a labeled set; {layouts.describe(places)}"],
    )


def places_role(path, folder):
    """The role of a file by its folders."""
    return layouts.place_of(path, folder).role


def _load_unlabeled(folder, places, own, reading, on_progress):
    """Load a folder whose folders don't say what is normal; masks in it are left out."""
    images = [path for path, place in places.items() if place.role == "image"]
    remarks = []
    if len(images) < len(places):
        remarks.append(
            f"left out {len(places) - len(images):,} files in folders of masks or measurements"
        )
    if not images:
        raise InputError(f"expected images in {folder}, found masks alone: check the path")
    source = load_paths(images, reading, on_progress)
    classes = [
        "/".join(path.relative_to(folder).parts[:-1]) for path in map(Path, source.images.paths)
    ]
    has_classes = len(set(classes)) > 1 and "" not in classes
    return dataclasses.replace(
        source,
        name=str(folder),
        classes=np.array(classes) if has_classes else None,
        own_pictures=own,
        remarks=remarks,
    )


def _refuse_several_sets(folder, places):
    """Refuse a folder that holds several labeled sets, such as all categories of MVTec AD."""
    tops = {}
    for path in places:
        parts = path.relative_to(folder).parts
        if len(parts) > 2:
            tops.setdefault(parts[0], []).append(path)
    sets = [
        name
        for name, paths in sorted(tops.items())
        if name.casefold() not in {*layouts.SPLITS, *layouts.CONTAINERS, *layouts.MASKS}
        and layouts.is_labeled(layouts.place_of(path, folder / name) for path in paths)
    ]
    if len(sets) > 1:
        raise InputError(
            f"expected one set of images in {folder}, found {len(sets)}: name one of "
            + ", ".join(str(folder / name) for name in sets)
        )


def _choose_split(folder, places, split):
    """The images of a split, a dict from path to `Place`."""
    images = {path: place for path, place in places.items() if place.role == "image"}
    has_splits = any(place.split for place in images.values())
    if not has_splits:
        chosen = {
            path: place for path, place in images.items() if split != "train" or place.is_normal
        }
    else:
        wanted = [*parts_of(split), *(["validation"] if split == "all" else [])]
        chosen = {
            path: place for part in wanted for path, place in images.items() if place.split == part
        }
    if missing := [part for part in parts_of(split) if has_splits and not _has_split(chosen, part)]:
        raise InputError(f"expected images in {folder / missing[0]}, found none: check the path")
    for path, place in chosen.items():
        if not place.classes:
            raise InputError(
                f"expected images in {path.parent}/<class>/, such as good/, found {path}: move "
                "it into one of them"
            )
    return chosen


def _has_split(chosen, part):
    """Whether some of the chosen images are in a split."""
    return any(place.split == part for place in chosen.values())


def _find_masks(folder, places, files):
    """The masks of images: a list of `Mask`s, `None` for normal images."""
    masks = {path: place for path, place in places.items() if place.role == "mask"}
    anomalous = {path: places[path] for path in files.paths if not places[path].is_normal}
    if not masks or not anomalous:
        return [None] * len(files.paths)
    pairs = layouts.pair_masks(anomalous, masks)
    for path, found in pairs.items():
        if not found:
            raise InputError(
                f"expected a mask for {path} named {path.stem}_mask.png or {path.stem}.png, found "
                f"none in the folders of masks, such as {min(masks).parent}: put it there, or "
                "remove them to go without masks"
            )
    return [
        Mask(tuple(pairs[path]), path, files.aspect_ratio) if path in pairs else None
        for path in files.paths
    ]


def load_paths(paths, reading=Reading(), on_progress=None):
    """Load image files, unlabeled.

    Args:
        paths: List of paths.
        reading, on_progress: As for `load_folder`.

    Returns:
        A `Source`.

    Raises:
        InputError: If none can be decoded.
    """
    files, skipped, quality = read_files(paths, reading, on_progress)
    return Source(
        "files",
        files,
        None,
        [str(path) for path in files.paths],
        np.full(len(files), -1, np.int8),
        skipped=skipped,
        quality=quality,
    )


def load_several(paths, reading=Reading(), on_progress=None):
    """Load image files and folders of them, unlabeled, in the order in which they are named."""
    listed, own = [], []
    for path in map(Path, paths):
        if path.is_dir():
            images, pictures = list_images(path)
            listed += [image for image in images if places_role(image, path) == "image"]
            own += map(str, pictures)
        else:
            listed.append(path)
    source = load_paths(list(dict.fromkeys(listed)), reading, on_progress)
    return dataclasses.replace(source, own_pictures=own)


def load_files(names, labels, reading=Reading(), on_progress=None):
    """Load the image files that a manifest lists.

    Args:
        names: N paths.
        labels: int8 array `(N,)`: 0 normal, 1 anomaly, -1 unknown.
        reading, on_progress: As for `load_folder`.

    Returns:
        A `Source`.

    Raises:
        InputError: If a file is missing or can't be decoded: the model was calibrated on all.
    """
    names = [find_listed(name) for name in names]
    # Checked first: that is quick, and a wrong working folder is the most likely cause.
    if missing := [name for name in names if not os.path.isfile(name)]:  # noqa: PTH113 (quicker)
        otherwise = "" if is_utf8(missing[0]) else ", or save the manifest as CSV in UTF-8"
        raise InputError(
            f"expected the image {missing[0]}, as the manifest lists it, found no such file"
            f"{count_others(missing)}: run in the folder where the manifest was made, or put it "
            f"back{otherwise}"
        )
    source = load_paths([Path(name) for name in names], reading, on_progress)
    if source.skipped:
        raise InputError(
            "expected an image in each file that the manifest lists, found some that can't be "
            f"decoded ({format_skipped(source.skipped)}): get them again"
        )
    return dataclasses.replace(source, names=list(names), labels=labels)


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
    return name.isascii() or not any("\ud800" <= character <= "\udfff" for character in name)


def count_others(items):
    """The number of further items, for a message that names the first."""
    return f" (nor {len(items) - 1:,} more)" if len(items) > 1 else ""


def read_files(paths, reading, on_progress):
    """Check image files by decoding each of them, and judge their quality.

    Args:
        paths: List of paths.
        reading, on_progress: As for `load_folder`.

    Returns:
        A tuple of the `ImageFiles` that can be decoded; a dict of the others, from path to reason;
        and their `image_quality.Quality`.
    """
    files, skipped, notes = check_files(
        paths, reading.size, reading.grayscale, on_progress, reading.background
    )
    quality = image_quality.Quality.of(notes)
    files = dataclasses.replace(
        files,
        aspect_ratio=reading.aspect_ratio,
        maximum=files.maximum if reading.maximum is None else reading.maximum,
        facts={
            "is_gray": quality.is_gray,
            "is_deep": quality.is_deep,
            "aspect": round(quality.aspect, 4),
        },
    )
    return files, skipped, quality

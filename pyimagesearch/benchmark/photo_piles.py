"""Piles of photographs in which some are odd: the protocols of the table `photos`.

Labels and masks are kept apart from the images: methods receive the images alone.
"""

import dataclasses
import tempfile
from dataclasses import dataclass
from pathlib import Path

from pyimagesearch import InputError

# Share of a pile that is defective, and of other things or other kinds among photos of one kind.
DEFECTIVE, OTHER = 0.1, 0.05
# Images of a class of an array, and others among them.
ARRAY_IMAGES = 1000
# Heights and widths that are compared.
SIZES = (64, 128, 256)
# Crops of a picture, crops of others among them, and the most pixels of their height and width.
CROPS, OTHER_CROPS, CROP_SIZE = 200, 6, 128
# Share of a pile of which bad copies are added.
COPIED = 0.02


@dataclass(frozen=True)
class Pile:
    """Images to learn from and images to rank.

    Attributes:
        protocol: A key of `PROTOCOLS`.
        name: Of the set.
        seed: Of what is drawn at random.
        train: Paths of image files, or a pair of the path of a `.npz` file and indices into its
            training images: what is learned from.
        test: The same of what is ranked; `None`: what is learned from.
        labels: 0 for each normal image that is ranked, and 1 for each odd one.
        masks: Their masks, as `sources.Source` has them, or `None`.
        size: Height and width in pixels at which the images are read.
    """

    protocol: str
    name: str
    seed: int
    train: list | tuple
    test: list | tuple | None
    labels: list
    masks: list | None = None
    size: int = 256


def clean_sets(args, seed):
    """(a) Sets in MVTec's layout: learned from the good images, ranked on the test images."""
    from pyimagesearch.data import datasets

    for folder in args.sets:
        train, test = (datasets.load(folder, split, (256, 256)) for split in ("train", "test"))
        labels = test.labels.tolist()
        yield Pile("a", Path(folder).name, 0, train.names, test.names, labels, test.masks)


def mixed_sets(args, seed):
    """(b) The good images of the same sets and some defective ones, as one pile."""
    import numpy as np

    for pile in clean_sets(args, seed):
        odd = np.flatnonzero(pile.labels)
        n = min(len(odd), round(len(pile.train) * DEFECTIVE / (1 - DEFECTIVE)))
        drawn = np.random.default_rng(seed).choice(odd, n, replace=False)
        yield dataclasses.replace(
            pile,
            protocol="b",
            seed=seed,
            train=[*pile.train, *(pile.test[i] for i in drawn)],
            test=None,
            labels=[0] * len(pile.train) + [1] * n,
            masks=None,
        )


def other_things(args, seed):
    """(c) Photos of one kind with a few of other things."""
    for name, usual, _ in kinds(args):
        yield contaminated("c things", name, seed, usual, files(args.others[0]))


def other_kinds(args, seed):
    """(c) Photos of one kind with a few of the other kinds."""
    for name, usual, others in kinds(args):
        yield contaminated("c kinds", name, seed, usual, others)


def kinds(args):
    """Each kind of photos: its name, its paths, and the paths of all other kinds."""
    folders = sorted(path for path in Path(args.kinds[0]).iterdir() if path.is_dir())
    found = {folder.name: files(folder) for folder in folders}
    for name, usual in found.items():
        yield name, usual, [path for other in found if other != name for path in found[other]]


def files(folder):
    """The paths of the images of a folder, as text."""
    from pyimagesearch.data import datasets

    return datasets.load(folder, "all", (256, 256)).names


def contaminated(protocol, name, seed, usual, others):
    """A pile of all usual photos and a few others."""
    import numpy as np

    n = min(len(others), round(OTHER * len(usual)))
    drawn = np.random.default_rng(seed).choice(len(others), n, replace=False)
    labels = [0] * len(usual) + [1] * n
    return Pile(protocol, name, seed, [*usual, *(others[i] for i in drawn)], None, labels)


def array_classes(args, seed):
    """(d) Each class of an array in the layout of Keras's CIFAR-10 with a tenth of others."""
    import numpy as np

    from pyimagesearch.data import datasets

    for path in args.arrays:
        classes = np.ravel(datasets.load(path).classes)
        for normal in np.unique(classes).tolist():
            rng = np.random.default_rng([seed, normal])
            usual = rng.permutation(np.flatnonzero(classes == normal))[:ARRAY_IMAGES]
            n = round(len(usual) * DEFECTIVE / (1 - DEFECTIVE))
            odd = rng.choice(np.flatnonzero(classes != normal), n, replace=False)
            indices = [*usual.tolist(), *odd.tolist()]
            labels = [0] * len(usual) + [1] * n
            yield Pile("d", f"{Path(path).stem} {normal}", seed, (path, indices), None, labels)


def crops(args, seed):
    """(f) Crops of each picture with a few crops of the other pictures, which are spread evenly."""
    import numpy as np

    pictures = {path: read_picture(path) for path in args.pictures}
    for path in pictures:
        others = [other for other in pictures if other != path]
        rng = np.random.default_rng(seed)
        sources = [path] * CROPS + [others[i % len(others)] for i in range(OTHER_CROPS)]
        with tempfile.TemporaryDirectory() as folder:
            names = save_images(folder, (random_crop(pictures[source], rng) for source in sources))
            labels = [0] * CROPS + [1] * OTHER_CROPS
            yield Pile("f", Path(path).stem, seed, names, None, labels)


def read_picture(path):
    """An image file as uint8 RGB, or an error that says which file can't be read."""
    from pyimagesearch.data import decoding, resizing

    try:
        pixels, _ = decoding.read_pixels(path)
    except decoding.Unreadable as reason:
        raise InputError(f"expected a picture, received {path} ({reason}): name another") from None
    return resizing.with_channels(pixels, 3)


def random_crop(picture, rng):
    """A square crop of at most half the picture's height and width."""
    size = min(CROP_SIZE, min(picture.shape[:2]) // 2)
    y, x = (rng.integers(0, length - size + 1) for length in picture.shape[:2])
    return picture[y : y + size, x : x + size]


def bad_copies(args, seed):
    """(g) Photos of one kind with bad copies of a few of them, which are added to the pile."""
    import numpy as np

    for name, usual, _ in kinds(args):
        n = max(len(BAD_COPIES), round(COPIED * len(usual)))
        drawn = np.random.default_rng(seed).choice(len(usual), min(n, len(usual)), replace=False)
        ways = list(BAD_COPIES.values())
        copies = (ways[i % len(ways)](read_picture(usual[k])) for i, k in enumerate(drawn))
        with tempfile.TemporaryDirectory() as folder:
            paths = [*usual, *save_images(folder, copies)]
            yield Pile("g", name, seed, paths, None, [0] * len(usual) + [1] * len(drawn))


def blurred(image):
    """A copy out of focus, by a sixteenth of its height and width."""
    import cv2

    return cv2.GaussianBlur(image, (0, 0), max(image.shape[:2]) / 16)


# What can be wrong with a copy: name -> a function of a uint8 image.
BAD_COPIES = {
    "gray": lambda image: image * 0 + 128,
    "white": lambda image: image * 0 + 255,
    "black": lambda image: image * 0,
    "blurred": blurred,
    "overexposed": lambda image: (image.astype(int) * 3 + 60).clip(0, 255).astype(image.dtype),
}


def save_images(folder, images):
    """Save uint8 RGB images losslessly: their paths, as text."""
    import cv2

    paths = []
    for i, image in enumerate(images):
        paths.append(str(Path(folder, f"{i:03}.png")))
        cv2.imwrite(paths[-1], cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    return paths


def sizes(args, seed):
    """(e) The first of the sets in several sizes."""
    for pile in clean_sets(dataclasses.replace(args, sets=args.sets[:1]), seed):
        for size in SIZES:
            yield dataclasses.replace(pile, protocol="e", name=f"{pile.name} {size}", size=size)


@dataclass(frozen=True)
class Sources:
    """Where the photographs are: lists of paths, which may be empty."""

    sets: list
    kinds: list
    others: list
    arrays: list
    pictures: list


# Name -> the function that makes its piles, and the flags that it needs.
PROTOCOLS = {
    "a": (clean_sets, ("sets",)),
    "b": (mixed_sets, ("sets",)),
    "c things": (other_things, ("kinds", "others")),
    "c kinds": (other_kinds, ("kinds",)),
    "d": (array_classes, ("arrays",)),
    "e": (sizes, ("sets",)),
    "f": (crops, ("pictures",)),
    "g": (bad_copies, ("kinds",)),
}


def make_piles(names, sources, seeds):
    """All piles of some protocols for which there are images.

    Raises:
        InputError: If there are images for none of them, or there is one picture alone.
    """
    possible = [
        name for name in names if all(getattr(sources, flag) for flag in PROTOCOLS[name][1])
    ]
    if not possible:
        raise InputError(
            "expected images for one of the protocols, received none: name some with --sets, "
            "--kinds, --others, --arrays or --pictures"
        )
    if "f" in possible and len(sources.pictures) < 2:
        raise InputError(
            "expected two --pictures or more, received 1: crops of one are mixed with crops of the "
            "others, so name another"
        )
    for name in possible:
        for seed in seeds[:1] if name in ("a", "e") else seeds:
            yield from PROTOCOLS[name][0](sources, seed)


def open_images(part, size):
    """The images of a part of a pile, as for `batches.iterate_batches`.

    Args:
        part: As `Pile.train`; lists of paths, or a pair of a path and indices.
        size: Height and width in pixels at which files are read.
    """
    from pyimagesearch.data import datasets
    from pyimagesearch.data.image_files import ImageFiles

    if len(part) == 2 and not isinstance(part[1], str):
        path, indices = part
        return datasets.load(path).images[indices]
    return ImageFiles([Path(path) for path in part], (size, size))

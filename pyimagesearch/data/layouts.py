"""Layouts: what the folders of a labeled set of images mean, by the names that people give them."""

from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

# Names of folders, without regard to upper and lower case. A folder of any other name is a class.
SPLITS = {
    "train": "train",
    "training": "train",
    "test": "test",
    "testing": "test",
    "test_public": "test",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    # MVTec AD 2 keeps the labels of these to itself.
    "test_private": "private",
    "test_private_mixed": "private",
}
NORMAL = {"good", "ok", "normal"}
# Names that say no more than that something is wrong, not what.
ANOMALOUS = {"abnormal", "anomalous", "anomaly", "bad", "defect", "defective", "ko", "ng", "nok"}
MASKS = {"ground_truth", "groundtruth", "gt", "mask", "masks"}
# Folders of measurements that are no photographs, and folders that only hold others.
MEASUREMENTS = {"depth", "xyz"}
CONTAINERS = {"data", "image", "images", "rgb"}


@dataclass(frozen=True)
class Place:
    """What the folders of a file mean.

    Attributes:
        split: `train`, `test`, `validation` or `private`; `None` where no folder names one.
        role: `image`, `mask` or `measurement`.
        classes: Names of the folders that name the class, such as `("NG", "crack")`.
    """

    split: str | None
    role: str
    classes: tuple[str, ...]

    @property
    def is_normal(self):
        """Whether one of the folders has a name of `NORMAL`."""
        return any(name.casefold() in NORMAL for name in self.classes)

    @property
    def class_name(self):
        """The class: the name of its innermost folder, or several with slashes between."""
        return "/".join(self.classes)

    @property
    def key(self):
        """What the class of an image and that of its mask have in common."""
        names = tuple(name.casefold() for name in self.classes)
        return tuple(name for name in names if name not in ANOMALOUS) or ("anomaly",)


def place_of(path, folder):
    """What the folders between a folder and a file in it mean.

    Example:
        >>> place_of("set/test/crack/gt/007.png", "set")
        Place(split='test', role='mask', classes=('crack',))
    """
    split, role, classes = None, "image", []
    for name in Path(path).relative_to(folder).parts[:-1]:
        known = name.casefold()
        if split is None and known in SPLITS:
            split = SPLITS[known]
        elif known in MASKS:
            role = "mask"
        elif known in MEASUREMENTS:
            role = "measurement"
        elif known not in CONTAINERS:
            classes.append(name)
    return Place(split, role, tuple(classes))


def is_labeled(places):
    """Whether the folders of a set say what is normal, by a name of `NORMAL`."""
    return any(place.is_normal and place.role == "image" for place in places)


def pair_masks(images, masks):
    """Find the masks of the anomalous images of a set.

    A mask belongs to the image of its class that has its name, with or without `_mask`, whatever
    the suffix; or to the image that the folder of the mask is named after, which then may have
    several (MVTec LOCO). A mask without a class belongs to the only image of its name.

    Args:
        images: A dict from path to `Place` of the anomalous images.
        masks: A dict from path to `Place` of the masks.

    Returns:
        A dict from the path of an image to the list of paths of its masks.

    Example:
        >>> image, mask = Path("set/test/bent/1.jpg"), Path("set/ground_truth/bent/1_mask.png")
        >>> pair_masks({image: place_of(image, "set")}, {mask: place_of(mask, "set")})[image]
        [PosixPath('set/ground_truth/bent/1_mask.png')]
    """
    by_name, by_folder, by_stem = defaultdict(list), defaultdict(list), defaultdict(list)
    for path, place in masks.items():
        by_name[place.key, mask_stem(path)].append(path)
        by_stem[mask_stem(path)].append(path)
        if place.classes:
            inner = tuple(name.casefold() for name in place.classes[:-1])
            inner = tuple(name for name in inner if name not in ANOMALOUS) or ("anomaly",)
            by_folder[inner, place.classes[-1].casefold()].append(path)
    stems = Counter(path.stem.casefold() for path in images)
    found = {}
    for path, place in images.items():
        stem = path.stem.casefold()
        candidates = by_name[place.key, stem] or by_folder[place.key, stem]
        if not candidates and stems[stem] == 1:
            candidates = [mask for mask in by_stem[stem] if not masks[mask].classes]
        found[path] = sorted(candidates)
    return found


def mask_stem(path):
    """The name of a mask without suffix and without `_mask`, in lower case."""
    return path.stem.casefold().removesuffix("_mask")


def describe(places):
    """Say what the folders of a set were taken for, in one line.

    Args:
        places: A dict from path to `Place` of all files of the set.

    Example:
        >>> places = {name: place_of(name, "set") for name in ("set/ok/1.png", "set/NG/2.png")}
        >>> describe(places)
        'NG: 1 anomalous; ok: 1 normal'
    """
    counts = Counter()
    for place in places.values():
        where = "/".join(filter(None, [place.split, place.class_name]))
        if place.role == "image":
            what = "normal" if place.is_normal else "anomalous"
            if place.split == "private":
                what = "left out, because their labels are unknown"
            elif place.split == "validation":
                what += ", used with --split all alone"
        else:
            what = {"mask": "masks", "measurement": "left out, because they are no photos"}[
                place.role
            ]
        counts[where or "the folder itself", what] += 1
    return "; ".join(f"{where}: {n:,} {what}" for (where, what), n in sorted(counts.items()))

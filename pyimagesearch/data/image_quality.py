"""Image quality: what is blank, dark, bright, blurred, of odd size, or there twice in a pile."""

import dataclasses
from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from pyimagesearch.data import resizing

# Pixels a side on which an image is judged.
PROBE = 256
# What is noted of each image: its height and width, whether it is gray, its highest value if it
# has more than 8 bits (else 0), three quantiles and the standard deviation of its brightness in
# 0 to 255, how sharp it is, and a thumbnail, by which duplicates are found.
THUMBNAIL = 16
NOTES = np.dtype(
    [
        ("height", np.int32),
        ("width", np.int32),
        ("is_gray", bool),
        ("highest", np.uint16),
        ("low", np.float32),
        ("high", np.float32),
        ("contrast", np.float32),
        ("sharpness", np.float32),
        ("thumbnail", np.uint8, (THUMBNAIL, THUMBNAIL)),
    ]
)
# The rules of `find_issues`: standard deviation of a blank image, brightness of dark and of bright
# ones, ratios to the median sharpness, size and aspect ratio of the others.
BLANK, DARK, BRIGHT = 2, 48, 216
BLURRED, ODD_SIZE, ODD_ASPECT = 0.25, 4, 1.5
# What more than this share of the images has is usual, and no issue.
MAX_SHARE = 0.1
# Highest mean difference of the thumbnails of duplicates, in gray levels and in their standard
# deviations, and how many of the nearest images each is compared with.
DUPLICATE, DUPLICATE_CONTRAST, NEAREST = 0.75, 0.1, 8


def note(pixels, size):
    """Note what `find_issues` and `find_duplicates` need to know of an image.

    Args:
        pixels: uint8 or uint16 array `(H, W)` or `(H, W, 3)`, as `decoding.read_pixels` returns it.
        size: Height and width in pixels before any reduction.

    Returns:
        A tuple of the fields of `NOTES`.

    Example:
        >>> noted = np.array(note(np.full((8, 4, 3), 200, np.uint8), (8, 4)), NOTES)
        >>> noted["is_gray"].item(), noted["highest"].item(), noted["contrast"].item()
        (True, 0, 0.0)
    """
    is_gray = pixels.ndim == 2 or bool(
        (pixels[..., 0] == pixels[..., 1]).all() and (pixels[..., 0] == pixels[..., 2]).all()
    )
    highest = 0 if pixels.dtype == np.uint8 else pixels.max()
    gray = resizing.with_channels(pixels, 1)
    # Sharpness is compared at the same size: a large photo has no more detail than a small one.
    small = resizing.resize(gray, _fit(gray.shape[:2]))[..., 0].astype(np.float32)
    if highest:
        small *= 255 / next_power_of_2(highest)
    low, high = np.quantile(small, [0.05, 0.95])
    edges = 4 * small[1:-1, 1:-1]
    edges = edges - small[:-2, 1:-1] - small[2:, 1:-1] - small[1:-1, :-2] - small[1:-1, 2:]
    thumbnail = Image.fromarray(np.rint(small).clip(0, 255).astype(np.uint8))
    thumbnail = thumbnail.resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX)
    sharpness = edges.std() if edges.size else 0
    return *size, is_gray, highest, low, high, small.std(), sharpness, np.asarray(thumbnail)


def _fit(size):
    """The size of an image whose longer side is reduced to `PROBE`."""
    scale = min(1, PROBE / max(size))
    return tuple(max(1, round(side * scale)) for side in size)


def next_power_of_2(highest):
    """The white level of pixels whose highest value this is: the next power of 2, less 1.

    Example:
        >>> [next_power_of_2(highest) for highest in (255, 912, 4095, 4096)]
        [255, 1023, 4095, 8191]
    """
    return 2 ** int(highest).bit_length() - 1


def white_level(notes):
    """The value for white in all files of more than 8 bits: cameras of 10 or 12 bits fill 16.

    Args:
        notes: Array `(N,)` of dtype `NOTES`.

    Returns:
        The next power of 2 above the highest value, less 1; at least 255. 65535 if all have 8 bits.
    """
    highest = notes["highest"].max(initial=0)
    return max(255, next_power_of_2(highest)) if highest else 65535


def find_issues(notes):
    """Find the images that a person would want to know of, whatever their score.

    The rules follow what users of CleanVision look for. The brightness of an image is measured on
    a reduced copy of at most 256 pixels a side.

    - `blank`: the standard deviation of the brightness is less than 2 of 255.
    - `dark`: 95 of 100 pixels are darker than 48. `bright`: 95 of 100 are brighter than 216.
    - `blurred`: the standard deviation of its Laplacian, divided by that of its brightness, is less
      than a quarter of the median of all images.
    - `odd-size`: the number of pixels is more than 4 times the median of all images, or less than a
      quarter of it. `odd-aspect`: the ratio of width to height is 1.5 times the median, or less
      than the median by this factor.

    What more than a tenth of the images has is usual in this pile, and no issue; but a blank image
    always is one.

    Args:
        notes: Array `(N,)` of dtype `NOTES`.

    Returns:
        A list of N texts: the issues of each image, with spaces between; empty for most.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> images = [rng.integers(0, 255, (8, 8), np.uint8) for _ in range(9)]
        >>> images.append(np.zeros((8, 8), np.uint8))
        >>> notes = np.array([note(image, image.shape) for image in images], NOTES)
        >>> find_issues(notes)[-2:]
        ['', 'blank dark']
    """
    pixels = notes["height"].astype(np.float64) * notes["width"]
    aspects = notes["width"] / notes["height"]
    detail = notes["sharpness"] / np.maximum(notes["contrast"], 1e-3)
    is_blank = notes["contrast"] < BLANK
    issues = {
        "blank": is_blank,
        "dark": notes["high"] < DARK,
        "bright": notes["low"] > BRIGHT,
        "blurred": ~is_blank & (detail < BLURRED * np.median(detail)),
        "odd-size": _is_far(pixels, ODD_SIZE),
        "odd-aspect": _is_far(aspects, ODD_ASPECT),
    }
    texts = [[] for _ in notes]
    for issue, found in issues.items():
        if issue != "blank" and found.mean() > MAX_SHARE:
            continue
        for i in np.flatnonzero(found):
            texts[i].append(issue)
    return [" ".join(found) for found in texts]


def _is_far(values, factor):
    """Which values are more than a factor away from the median."""
    ratio = values / np.median(values)
    return (ratio > factor) | (ratio < 1 / factor)


def find_duplicates(notes):
    """Find images that are there several times: the same, or nearly the same after all.

    Two images count as duplicates if their thumbnails of 16x16 gray pixels differ by at most 0.75
    gray levels on average, and by at most a tenth of their standard deviation, as after saving or
    resizing one of them again; groups are what is connected by such pairs. Blank images have too little in common to be duplicates.

    Args:
        notes: Array `(N,)` of dtype `NOTES`.

    Returns:
        int array `(N,)`: the index of the first image of its group, for most images their own.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> first, other = rng.integers(0, 255, (2, 16, 16), np.uint8)
        >>> images = [first, other, np.minimum(first, 254)]
        >>> find_duplicates(np.array([note(image, (16, 16)) for image in images], NOTES)).tolist()
        [0, 1, 0]
    """
    n = len(notes)
    candidates = np.flatnonzero(notes["contrast"] >= BLANK)
    first = np.arange(n)
    if len(candidates) < 2:
        return first
    thumbnails = notes["thumbnail"][candidates].reshape(len(candidates), -1)
    # Of equal thumbnails one is compared: thousands of equal ones would all be each other's nearest.
    distinct, group = np.unique(thumbnails, axis=0, return_inverse=True)
    group = group.reshape(-1)
    # Means over 4x4 pixels are never further apart than the pixels, and quickly searched.
    side = THUMBNAIL // 4
    blocks = distinct.reshape(-1, side, 4, side, 4).mean((2, 4), dtype=np.float32)
    blocks = blocks.reshape(len(distinct), -1)
    tree = cKDTree(blocks)
    near = min(NEAREST, len(distinct))
    _, neighbors = tree.query(blocks, near, p=1, distance_upper_bound=DUPLICATE * side**2 + 1e-3)
    rows, columns = np.nonzero(neighbors.reshape(len(distinct), -1) < len(distinct))
    others = neighbors.reshape(len(distinct), -1)[rows, columns]
    differences = np.abs(distinct[rows].astype(np.int16) - distinct[others]).mean(1)
    is_pair = differences <= np.minimum(DUPLICATE, DUPLICATE_CONTRAST * distinct[rows].std(1))
    pairs = coo_array(
        (np.ones(is_pair.sum()), (rows[is_pair], others[is_pair])), (len(distinct),) * 2
    )
    _, component = connected_components(pairs, directed=False)
    component = component[group]
    _, leaders, members = np.unique(component, return_index=True, return_inverse=True)
    first[candidates] = candidates[leaders[members.reshape(-1)]]
    return first


@dataclass(frozen=True)
class Quality:
    """What is known of the quality of a set of images.

    Attributes:
        issues: N texts, as `find_issues` returns them.
        first: int array `(N,)`, as `find_duplicates` returns it.
        is_gray: Whether all images are gray.
        is_deep: Whether an image has more than 8 bits a channel.
        aspect: Median ratio of width to height.
    """

    issues: list[str]
    first: np.ndarray
    is_gray: bool
    is_deep: bool
    aspect: float

    @classmethod
    def of(cls, notes):
        """The quality of images of which this was noted: an array `(N,)` of dtype `NOTES`."""
        return cls(
            find_issues(notes),
            find_duplicates(notes),
            bool(notes["is_gray"].all()),
            bool(notes["highest"].any()),
            float(np.median(notes["width"] / notes["height"])),
        )

    def select(self, indices):
        """The quality of some of the images, of each duplicate in relation to those alone."""
        chosen = self.first[indices]
        _, first, members = np.unique(chosen, return_index=True, return_inverse=True)
        issues = [self.issues[i] for i in indices]
        return dataclasses.replace(self, issues=issues, first=first[members.reshape(-1)])

    def columns(self, names):
        """The columns of a table: of each image its issues, and of which other it is a duplicate.

        Args:
            names: N names.

        Returns:
            A dict from the name of a column to N texts, empty for most images.
        """
        duplicates = [
            names[first] if first != i else "" for i, first in enumerate(self.first.tolist())
        ]
        return {"quality": self.issues, "duplicate_of": duplicates}

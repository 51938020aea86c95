"""Ground-truth masks of anomalies, in the forms in which people draw them."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pyimagesearch import InputError
from pyimagesearch.data import decoding, resizing
from pyimagesearch.data.decoding import Unreadable

# From this share of white on, a pixel of a mask with soft edges is part of the anomaly.
HALF = 0.5


@dataclass(frozen=True)
class Mask:
    """The masks of one image.

    Attributes:
        paths: Paths of its masks; what one of them marks is anomalous.
        image: Path of the image, on which they lie.
        aspect_ratio: As in `image_files.ImageFiles`: what was done with the image.
    """

    paths: tuple[Path, ...]
    image: Path
    aspect_ratio: str = "stretch"


def load_masks(masks, size):
    """Read ground-truth masks.

    Args:
        masks: N `Mask`s; `None` for a normal image.
        size: Height and width in pixels to which they are resized by nearest neighbor.

    Returns:
        bool array `(N, H, W)`: whether the pixel is anomalous.

    Raises:
        InputError: If one can't be decoded, or has another shape than its image.

    Example:
        >>> load_masks([None], (2, 3)).tolist()
        [[[False, False, False], [False, False, False]]]
    """
    loaded = np.zeros((len(masks), *size), bool)

    def read(row, mask):
        if mask is None:
            return
        fit = resizing.ASPECT_RATIOS[mask.aspect_ratio]
        for path in mask.paths:
            marked = read_mask(path, mask.image)[..., np.newaxis]
            loaded[row] |= fit(marked, size, np.zeros(3), resizing.nearest)[..., 0]

    with ThreadPoolExecutor() as pool:
        list(pool.map(read, range(len(masks)), masks))
    return loaded


def find_inverted(loaded, masks):
    """The masks that mark more than half of their image: white where it is normal, perhaps.

    Args:
        loaded: bool array `(N, H, W)`, as `load_masks` returns it.
        masks: The N `Mask`s; `None` for a normal image.

    Returns:
        A list of `Mask`s.

    Example:
        >>> find_inverted(np.array([[[True, True, False]]]), ["a mask"])
        ['a mask']
    """
    shares = loaded.mean((1, 2))
    return [
        mask for mask, share in zip(masks, shares, strict=True) if mask is not None and share > 0.5
    ]


def read_mask(path, image):
    """Read a mask and lay it on its image.

    Args:
        path: Path of the mask.
        image: Path of the image.

    Returns:
        bool array of the height and width of the image as it is shown.

    Raises:
        InputError: If one of them can't be decoded, or if they differ in shape.
    """
    try:
        marked, orientation = _decode(path)
    except Unreadable as reason:
        raise InputError(
            f"expected a mask in {path}, found none that can be decoded ({reason}): get it again"
        ) from None
    try:
        stored, turned = decoding.read_shape(image)
    except Unreadable as reason:
        raise InputError(f"expected the image {image} of the mask {path}, found {reason}") from None
    shown = decoding.turned_size(stored, turned)
    marked = decoding.turn(marked, orientation)
    # Tools that draw masks often don't turn the photo first.
    if marked.shape != shown and marked.shape == stored:
        marked = decoding.turn(marked, turned)
    if marked.shape != shown:
        raise InputError(
            f"expected a mask of {shown[1]}x{shown[0]} pixels (width x height) as its image "
            f"{image} has, found {marked.shape[1]}x{marked.shape[0]} in {path}: draw it on the image"
        )
    return marked


def _decode(path):
    """Decode a mask: a bool array, and the orientation in which it is stored."""
    with decoding.open_image(path) as (_, image):
        image.load()
        return is_marked(image), decoding.orientation_of(image)


def is_marked(image):
    """Which pixels a mask marks.

    - Of a mask with an alpha channel that differs from pixel to pixel, what is not transparent.
    - Of one with a palette of colors, what has not the first color of the palette.
    - Of all others, what has a value in any channel. If the values reach at least half of white,
      the edges are soft, and only half of white and more counts; if they don't, they are numbers
      of classes, and each but 0 counts.

    Args:
        image: A decoded `PIL.Image.Image` of any mode.

    Returns:
        bool array `(H, W)`.

    Example:
        >>> from PIL import Image
        >>> soft = Image.fromarray(np.uint8([[0, 100, 128, 255]]))
        >>> is_marked(soft).tolist(), is_marked(Image.fromarray(np.uint8([[0, 1, 2]]))).tolist()
        ([[False, False, True, True]], [[False, True, True]])
    """
    if image.mode in ("RGBA", "LA", "PA"):
        alpha = np.asarray(image.convert("RGBA").getchannel("A"))
        if alpha.min() != alpha.max():
            return alpha >= HALF * 255
        image = image.convert("RGB")
    if image.mode == "P":
        colors = np.reshape(image.getpalette("RGB"), (-1, 3))
        if not (colors == colors[:, :1]).all():
            return np.asarray(image) != 0
        image = image.convert("L")
    values = np.asarray(image)
    if values.dtype == bool:
        return values
    values = values.max(2) if values.ndim == 3 else values
    white = 255 if values.dtype == np.uint8 else 65535
    highest = values.max()
    return values >= HALF * white if highest >= HALF * white else values > 0

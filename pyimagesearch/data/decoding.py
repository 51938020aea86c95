"""Decoding: the pixels of an image file of any common format, or the reason why there are none."""

import os
import re
import stat
import warnings
from contextlib import contextmanager

import cv2
import numpy as np
import simplejpeg
from PIL import Image

# What files of these formats begin with. `.` stands for any byte.
SIGNATURES = {
    "PNG": rb"\x89PNG\r\n\x1a\n",
    "JPEG": rb"\xff\xd8\xff",
    "BMP": rb"BM.{4}\0\0\0\0",
    "GIF": rb"GIF8[79]a",
    "WEBP": rb"RIFF.{4}WEBP",
    "TIFF": rb"II[*+]\0|MM\0[*+]",
    "AVIF": rb".{4}ftypavi[fs]",
    "HEIC": rb".{4}ftyp(?:hei[cxms]|hev[cx]|mif1|msf1)",
    "JPEG 2000": rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51",
    "JPEG XL": rb"\xff\x0a|\0\0\0\x0cJXL ",
    "Photoshop": rb"8BPS",
    "OpenEXR": rb"\x76\x2f\x31\x01",
}
SIGNATURES = {name: re.compile(begin, re.DOTALL) for name, begin in SIGNATURES.items()}
# Those that Pillow decodes by itself, and by which names.
PILLOW_FORMATS = {
    "PNG": ["PNG"],
    "JPEG": ["JPEG", "MPO"],
    "BMP": ["BMP"],
    "GIF": ["GIF"],
    "WEBP": ["WEBP"],
    "TIFF": ["TIFF"],
    "AVIF": ["AVIF"],
}
FORMATS = ", ".join([*PILLOW_FORMATS, "HEIC where pillow-heif is installed"])
# Bytes and pixels of a file, at most. The largest cameras have 150 megapixels.
MAX_BYTES, MAX_PIXELS = 2**30, 2 * 89_478_485
# Bytes of memory that decoding may take, at most, or for each byte of the file: a few hundred bytes
# can hold an image of one color that takes gigabytes.
MAX_DECODED_BYTES, MAX_GROWTH = 448 * 2**20, 24
# Rows of pixels that are converted at a time.
ROWS = 256
# What decoders of JPEG remark on files that are whole: the last bytes before the end mark are
# padding, and some cameras describe the scans of their pictures in a way of their own.
HARMLESS = re.compile(r"\b\d{1,2} extraneous bytes before marker 0xd9|Invalid SOS parameters")
# EXIF's orientation tag, and how an array is turned that is stored so.
ORIENTATION = 0x0112
TURNS = {
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.swapaxes(0, 1),
    6: lambda pixels: pixels.swapaxes(0, 1)[:, ::-1],
    7: lambda pixels: pixels[::-1, ::-1].swapaxes(0, 1),
    8: lambda pixels: pixels.swapaxes(0, 1)[::-1],
}
SIDEWAYS = (5, 6, 7, 8)
REDUCTIONS = (8, 4, 2)
WHITE = (255, 255, 255)

# Pillow remarks on broken metadata, without the name of the file.
warnings.filterwarnings("ignore", module=r"PIL\.")
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


class Unreadable(Exception):
    """A file has no pixels to read; its text is the reason, such as «not an image»."""


@contextmanager
def open_regular(path):
    """Open a regular file of at most `MAX_BYTES` bytes.

    Raises:
        Unreadable: If it is anything else: a pipe or a device would be read forever.
    """

    def open_unblocked(path, flags):
        # Opening a pipe would wait for its other end.
        return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))

    try:
        file = open(path, "rb", opener=open_unblocked)  # noqa: SIM115 (closed below)
    except IsADirectoryError:
        raise Unreadable("not a regular file") from None
    except OSError:
        raise Unreadable("missing or without permission") from None
    with file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise Unreadable("not a regular file")
        if status.st_size > MAX_BYTES:
            raise Unreadable("too large")
        if status.st_size == 0:
            raise Unreadable("empty")
        yield file


def find_format(head):
    """The format of a file by its first bytes: a key of `SIGNATURES`; `None` for none of them.

    Example:
        >>> find_format(b"GIF89a..."), find_format(b"once upon a time")
        ('GIF', None)
    """
    return next((name for name, begin in SIGNATURES.items() if begin.match(head)), None)


@contextmanager
def open_image(path):
    """Open an image file with Pillow, without decoding its pixels.

    Args:
        path: Path of a file of any format in `FORMATS`, whatever its suffix.

    Yields:
        A pair of the open file and the `PIL.Image.Image`.

    Raises:
        Unreadable: If it is no such file, if its header is broken, or if it has more than
            `MAX_PIXELS` pixels, or too many for its size; or if decoding it inside the block fails.
    """
    with open_regular(path) as file:
        name = find_format(file.read(32))
        if name is None:
            raise Unreadable("not an image")
        try:
            image = Image.open(file, formats=_pillow_formats(name))
            n_pixels = image.width * image.height
            most = max(MAX_DECODED_BYTES, MAX_GROWTH * os.fstat(file.fileno()).st_size)
            if n_pixels > MAX_PIXELS:
                raise Unreadable("too large")
            if n_pixels * _bytes_per_pixel(image, name) > most:
                raise Unreadable("of too many pixels for so small a file")
            if name == "PNG":
                image.verify()  # the checksums of all chunks; then it must be opened again
                image = Image.open(file, formats=["PNG"])
            yield file, image
        except Unreadable:
            raise
        except (Image.DecompressionBombError, Image.DecompressionBombWarning):
            raise Unreadable("too large") from None
        except Exception as fault:
            # A broken file can raise any exception: there are too many kinds to list.
            raise Unreadable("broken or truncated") from fault


def _pillow_formats(name):
    """Pillow's names of a format of `SIGNATURES`.

    Raises:
        Unreadable: If Pillow can't decode it here.
    """
    if name == "HEIC":
        try:
            import pillow_heif
        except ImportError:
            raise Unreadable("HEIC, which needs pip install pillow-heif") from None
        pillow_heif.register_heif_opener()
        return ["HEIF"]
    formats = [known for known in PILLOW_FORMATS.get(name, []) if _is_known(known)]
    if not formats:
        raise Unreadable(f"{name}, which is not supported")
    return formats


def _bytes_per_pixel(image, name):
    """About how many bytes of memory decoding and reducing an image takes for each of its pixels."""
    if name == "JPEG":
        # Reduced while it is decoded, unless all of it has to be known before.
        return 8 if image.info.get("progressive") else 1
    if _is_deep(image) and not image.mode.startswith("I"):
        return 24
    # Photos in WEBP, AVIF and HEIC take twice as much, and are let pass all the same: a good photo of
    # 40 million pixels is a small file there.
    return 4 if image.mode in ("1", "L") else 10


def _is_deep(image):
    """Whether an image that is not loaded yet has 16 bits a channel."""
    return "16" in str(image.tile[0].args if image.tile else "")


def _is_known(name):
    """Whether this build of Pillow has a format."""
    Image.init()
    return name in Image.OPEN


def read_pixels(path, at_least=None, background=WHITE):
    """Read the pixels of an image file: of several frames the first, of several pages the first.

    The formats are known by their content, whatever the suffix says. The image is turned as its
    EXIF orientation says, and what is transparent is laid on a background.

    Args:
        path: Path of a file of any format in `FORMATS`.
        at_least: Pixels; a larger JPEG is reduced while it is decoded, by 2, 4 or 8, so that its
            shorter side still has so many. `None` decodes all pixels.
        background: R, G and B in 0 to 255 of what lies behind transparent pixels.

    Returns:
        A pair: the pixels, a uint8 array `(H, W)` or `(H, W, 3)`, RGB, uint16 if the file has more
        than 8 bits; and the height and width before any reduction.

    Raises:
        Unreadable: If there are no such pixels.

    Example:
        >>> import io, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Image.new("RGBA", (3, 2), (255, 0, 0, 0)).save(f"{folder}/clear.png")
        ...     pixels, size = read_pixels(f"{folder}/clear.png", background=(7, 8, 9))
        >>> pixels[0, 0].tolist(), size
        ([7, 8, 9], (2, 3))
    """
    with open_image(path) as (file, image):
        size = image.height, image.width
        if image.format in ("JPEG", "MPO"):
            orientation = orientation_of(image)
            pixels = _decode_jpeg(file, image, at_least)
        else:
            is_deep = _is_deep(image)
            image.load()
            size = image.height, image.width  # loading turns some formats, and says so
            orientation = orientation_of(image)
            if is_deep and not image.mode.startswith("I"):
                file.seek(0)
                data = file.read()
                image.close()  # its 8 bits a channel are not used
                pixels = _decode_deep_colors(data, background)
            else:
                pixels = _to_array(image, background)
    # In one piece of memory, since a view of turned pixels is slow to read.
    return np.ascontiguousarray(turn(pixels, orientation)), turned_size(size, orientation)


def read_shape(path):
    """Height and width of an image file as it is stored, and its EXIF orientation, from its header.

    Raises:
        Unreadable: As `open_image`.
    """
    with open_image(path) as (_, image):
        return (image.height, image.width), orientation_of(image)


def turn(pixels, orientation):
    """Turn an array `(H, W, ...)` that is stored in an EXIF orientation, 1 to 8."""
    return TURNS.get(orientation, np.asarray)(pixels)


def turned_size(size, orientation):
    """Height and width of an image of this size after it was turned."""
    return size[::-1] if orientation in SIDEWAYS else size


def orientation_of(image):
    """The EXIF orientation of an open image; 1 if it has none, or broken EXIF data."""
    try:
        return image.getexif().get(ORIENTATION, 1)
    except Exception:  # of broken metadata, with whole pixels
        return 1


def _decode_jpeg(file, image, at_least):
    """Decode a JPEG strictly, and reduced as Pillow's `Image.draft` does.

    Pillow shows a JPEG that is cut or damaged inside as if it were whole, with gray in place of
    what is lost. The decoder used here is the same, and says what it misses.
    """
    file.seek(0)
    data = file.read()
    size = image.height, image.width
    ratio = min(size) // at_least if at_least else 1
    reduction = next((factor for factor in REDUCTIONS if factor <= ratio), 1)
    height, width = (-(-side // reduction) for side in size)
    colors = {"L": "GRAY", "RGB": "RGB"}.get(image.mode, "CMYK")

    def decode(strict):
        return simplejpeg.decode_jpeg(
            data, colors, min_height=height, min_width=width, strict=strict
        )

    try:
        pixels = decode(strict=True)
    except ValueError as fault:
        if not HARMLESS.search(str(fault)):
            raise
        pixels = decode(strict=False)
    if colors == "CMYK":
        return np.asarray(image.convert("RGB"))  # Pillow knows whose CMYK is inverted
    return pixels[..., 0] if colors == "GRAY" else pixels


def _decode_deep_colors(data, background):
    """Decode a PNG or TIFF of 16 bits a channel and several channels, which Pillow reduces to 8."""
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.dtype != np.uint16:
        raise Unreadable("of a depth that is not supported")
    if pixels.shape[2] == 4:
        behind = np.float32(background[::-1]) * 257
        for top in range(0, len(pixels), ROWS):
            strip = pixels[top : top + ROWS]
            opacity = strip[..., 3:] / np.float32(65535)
            strip[..., :3] = np.rint(strip[..., :3] * opacity + behind * (1 - opacity))
    return pixels[..., 2::-1]


def _to_array(image, background):
    """The pixels of a decoded image, as `read_pixels` returns them."""
    if image.mode == "F":
        raise Unreadable("of floating-point pixels, which are not supported")
    size, dtype = (image.height, image.width), np.uint8
    if image.mode.startswith("I"):
        dtype = np.uint16
    elif image.has_transparency_data or image.mode not in ("1", "L"):
        size = (*size, 3)
    pixels = np.empty(size, dtype)
    # A strip at a time: whole copies in other modes would take several times the memory.
    for top in range(0, image.height, ROWS):
        strip = image.crop((0, top, image.width, min(top + ROWS, image.height)))
        pixels[top : top + ROWS] = _convert(strip, background)
    return pixels


def _convert(image, background):
    """The pixels of an image or a strip of it: gray or RGB, of 8 or 16 bits."""
    if image.mode.startswith("I"):
        pixels = np.asarray(image)
        if pixels.min() < 0 or pixels.max() > 65535:
            raise Unreadable("of a depth that is not supported")
        return pixels
    if image.has_transparency_data:
        image = image.convert("RGBA")
        behind = Image.new("RGBA", image.size, tuple(background))
        return np.asarray(Image.alpha_composite(behind, image).convert("RGB"))
    return np.asarray(image.convert("L" if image.mode in ("1", "L") else "RGB"))

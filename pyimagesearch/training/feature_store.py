"""A store of feature maps, in memory or in a temporary file, from which training reads them again."""

import math
import tempfile

import numpy as np

from pyimagesearch import InputError
from pyimagesearch.storage.files import temporary_root

# Bytes of features that stay in memory, at most; more of them go into a temporary file.
MAX_BYTES_IN_MEMORY = 2**29


class FeatureStore:
    """Feature maps of n images in half precision, written once and read in batches.

    Args:
        n: The number of images.
        shapes: The shapes of the maps of one image.

    Raises:
        InputError: By `write`, if a temporary file can't hold them.

    Example:
        >>> with FeatureStore(3, [(2, 2, 1), (1, 1, 4)]) as store:
        ...     store.write(0, np.ones((3, 8)))
        ...     [maps.shape for maps in store.read(1, 2)]
        [(2, 2, 2, 1), (2, 1, 1, 4)]
    """

    def __init__(self, n, shapes):
        self.shapes = [tuple(shape) for shape in shapes]
        self._sizes = [math.prod(shape) for shape in self.shapes]
        self._row = sum(self._sizes)
        in_memory = n * self._row * 2 <= MAX_BYTES_IN_MEMORY
        self._rows = np.empty((n, self._row), np.float16) if in_memory else None
        self._file = None
        if not in_memory:
            self._file = tempfile.TemporaryFile(dir=temporary_root())  # noqa: SIM115, `__exit__` closes

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self._file is not None:
            self._file.close()

    def write(self, start, rows):
        """Write the maps of images from `start` on, one row of all numbers for each: `(B, K)`."""
        # Half precision ends at 65,504, which no trained network comes near.
        rows = np.clip(rows, -65504, 65504).astype(np.float16)
        if self._file is None:
            self._rows[start : start + len(rows)] = rows
            return
        try:
            self._file.seek(start * self._row * 2)
            self._file.write(rows.tobytes())
        except OSError as fault:
            raise InputError(
                f"expected room for {len(rows) * self._row * 2:,} bytes of features in the folder "
                f"for temporary files ({temporary_root()}), found: {fault.strerror}; free "
                "some, or name another folder by the variable TMPDIR"
            ) from None

    def read(self, start, n):
        """Read the maps of `n` images, or as many as there are: float32 arrays `(B, *shape)`."""
        if self._file is None:
            rows = self._rows[start : start + n]
        else:
            self._file.seek(start * self._row * 2)
            rows = np.frombuffer(self._file.read(n * self._row * 2), np.float16)
            rows = rows.reshape(-1, self._row)
        parts = np.split(rows, np.cumsum(self._sizes)[:-1], axis=1)
        return [
            part.reshape(len(part), *shape).astype(np.float32)
            for part, shape in zip(parts, self.shapes, strict=True)
        ]

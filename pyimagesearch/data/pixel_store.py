"""Pixels of files that were decoded, kept for the next pass: in memory, and then on disk."""

import shutil
import tempfile
import threading
import weakref

import numpy as np

from pyimagesearch import InputError
from pyimagesearch.storage.files import temporary_root

# Bytes of pixels that stay in memory, at most; more of them go into a temporary file.
MAX_BYTES_IN_MEMORY = 2**28


class PixelStore:
    """Arrays by name, put once and read any number of times, by several threads.

    The temporary file takes at most half of what is free on its disk. What finds no room is not
    kept: it has to be decoded again.

    Example:
        >>> store = PixelStore()
        >>> store.put("a.png", np.full((2, 3, 1), 7, np.uint8))
        >>> store.get("a.png").shape
        (2, 3, 1)
        >>> store.get("b.png") is None
        True
    """

    def __init__(self):
        self._in_memory, self._on_disk = {}, {}
        self._memory_left = MAX_BYTES_IN_MEMORY
        self._file, self._end, self._disk_left = None, 0, None
        self._lock = threading.Lock()

    def get(self, name):
        """The array that was put under a name; `None` if none was kept."""
        pixels = self._in_memory.get(name)
        if pixels is not None or name not in self._on_disk:
            return pixels
        start, dtype, shape = self._on_disk[name]
        pixels = np.empty(shape, dtype)
        with self._lock:
            self._file.seek(start)
            self._file.readinto(pixels)
        return pixels

    def put(self, name, pixels):
        """Keep an array, which must not be changed afterwards, where there is room for it."""
        with self._lock:
            if name in self._in_memory or name in self._on_disk:
                return
            if pixels.nbytes <= self._memory_left:
                self._memory_left -= pixels.nbytes
                self._in_memory[name] = pixels
                return
            try:
                self._write(name, pixels)
            except (OSError, InputError):
                self._disk_left = 0  # a full disk, or no folder for temporary files

    def _write(self, name, pixels):
        """Append an array to the temporary file."""
        if self._disk_left is None:
            root = temporary_root()
            self._disk_left = shutil.disk_usage(root).free // 2
            self._file = tempfile.TemporaryFile(dir=root)  # noqa: SIM115, closed with the store
            weakref.finalize(self, self._file.close)
        if pixels.nbytes > self._disk_left:
            return
        self._file.seek(self._end)
        self._file.write(np.ascontiguousarray(pixels))
        self._file.flush()  # or a full disk is found only later
        self._on_disk[name] = self._end, pixels.dtype, pixels.shape
        self._end += pixels.nbytes
        self._disk_left -= pixels.nbytes

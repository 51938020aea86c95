"""Memory and time of a single call, measured against what is promised of files of unknown origin."""

import contextlib
import time
from pathlib import Path

# What one file may take: 20 MB of anything are read or refused in less.
MAX_BYTES, MAX_SECONDS = 2**29, 10.0
# Address space beyond the present one that a measured process may take. A fault then ends in a
# `MemoryError`, which counts, and not in a machine without memory.
HEADROOM = 2**33


def limit_memory():
    """Bound the memory of this process, which has to be one of its own, by `HEADROOM` more."""
    import resource

    with contextlib.suppress(OSError, ValueError):
        limit = _status_bytes("VmSize") + HEADROOM
        resource.setrlimit(resource.RLIMIT_AS, (limit, resource.getrlimit(resource.RLIMIT_AS)[1]))


class Usage:
    """What a block takes of memory and time.

    Attributes:
        n_bytes: By how much its peak of memory exceeds what was in use before.
        seconds: How long it took.

    Example:
        >>> with Usage() as usage:
        ...     _ = time.sleep(0.01)
        >>> usage.over_memory(None), usage.over_time
        (False, False)
    """

    def __enter__(self):
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")  # the peak is that of now
        self._before, self._started = _status_bytes("VmRSS"), time.monotonic()
        return self

    def __exit__(self, kind, fault, traceback):
        self.seconds = time.monotonic() - self._started
        self.n_bytes = _status_bytes("VmHWM") - self._before

    def over_memory(self, fault):
        """Whether the block took more memory than promised, or asked for it in vain.

        Args:
            fault: What it raised; `None` if nothing.
        """
        while fault is not None:
            if isinstance(fault, MemoryError):
                return True
            fault = fault.__cause__ or fault.__context__
        return self.n_bytes > MAX_BYTES

    @property
    def over_time(self):
        """Whether the block took longer than promised."""
        return self.seconds > MAX_SECONDS


def _status_bytes(field):
    """A size of this process as Linux tells it; 0 on other systems."""
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/self/status").read_text().splitlines()
        return 1024 * int(next(line for line in lines if line.startswith(f"{field}:")).split()[1])
    return 0

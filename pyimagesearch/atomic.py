"""How does a file get its name? Whole or not at all, and with those that belong to it."""

import functools
import os
import secrets
import shutil
import tempfile
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None

from pyimagesearch import InputError


def check_targets(*paths):
    """Make sure that files can be written at these paths, before any long work is done for them.

    Args:
        *paths: Paths of files to come. Their folders are made if they are missing.

    Raises:
        InputError: If one is a folder, two are the same, or its folder can't be written to.
    """
    seen = set()
    for path in map(Path, paths):
        if path.is_dir():
            raise InputError(
                f"expected a file to write at {path}, found a folder: name a file in it"
            )
        if path.resolve() in seen:
            raise InputError(f"two results would both be written to {path}: name two files")
        seen.add(path.resolve())
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=path.parent):
                pass
        except OSError as fault:
            raise InputError(
                f"cannot write to the folder {path.parent}: {fault.strerror}"
            ) from None


# What is to be done at the end of `together`, if one is under way: functions, in their order.
_put_off = None


@contextmanager
def atomic_path(path, suffix=".tmp"):
    """Write a file as a whole: at the end it has replaced the old one, or nothing has happened.

    Args:
        path: The path that the file is to have. Inside `together` it gets it only at the end of
            that.
        suffix: What the name of the temporary file is to end with.

    Yields:
        The path of an empty temporary file beside it, to be written. If the process is killed
        meanwhile, the next to write to the same path takes this one away.

    Raises:
        InputError: If the disk is full or the folder can't be written to.
    """
    path = Path(path)
    with ExitStack() as stack:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = stack.enter_context(temporary_beside(path, suffix))
            yield temporary
            # The bytes have to be on the disk before the name points to them.
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            if _put_off is None:
                temporary.replace(path)
            else:
                _put_off.append((path, lambda: temporary.replace(path)))
                _put_off.stack.push(stack.pop_all())
        except OSError as fault:
            raise InputError(f"cannot write {path}: {fault.strerror or fault}") from None


# How a temporary file or folder is made: it is not to be there yet.
new_file = functools.partial(Path.touch, exist_ok=False)
new_folder = functools.partial(Path.mkdir, mode=0o700)


@contextmanager
def temporary_beside(path, suffix, make=new_file):
    """A new file or folder beside a path, locked as long as it is in use, removed if still there.

    The lock goes when the process goes, however it goes: by that the next one knows what killed
    processes have left over, and takes it away.
    """
    # Cut short, because no name may be longer than some 255 bytes.
    prefix = f".{path.name[:40]}."
    for other in path.parent.iterdir():
        if other.name.startswith(prefix) and other.name.endswith(suffix):
            with _held(other, wait=False) as left_over:
                if left_over:
                    _discard(other)
    with ExitStack() as stack:
        while True:
            # Not the process's number: two in two containers may have the same, and one folder.
            temporary = path.with_name(f"{prefix}{secrets.token_hex(8)}{suffix}")
            make(temporary)
            stack.callback(_discard, temporary)
            stack.enter_context(_held(temporary, wait=True))
            # Another may have taken it for left over before it was locked.
            if temporary.exists():
                break
        yield temporary


def _discard(path):
    """Remove a temporary file or folder if it is there and can be removed."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink(missing_ok=True)


@contextmanager
def _held(path, wait):
    """Keep a file or folder locked, against others who do the same; yields whether it is."""
    with ExitStack() as stack:
        locked = False
        # No locks on this system or on this disk: nobody else has any either.
        with suppress(AttributeError, OSError):
            number = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
            stack.callback(os.close, number)
            fcntl.flock(number, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
            locked = True
        yield locked


@contextmanager
def together():
    """Let all files that are written or removed inside be so at once, at the end, or not at all.

    What belongs together then never comes from two runs: a run that fails half-way, for a full
    disk or anything else, leaves all its earlier results as they were, and two runs that end at
    the same time take turns.

    Raises:
        InputError: If a file can't get its name.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with together():
        ...         save_bytes(Path(folder, "one"), b"1")
        ...         os.path.exists(Path(folder, "one"))
        ...     os.path.exists(Path(folder, "one"))
        False
        True
    """
    global _put_off
    with ExitStack() as stack:
        _put_off = _PutOff(stack)
        try:
            yield
            steps = list(_put_off)
        finally:
            _put_off = None
        # In one order, so that no two runs wait for each other.
        for folder in sorted({path.parent.resolve() for path, _ in steps}):
            stack.enter_context(_held(folder, wait=True))
        for path, step in steps:
            try:
                step()
            except OSError as fault:
                raise InputError(f"cannot write {path}: {fault.strerror or fault}") from None


class _PutOff(list):
    """Pairs of a path and what is to be done there, and a stack that clears up in any case."""

    def __init__(self, stack):
        self.stack = stack


def move(made, path):
    """Put a finished file or folder into its place, whole or not at all.

    Args:
        made: Path of the finished thing, in a temporary folder beside the place.
        path: The place. What is there is replaced; a folder can only be replaced by a folder, and
            a file by a file.

    Raises:
        InputError: If the disk is full or the folder can't be written to.
    """
    made, path = Path(made), Path(path)
    earlier = made.with_name("earlier")
    try:
        for file in made.rglob("*") if made.is_dir() else [made]:
            if file.is_file():
                with file.open("rb+") as written:
                    os.fsync(written.fileno())
        # A folder takes no other's place while there is anything in that.
        if made.is_dir() and path.is_dir():
            path.replace(earlier)
        try:
            made.replace(path)
        except BaseException:
            if earlier.exists():
                earlier.replace(path)
            raise
    except OSError as fault:
        raise InputError(f"cannot write {path}: {fault.strerror or fault}") from None


def save_bytes(path, data):
    """Write bytes to a file, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def remove(*paths):
    """Take files away that earlier runs may have left."""
    for path in map(Path, paths):
        if _put_off is None:
            path.unlink(missing_ok=True)
        else:
            _put_off.append((path, functools.partial(path.unlink, missing_ok=True)))

"""Atomic writing of files: each is written whole, together with the others, or not at all."""

import functools
import hashlib
import os
import platform
import re
import secrets
import shutil
import stat
import tempfile
import time
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from pyimagesearch import InputError
from pyimagesearch.storage import ownership

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None

# The file whose lock a run holds while it gives its results their names.
LOCK = ".pyimagesearch.lock"
# Seconds to wait for a lock. A run holds one for as long as it takes to rename a few files.
MAX_WAIT = 30


def check_writable(*paths, inputs=()):
    """Make sure that files may be written at these paths, before any long work is done for them.

    Args:
        *paths: Paths of files to be written. Their folders are made if they are missing.
        inputs: Paths that the run reads, whether they exist or not.

    Raises:
        InputError: If one is a folder, two are the same, one is an input, a file of unknown origin
            exists at one, or a folder can't be written to. No file is then changed.
    """
    found = set()
    for path in map(Path, paths):
        if path.is_dir():
            raise InputError(
                f"expected a file to write at {path}, found a folder: name a file in it"
            )
        try:
            # Unlike `Path.resolve`, it accepts links that form a loop.
            real = os.path.realpath(path)
        except FileNotFoundError:
            raise InputError(
                f"the folder in which this runs is gone, and {path} lies in it: change to another"
            ) from None
        if real in found:
            raise InputError(f"two results would both be written to {path}: name two files")
        found.add(real)
    if read := [path for path in paths if any(_is_same(path, other) for other in inputs)]:
        raise InputError(
            f"expected results at other paths than the files that are read, received "
            f"{_listed(read)} as both: name another place for the results"
        )
    check_own_files(*paths)
    for folder in dict.fromkeys(Path(path).parent for path in paths):
        check_folder(folder)


def check_own_files(*paths):
    """Make sure that only files of the suite itself exist at these paths, if any do.

    Raises:
        InputError: If anything else does: a file of unknown origin, a dangling link, or a result
            of an earlier version of the suite, which did not mark its files.
    """
    if found := [
        path for path in paths if os.path.lexists(path) and not ownership.is_own_file(path)
    ]:
        raise InputError(
            "expected to write results over nothing but earlier results of this suite, found "
            f"{_listed(found)}, which it has not written (or an earlier version has): move "
            f"{'them' if len(found) > 1 else 'it'} away, or name another place for the results"
        )


def check_folder(folder):
    """Make sure that files can be written to a folder, which is made if it is missing.

    Raises:
        InputError: If it can't be made or written to.
    """
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as fault:
        raise InputError(f"cannot write to the folder {folder}: {fault.strerror}") from None


def _is_same(path, other):
    """Whether two paths lead to the same file, also through links; neither has to exist."""
    with suppress(OSError):
        if Path(path).samefile(other):
            return True
    return os.path.realpath(path) == os.path.realpath(other)


def _listed(paths):
    """The first three paths and the number of the others, for a message."""
    more = f" and {len(paths) - 3} more" if len(paths) > 3 else ""
    return ", ".join(map(str, paths[:3])) + more


class Transaction:
    """Files that get their names, or are removed, together at the end of the block, or not at all.

    Results that belong together then never come from two runs: a run that fails halfway, for a
    full disk or anything else, leaves all earlier results as they were, and two runs that end at
    the same time take turns.

    Raises:
        InputError: At the end of the block, if the disk is full, a folder can't be written to, or
            a file of unknown origin has appeared at one of the paths. Nothing is then changed.

    Example:
        >>> import tempfile
        >>> folder = tempfile.TemporaryDirectory()
        >>> path = Path(folder.name, "one")
        >>> with Transaction() as transaction:
        ...     _ = transaction.stage(path).write_bytes(b"1")
        ...     path.exists()
        False
        >>> path.exists()
        True
        >>> folder.cleanup()
    """

    def __init__(self):
        self._temporaries = ExitStack()
        # Pairs of a path and its temporary file, which is `None` where the path is to be removed.
        self._steps = []

    def stage(self, path, suffix=".tmp"):
        """Make a temporary file that takes the place of a path at the end of the block.

        Args:
            path: The path that the file is to have. Its folder is made if it is missing.
            suffix: What the name of the temporary file is to end with.

        Returns:
            The path of an empty temporary file beside it, to be written before the next is staged.
            If the process is killed, the next run that stages the same path removes this file.

        Raises:
            InputError: If the folder can't be written to.
        """
        path = Path(path)
        with _write_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = self._temporaries.enter_context(temporary_beside(path, suffix))
        self._steps.append((path, temporary))
        return temporary

    def remove(self, *paths):
        """Remove files, where they exist, at the end of the block."""
        self._steps += [(Path(path), None) for path in paths]

    def __enter__(self):
        return self

    def __exit__(self, kind, fault, traceback):
        with self._temporaries:
            if kind is None:
                self._commit()
        staged = [path for path, temporary in self._steps if temporary is not None]
        if staged and isinstance(fault, OSError):
            raise _write_error(staged[-1], fault) from None

    def _commit(self):
        """Give all files their names."""
        for path, temporary in self._steps:
            if temporary is not None:
                # The bytes have to be on the disk before the name points to them.
                with _write_errors(path), temporary.open("rb+") as file:
                    os.fsync(file.fileno())
        with ExitStack() as locks:
            # In one order, so that no two runs wait for each other.
            for folder in sorted({path.parent.resolve() for path, _ in self._steps}):
                if folder.is_dir():
                    locks.enter_context(locked_folder(folder))
            # Again: much may have happened since `check_writable`.
            check_own_files(*dict.fromkeys(path for path, _ in self._steps))
            for path, temporary in self._steps:
                with _write_errors(path):
                    if temporary is None:
                        path.unlink(missing_ok=True)
                    else:
                        temporary.replace(path)


@contextmanager
def _write_errors(path):
    """Turn an `OSError` into an `InputError` that names the file to be written."""
    try:
        yield
    except OSError as fault:
        raise _write_error(path, fault) from None


def _write_error(path, fault):
    return InputError(f"cannot write {path}: {fault.strerror or fault}")


# Makers of a temporary file or folder, which must not exist yet.
new_file = functools.partial(Path.touch, exist_ok=False)
new_folder = functools.partial(Path.mkdir, mode=0o700)


@contextmanager
def temporary_beside(path, suffix, make=new_file):
    """Make a new file or folder beside a path, locked while in use, and removed if it still exists.

    The lock ends with the process, however that ends. A file without a lock was left by a killed
    process, and is removed by the next one.
    """
    # Shortened, because no name may be longer than some 255 bytes.
    prefix = f".{path.name[:40]}."
    # Exactly the names that are made below: similar ones are other programs' files.
    made_here = re.compile(f"{re.escape(prefix)}([0-9a-f]{{16}}){re.escape(suffix)}")
    for other in path.parent.iterdir():
        found = made_here.fullmatch(other.name)
        if found and found[1] == _token(found[1][:8]):
            with _locked(other, 0) as is_locked:
                if is_locked:
                    _discard(other)
    with ExitStack() as stack:
        while True:
            # Not the process ID, which two containers that share the folder can both have.
            temporary = path.with_name(f"{prefix}{_token(secrets.token_hex(4))}{suffix}")
            make(temporary)
            stack.callback(_discard, temporary)
            stack.enter_context(_locked(temporary, MAX_WAIT))
            # Another process may have removed it before it was locked.
            if temporary.exists():
                break
        yield temporary


def _discard(path):
    """Remove a temporary file or folder, if it exists and can be removed."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink(missing_ok=True)


def _token(digits):
    """Eight random digits and eight that follow from them, which no other program would choose."""
    return digits + hashlib.sha256(ownership.MARK + digits.encode()).hexdigest()[:8]


@contextmanager
def locked_folder(folder):
    """Hold the lock of a folder for the block: a file in it, which is removed at the end.

    On systems and disks without locks, the block runs without.

    Args:
        folder: Path of the folder.

    Raises:
        InputError: If another run still holds it after `MAX_WAIT` seconds, or if there is a file of
            that name which the suite has not written.
    """
    path, end = Path(folder, LOCK), time.monotonic() + MAX_WAIT
    while True:
        _make_lock(path)
        with _locked(path, max(0, end - time.monotonic())) as held:
            # Whoever held it before has removed it: then this is the lock of no file.
            if held is None or (held is not False and _is_at(held, path)):
                try:
                    yield
                finally:
                    _discard(path)
                return
        if time.monotonic() >= end:
            raise InputError(
                f"expected {folder} to be free within {MAX_WAIT} seconds, but another run writes "
                f"its results there ({_holder(path)}): wait for it, or end it"
            )


def _make_lock(path):
    """Make a lock that says who holds it, unless there is one."""
    with (
        _write_errors(path),
        suppress(FileExistsError),
        path.open("xb", buffering=0) as file,
        suppress(OSError),  # on a full disk it stays empty
    ):
        file.write(f"{ownership.MARK.decode()} {os.getpid()} {platform.node()}\n".encode())
    is_ours = _is_empty(path) or ownership.is_own_file(path)
    if not is_ours and os.path.lexists(path):
        raise InputError(
            f"expected {path} to be the lock of this suite, found another file: move it away, "
            "or name another place for the results"
        )


def _is_empty(path):
    """Whether a file is a regular one without content, as a run leaves that is killed at once."""
    with suppress(OSError):
        status = path.lstat()
        return stat.S_ISREG(status.st_mode) and status.st_size == 0
    return False


def _is_at(number, path):
    """Whether the open file of a number is the one at a path."""
    with suppress(OSError):
        return os.path.samestat(os.fstat(number), path.lstat())
    return False


def _holder(path):
    """The process that has written a lock, for a message."""
    with suppress(OSError, ValueError, IndexError):
        _, process, host = path.read_text()[:200].split(maxsplit=2)
        return f"process {int(process)} on {host.strip()}"
    return f"see who holds {path}"


@contextmanager
def _locked(path, seconds):
    """Hold the lock of a file or folder for the block, waiting no longer than some seconds for it.

    Yields:
        The number of the open file, `False` if another process holds the lock, or `None` without
        locks on this system or disk, where other processes have none either.
    """
    end = time.monotonic() + seconds
    with ExitStack() as stack:
        held = None
        with suppress(AttributeError, OSError):
            try:
                number = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
                stack.callback(os.close, number)
            except FileNotFoundError:
                held = False  # its holder has just removed it
            while held is None:
                try:
                    fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    held = number
                except BlockingIOError:
                    if time.monotonic() >= end:
                        held = False
                    else:
                        time.sleep(0.01)
        yield held


def move(made, path):
    """Move a finished file or folder to its path, whole or not at all.

    Args:
        made: Path of the finished file or folder, in a temporary folder beside `path`.
        path: Its path. A file there is replaced by a file, and a folder by a folder.

    Raises:
        InputError: If the disk is full or the folder can't be written to.
    """
    made, path = Path(made), Path(path)
    earlier = made.with_name("earlier")
    with _write_errors(path):
        for file in made.rglob("*") if made.is_dir() else [made]:
            if file.is_file():
                with file.open("rb+") as written:
                    os.fsync(written.fileno())
        # A folder can't replace another that is not empty.
        if made.is_dir() and path.is_dir():
            path.replace(earlier)
        try:
            made.replace(path)
        except BaseException:
            if earlier.exists():
                earlier.replace(path)
            raise

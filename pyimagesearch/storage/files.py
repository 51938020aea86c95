"""Opening of files of unknown origin, and the formats CSV, JSON and .npz."""

import codecs
import csv
import io
import json
import math
import os
import posixpath
import re
import reprlib
import shutil
import stat
import tempfile
import unicodedata
import zipfile
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from pyimagesearch import InputError
from pyimagesearch.storage import ownership

# Bytes of a JSON file that are read, at most; the settings of a model take a few thousand.
MAX_JSON_BYTES = 2**24
# Bytes of a table that is being written; more are in a file beside it meanwhile.
MAX_TABLE_IN_MEMORY = 2**22
# Between the columns of a table: spreadsheets take what their country or the format asks for.
SEPARATORS = ",;\t"
# A whole number, which a spreadsheet may pad with zeros behind the point of any country.
WHOLE_NUMBER = re.compile(r"\s*([+-]?\d{1,18})(?:[.,]0*)?\s*")


def temporary_root():
    """The folder for temporary files.

    Raises:
        InputError: If there is none that can be written to.
    """
    try:
        return Path(tempfile.gettempdir())
    except OSError as fault:
        raise InputError(f"{fault.strerror}: name one by the variable TMPDIR") from None


@contextmanager
def open_for_reading(path):
    """Open a regular file for reading in binary; links are followed.

    Raises:
        InputError: If it is anything else, such as a folder, a pipe, a device or a socket, or if it
            can't be read, also later in the block.
    """
    try:
        _check_regular(Path(path).stat(), path)
        with open(path, "rb", opener=_open_at_once) as file:
            # Again: another file may have taken its place.
            _check_regular(os.fstat(file.fileno()), path)
            yield file
    except FileNotFoundError:
        raise InputError(f"there is no file {path}: check the path") from None
    except OSError as fault:
        raise InputError(f"cannot read {path}: {fault.strerror or fault}") from None


def _open_at_once(path, flags):
    """Open a file without waiting, as a pipe would for a process that writes to it."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0))


def _check_regular(status, path):
    """Raise an `InputError` if the status of a file is not that of a regular one."""
    if stat.S_ISDIR(status.st_mode):
        raise InputError(f"expected a file, found the folder {path}: name a file")
    if not stat.S_ISREG(status.st_mode):
        raise InputError(
            f"expected a regular file, found a pipe, device or socket at {path}: name a file"
        )


def load_arrays(file, choose, max_bytes):
    """Read arrays of a `.npz` file.

    A few bytes on disk can unpack to a thousand times as many, and claim a million times as many.

    Args:
        file: Binary file, open for reading.
        choose: Function from the list of the names in the file to those of the arrays to read.
        max_bytes: Bytes to which these may unpack, all together.

    Returns:
        A dict of arrays by name, of numbers or text.

    Raises:
        ValueError: If the file has two members of one name, also if they differ in case, in the way
            the path is written or in the suffix; if a member is encrypted or packed as NumPy does
            not; or if the arrays would unpack to more bytes.

    Example:
        >>> import io
        >>> file = io.BytesIO()
        >>> np.savez(file, a=np.arange(3), b=np.zeros(1000))
        >>> load_arrays(file, lambda names: ["a"], 1000)
        {'a': array([0, 1, 2])}
    """
    with zipfile.ZipFile(file) as archive:
        members, found = {}, set()
        for member in archive.infolist():
            key = _comparable(member.filename)
            if key in found:
                raise ValueError(f"two members are named {key[:100]}")
            found.add(key)
            if member.filename.endswith(".npy"):
                members[member.filename.removesuffix(".npy")] = member
        chosen = {name: members[name] for name in choose(list(members))}
        total = sum(member.file_size for member in chosen.values())
        if total > max_bytes:
            raise ValueError(f"it would unpack to {total:,} bytes; at most {max_bytes:,} may be")
        return {name: _load_member(archive, member) for name, member in chosen.items()}


def _comparable(name):
    """The name of a member without what some systems or readers take for the same name."""
    name = unicodedata.normalize("NFKC", name).casefold().replace("\\", "/")
    return re.sub(r"(\.npy)+$", "", posixpath.normpath(f"/{name}").lstrip("/"))


def _load_member(archive, member):
    """Read one array of an open archive."""
    # Others unpack to any size at once.
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"{member.filename} is packed by another method than NumPy's")
    with archive.open(member) as opened:
        read_npy_header(opened, member.file_size)
        opened.seek(0)
        return np.lib.format.read_array(opened, allow_pickle=False)


def read_npy_header(file, size):
    """Read the header of an array as `np.save` writes it, and compare it with the size.

    Args:
        file: Binary file, open for reading, at the start of the array.
        size: The number of bytes of the array and its header.

    Returns:
        A tuple of the shape, whether the order is Fortran's, and the dtype.

    Raises:
        ValueError: If it is no array of numbers or text, or of another size.
    """
    # Headers of later versions can have any length. Only structured arrays need them.
    if np.lib.format.read_magic(file) != (1, 0):
        raise ValueError("it is no array of numbers as np.save writes it")
    shape, is_fortran, dtype = np.lib.format.read_array_header_1_0(file)
    if dtype.kind not in "buifSU" or dtype.itemsize == 0:
        raise ValueError(f"expected numbers, found {str(dtype)[:100]}")
    claimed, found = math.prod(shape) * dtype.itemsize, size - file.tell()
    if min(shape, default=0) < 0:
        raise ValueError("its header claims a negative size")
    if claimed != found:
        raise ValueError(f"its header claims {claimed:,} bytes, and it has {found:,}")
    return shape, is_fortran, dtype


def first_line(fault):
    """The first line of a fault of any kind, shortened, for a message."""
    lines = str(fault).strip().splitlines() or [type(fault).__name__]
    return lines[0][:200]


def save_csv(path, fields, rows):
    """Write a table as CSV in UTF-8 with a header line, marked by its line ends.

    A table with letters beyond ASCII begins with a byte order mark, by which spreadsheets know that it
    is UTF-8. Others go without one, so that every program finds their first column. The rows, of any
    iterable, are written as they come.
    """
    is_ascii = True
    # Whether it needs a mark at its start is known at its end.
    with tempfile.SpooledTemporaryFile(MAX_TABLE_IN_MEMORY, dir=Path(path).parent) as table:

        def write(record):
            nonlocal is_ascii
            is_ascii = is_ascii and record.isascii()
            record = record.removesuffix("\r\n") + "\n"
            record = record if table.tell() else ownership.mark_line_ends(record)
            table.write(record.encode("utf-8", "surrogateescape"))

        # With these line ends, so that a field with either character in it is quoted.
        writer = csv.writer(SimpleNamespace(write=write), lineterminator="\r\n")
        writer.writerow(fields)
        writer.writerows(rows)
        table.seek(0)
        with Path(path).open("wb") as file:
            file.write(b"" if is_ascii else codecs.BOM_UTF8)
            shutil.copyfileobj(table, file)


def parse_csv(data, columns):
    """Read columns of a table in CSV, written by `save_csv` or by a spreadsheet.

    Args:
        data, columns: As for `parse_table`.

    Yields:
        One tuple per row: the number of its line in the file, counted from 1, and the text of each of
        the columns.

    Raises:
        ValueError: As `parse_table`.

    Example:
        >>> table = 'name;label;note\\n\\n"a, b";1;\\n'
        >>> list(parse_csv(table.encode("utf-16"), ("label", "name")))
        [(3, '1', 'a, b')]
    """
    header, rows = parse_table(data, columns)
    places = [header.index(column) for column in columns]
    for line, cells in rows:
        yield line, *(cells[place] for place in places)


def parse_table(data, columns):
    """Read a table in CSV, written by `save_csv` or by a spreadsheet.

    It may be in UTF-8 or UTF-16, and its columns in any order, among others, and separated by
    commas, semicolons or tabs: the header line decides. Empty rows are passed over.

    Args:
        data: The bytes of the table.
        columns: Names of columns that it has to have.

    Returns:
        A pair: the names of all columns; and an iterator of pairs, one per row, of the number of its
        line in the file, counted from 1, and its cells, as many as there are columns.

    Raises:
        ValueError: If it is no such table, lacks one of the columns or has it twice; or, when it is
            read, if a row is too short or too long.
    """
    text = _decode(data)
    for separator in SEPARATORS:
        rows = _filled_rows(text, separator)
        try:
            header = [cell.strip() for cell in next(rows)[1]]
        except (StopIteration, ValueError):  # no rows, or none with this separator
            continue
        if all(header.count(column) == 1 for column in columns):
            break
    else:
        first = text.partition("\n")[0]
        raise ValueError(
            f"expected a first line with the columns {', '.join(columns)}, separated by commas, "
            f"semicolons or tabs, found {reprlib.repr(first.strip())}"
        )
    return header, _padded_rows(rows, header, max(header.index(column) for column in columns))


def _padded_rows(rows, header, required):
    """Yield line and cells of rows, as many cells as the header has, and `required` at least."""
    for line, cells in rows:
        # Spreadsheets may leave out empty cells at the end of a row, or add some.
        if len(cells) <= required or any(map(str.strip, cells[len(header) :])):
            raise ValueError(f"line {line}: expected {len(header)} cells, found {len(cells)}")
        missing = [""] * (len(header) - len(cells))
        yield line, [*cells[: len(header)], *missing]


def _decode(data):
    """Decode the bytes of a table; in UTF-8, names that are not survive as surrogates."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16")
    return data.decode("utf-8-sig", "surrogateescape")


def _filled_rows(text, separator):
    """Yield the number of the first line and the cells of each row that is not empty."""
    # Without a translation of line ends, which would change those in quotes.
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    line = 1
    try:
        for cells in reader:
            if any(map(str.strip, cells)):
                yield line, cells
            line = reader.line_num + 1
    except csv.Error as fault:
        raise ValueError(f"line {line}: {fault}") from None


def parse_whole_number(text):
    """Read a whole number as a spreadsheet may write it, `None` if it is none.

    Example:
        >>> [parse_whole_number(text) for text in ("1", " -1", "1.0", "0,00", "1.5", "")]
        [1, -1, 1, 0, None, None]
    """
    found = WHOLE_NUMBER.fullmatch(text)
    return int(found[1]) if found else None


def parse_number(text):
    """Read a finite number as a spreadsheet of any country may write it, `None` if it is none.

    Example:
        >>> [parse_number(text) for text in ("1.5", " 2,25", "1e-3", "nan", "")]
        [1.5, 2.25, 0.001, None, None]
    """
    try:
        number = float(text.replace(",", "."))
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def save_json(path, content):
    """Write a dict as JSON with the mark of the suite.

    Raises:
        ValueError: If it contains NaN or infinity, which JSON does not have.
    """
    with Path(path).open("w", encoding="ascii", newline="\n") as file:
        file.writelines(_json_parts(content))


def as_json(content):
    """Format a dict as a JSON object that begins with the mark of the suite.

    Example:
        >>> as_json({"seed": 1}).split()[1:3]
        ['"written_by":', '"written-by:pyimagesearch",']
    """
    return "".join(_json_parts(content))


def _json_parts(content):
    """Yield what `as_json` returns, piece by piece."""
    marked = {**ownership.WRITTEN_BY, **content, **ownership.WRITTEN_BY}
    yield from json.JSONEncoder(indent=2, allow_nan=False).iterencode(marked)
    yield "\n"


def load_json(path, max_bytes=MAX_JSON_BYTES):
    """Read a JSON object, such as the settings beside a model.

    Args:
        path: Path of the file.
        max_bytes: Its size in bytes, at most: read, it can take 24 times as much memory.

    Returns:
        Its content as a dict, empty if there is no such file.

    Raises:
        InputError: If the file is not a JSON object.
    """
    if not Path(path).exists():
        return {}
    with open_for_reading(path) as file:
        try:
            # Before it is read: Python sets memory aside for as much as it is asked to read.
            if os.fstat(file.fileno()).st_size > max_bytes:
                raise ValueError("too large")
            content = json.loads(file.read())
        except (ValueError, RecursionError):
            content = None
    if not isinstance(content, dict):
        raise InputError(f"{path} is not a JSON object, as the scripts write one: run them again")
    return content

"""Marks in the files that the suite has written, which it may overwrite.

The mark is in the file itself, so that it stays with it when the file is moved or copied, and no
list of files can go out of date. Standard library only.
"""

import hashlib
import os
import re
import zipfile
import zlib
from pathlib import Path

MARK = b"written-by:pyimagesearch"
# The first entry of a JSON object.
WRITTEN_BY = {"written_by": MARK.decode()}
# Bytes at the head and at the tail of a file in which the mark is searched.
SEARCHED_BYTES = 2**16
# A list of names, and the report that has its digest.
LIST, LIST_REPORT = "flagged.txt", "report.json"
MAX_HEADER_BYTES = 2**10
# The first chunk of a PNG, IHDR, always ends at this byte.
PNG_SIGNATURE, END_OF_IHDR = b"\x89PNG\r\n\x1a\n", 33
# The header of a table and its first row, each with its line end; quoted fields may contain others.
# Before them stands a byte order mark where a name is not in ASCII.
# A header is printable ASCII, because the signature of every PNG ends like one. The quantifiers are
# possessive, so that no file can make them backtrack for long.
FIRST_LINES = re.compile(
    rb'(?:\xef\xbb\xbf)?(?P<header>[ -~]++)\r\n(?P<row>(?:[^"\n]|"[^"]*+")++)(?<!\r)\n'
)


def is_own_file(path):
    """Whether a file has the mark of the suite: in its head, in its tail or in its line ends.

    Args:
        path: Path of a file; one that is not regular, or can't be read, has no mark.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "table.csv")
        ...     _ = path.write_bytes(b"name,label\\na,1\\n")
        ...     unmarked = is_own_file(path)
        ...     _ = path.write_bytes(mark_line_ends("name,label\\na,1\\n").encode())
        ...     unmarked, is_own_file(path)
        (False, True)
    """
    try:
        # A pipe or a device would block, or be read forever.
        if not Path(path).is_file():
            return False
        with Path(path).open("rb") as file:
            head = file.read(SEARCHED_BYTES)
            file.seek(max(0, file.seek(0, os.SEEK_END) - SEARCHED_BYTES))
            tail = file.read(SEARCHED_BYTES)
    except (OSError, ValueError):
        return False
    if MARK in head or MARK in tail or _has_marked_line_ends(head):
        return True
    return Path(path).name == LIST and is_own_list(path)


def is_own_list(path):
    """Whether a list of names, in which a mark would be a name, is one that the report beside knows.

    A list that somebody has changed is theirs.
    """
    report = Path(path).with_name(LIST_REPORT)
    try:
        if not report.is_file() or not is_own_file(report):
            return False
        with report.open("rb") as file:
            return digest(Path(path).read_bytes()).encode() in file.read(SEARCHED_BYTES)
    except OSError:
        return False


def digest(content):
    """SHA-256 of bytes, in hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def _has_marked_line_ends(head):
    """Whether the first lines of a file end as `mark_line_ends` ends them."""
    found = FIRST_LINES.match(head)
    if found is None or len(found["header"]) > MAX_HEADER_BYTES:
        return False
    if found["header"] == b"[":
        return found["row"].strip() == b"{"
    columns = [_count_columns(line) for line in found.groups()]
    return columns[0] == columns[1] > 1


def _count_columns(record):
    """The number of columns of one row of a table."""
    return 1 + re.sub(rb'"[^"]*+"', b"", record).count(b",")


def mark_line_ends(text):
    """Mark text of several lines that has no place for a mark: CSV, or a list as JSON.

    Its first line ends in CRLF and the others in LF, which every reader accepts and no other
    program writes.
    """
    first, _, others = text.partition("\n")
    return f"{first}\r\n{others}"


def mark_png(data):
    """The bytes of a PNG with the mark in its metadata, as the software that wrote it."""
    chunk = b"tEXtSoftware\0" + MARK
    size, check = len(chunk) - 4, zlib.crc32(chunk)
    marked = size.to_bytes(4, "big") + chunk + check.to_bytes(4, "big")
    return data[:END_OF_IHDR] + marked + data[END_OF_IHDR:]


def is_own_picture(path):
    """Whether a file is a PNG that the suite has written; only its first bytes are read."""
    try:
        if not Path(path).is_file():
            return False
        with Path(path).open("rb") as file:
            head = file.read(END_OF_IHDR + 64)
    except OSError:
        return False
    return head.startswith(PNG_SIGNATURE) and MARK in head[END_OF_IHDR:]


def mark_zip(path):
    """Put the mark in the comment of a finished zip archive, such as a `.npz` or `.keras` file."""
    with zipfile.ZipFile(path, "a") as archive:
        archive.comment = MARK

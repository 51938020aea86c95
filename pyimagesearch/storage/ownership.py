"""Marks by which the suite knows the files that it has written itself, from all others.

Each file carries its mark in itself, so that it keeps it wherever it is moved or copied, and no
list of files can go out of date. Standard library only.
"""

import os
import re
import zipfile
import zlib
from pathlib import Path

MARK = b"written-by:pyimagesearch"
# What a JSON object begins with.
WRITTEN_BY = {"written_by": MARK.decode()}
# Bytes at the head and at the tail of a file in which its mark is looked for.
REACH = 2**16
# Bytes of a header line, at most.
LONGEST_HEADER = 2**10
# Behind the signature of a PNG and its first chunk, IHDR, which all PNGs have in this size.
PNG_SIGNATURE, END_OF_IHDR = b"\x89PNG\r\n\x1a\n", 33
# The header of a table and its first row, each with its line end; what is quoted may have any in
# it. A header is of plain letters: the signature of all PNGs ends just as one does. Possessive, so
# that no file can make them try for long.
FIRST_LINES = re.compile(rb'(?P<header>[ -~]++)\r\n(?P<row>(?:[^"\n]|"[^"]*+")++)(?<!\r)\n')


def is_ours(path):
    """Whether a file bears the mark of the suite: in its head, in its tail or in its line ends.

    Args:
        path: Path of a file; what is no regular file, or can't be read, is not the suite's.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "table.csv")
        ...     _ = path.write_bytes(b"name,label\\na,1\\n")
        ...     theirs = is_ours(path)
        ...     _ = path.write_bytes(mark_line_ends("name,label\\na,1\\n").encode())
        ...     theirs, is_ours(path)
        (False, True)
    """
    try:
        # A pipe or a device would be waited for, or read for ever.
        if not Path(path).is_file():
            return False
        with Path(path).open("rb") as file:
            head = file.read(REACH)
            file.seek(max(0, file.seek(0, os.SEEK_END) - REACH))
            tail = file.read(REACH)
    except (OSError, ValueError):
        return False
    return MARK in head or MARK in tail or _has_marked_line_ends(head)


def _has_marked_line_ends(head):
    found = FIRST_LINES.match(head)
    if found is None or len(found["header"]) > LONGEST_HEADER:
        return False
    if found["header"] == b"[":
        return found["row"].strip() == b"{"
    columns = [_number_of_columns(line) for line in found.groups()]
    return columns[0] == columns[1] > 1


def _number_of_columns(record):
    """Of one record of a table."""
    return 1 + re.sub(rb'"[^"]*+"', b"", record).count(b",")


def mark_line_ends(text):
    """Mark text of several lines that can hold nothing but data: CSV, or a list as JSON.

    Its first line ends in CRLF and the others in LF, which every reader takes and no other program
    writes.
    """
    first, _, others = text.partition("\n")
    return f"{first}\r\n{others}"


def mark_png(data):
    """The bytes of a PNG with the mark in its metadata, as the software that made it."""
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
    """Mark a finished zip archive, which `.npz` and `.keras` files are, in its comment."""
    with zipfile.ZipFile(path, "a") as archive:
        archive.comment = MARK

"""Single results of a benchmark, saved as CSV as soon as they are known, for a later run to reuse."""

import csv
import io
import json

from pyimagesearch import InputError


def load_runs(path, key, numbers):
    """Load the results of earlier runs.

    Args:
        path: Path of the CSV file.
        key: Names of the columns that tell what was measured.
        numbers: Names of the columns of numbers.

    Returns:
        A dict by the values of `key`, as text, of dicts of numbers; empty without a file.

    Raises:
        InputError: If the file is broken.
    """
    from pyimagesearch.storage import files

    if not path.exists():
        return {}
    with files.open_for_reading(path) as file:
        try:
            rows = list(csv.DictReader(io.StringIO(file.read().decode()), strict=True))
            return {
                tuple(row[name] for name in key): {name: float(row[name]) for name in numbers}
                for row in rows
            }
        except (ValueError, KeyError, TypeError, csv.Error) as error:
            raise InputError(
                f"{path} is not a table of earlier results ({error}): move it away to measure again"
            ) from None


def save_runs(path, key, numbers, runs):
    """Save what `load_runs` loads again; the arguments are the same."""
    from pyimagesearch.storage import atomic, files

    rows = [(*of, *(f"{run[name]:.6g}" for name in numbers)) for of, run in runs.items()]
    with atomic.Transaction() as transaction:
        files.save_csv(transaction.stage(path), (*key, *numbers), rows)


def save_table(path, rows):
    """Save a table as JSON: a list of dicts, by the names of the columns, which come first."""
    from pyimagesearch.storage import atomic, ownership

    dicts = [dict(zip(rows[0], row, strict=True)) for row in rows[1:]]
    marked = ownership.mark_line_ends(json.dumps(dicts, indent=2) + "\n")
    with atomic.Transaction() as transaction:
        transaction.stage(path).write_bytes(marked.encode())

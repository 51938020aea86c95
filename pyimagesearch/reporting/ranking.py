"""The ranking of the images: the table of all, and the list of the flagged ones."""

import os
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pyimagesearch import InputError
from pyimagesearch.storage import files, ownership

COLUMNS = ("rank", "index", "name", "score", "flagged", "label")
ROWS_AT_ONCE = 2**12


@dataclass(frozen=True)
class Ranking:
    """The images of a dataset, the highest score first.

    Attributes:
        indices: int array `(N,)`: their places in the dataset, from 0.
        names: N names, a list, or a `data.arrays.Lazy` that takes no memory.
        scores: float32 array `(N,)`, descending.
        labels: int array `(N,)`: 0 normal, 1 anomaly, -1 unknown.
        columns: Further columns of the table, a dict from their names to N texts.

    Example:
        >>> ranking = Ranking(np.arange(2), ["a", "b"], np.float32([9, 1]), np.array([-1, -1]), {})
        >>> ranking.flagged_list(np.array([True, False]))
        b'a\\n'
    """

    indices: np.ndarray
    names: Sequence[str]
    scores: np.ndarray
    labels: np.ndarray
    columns: Mapping[str, Sequence[str]]

    @classmethod
    def load(cls, path):
        """Read the ranking from `anomalies.csv`, whatever the order of its rows.

        Raises:
            InputError: If it is no such table.
        """
        with files.open_for_reading(path) as file:
            data = file.read()
        try:
            header, rows = files.parse_table(data, COLUMNS)
            more = [name for name in header if name not in COLUMNS]
            places = [header.index(name) for name in (*COLUMNS, *more)]
            # As rows of Python's numbers, a table of many images would take twice as much memory.
            ranks, indices, scores, labels = (array(kind) for kind in "qqfb")
            names, columns = [], {name: [] for name in more}
            for line, cells in rows:
                rank, index, name, score, _, label, *texts = (cells[i] for i in places)
                for numbers, number in zip(
                    (ranks, indices, scores, labels),
                    _parse_numbers(line, rank, index, score, label),
                    strict=True,
                ):
                    numbers.append(number)
                names.append(name)
                for column, text in zip(columns.values(), texts, strict=True):
                    column.append(text)
            order = np.argsort(ranks, kind="stable")
            if not names or (np.array(ranks)[order] != np.arange(1, len(order) + 1)).any():
                raise ValueError("expected each rank once, from 1")
        except ValueError as fault:
            raise InputError(
                f"{path} is not a table of scores as find_anomalies.py writes it ({fault}): score "
                "the images again"
            ) from None
        return cls(
            np.array(indices)[order],
            [names[i] for i in order],
            np.array(scores)[order],
            np.array(labels)[order],
            {name: [texts[i] for i in order] for name, texts in columns.items()},
        )

    def rows(self, flagged):
        """The rows of `anomalies.csv`, the names of the columns first.

        Args:
            flagged: bool array `(N,)`, in the order of the ranking.

        Yields:
            Tuples.
        """
        yield *COLUMNS, *self.columns
        columns = list(self.columns.values())
        arrays = self.indices, self.scores, flagged, self.labels
        # As Python's numbers they take ten times as much memory: few at a time.
        for start in range(0, len(self.names), ROWS_AT_ONCE):
            fixed = (array[start : start + ROWS_AT_ONCE].tolist() for array in arrays)
            for place, (index, score, is_flagged, label) in enumerate(
                zip(*fixed, strict=True), start
            ):
                # Nine digits restore a float32 to the bit.
                row = place + 1, index, self.names[place], f"{score:.9g}", int(is_flagged), label
                yield *row, *(column[place] for column in columns)

    def flagged_list(self, flagged):
        """The content of `flagged.txt`: the names of the flagged images, one a line.

        A name with a line break in it is left out: as two lines it could name two other files.

        Args:
            flagged: bool array `(N,)`, in the order of the ranking.

        Returns:
            Bytes: names that are not UTF-8 are written as they are on the disk.
        """
        chosen = (self.names[i] for i in np.flatnonzero(flagged))
        return b"".join(os.fsencode(name) + b"\n" for name in chosen if not has_line_break(name))


def stage_tables(transaction, folder, ranking, flagged, report):
    """Stage `anomalies.csv`, `flagged.txt` and `report.json` to be written into a folder.

    Args:
        transaction: An `atomic.Transaction`.
        folder: Path of the folder.
        ranking: A `Ranking`.
        flagged: bool array `(N,)`, in the order of the dataset.
        report: The content of `report.json`, a dict.
    """
    flagged = flagged[ranking.indices]
    rows = ranking.rows(flagged)
    files.save_csv(transaction.stage(folder / "anomalies.csv"), next(rows), rows)
    listed, path = ranking.flagged_list(flagged), folder / ownership.LIST
    transaction.stage(path).write_bytes(listed)
    # The list is known by its digest. The earlier one is named as well, because a run that is killed
    # at this moment may leave it.
    digests = [ownership.digest(listed)]
    if ownership.is_own_file(path):
        digests.append(ownership.digest(path.read_bytes()))
    # First of all, where it is looked for.
    report = {"flagged_list": digests} | {**report, "flagged_list": digests}
    files.save_json(transaction.stage(folder / ownership.LIST_REPORT), report)


def has_line_break(name):
    """Whether a name can't be written in one line."""
    return "\n" in name or "\r" in name


def _parse_numbers(line, rank, index, score, label):
    """The numbers of a row of `anomalies.csv`.

    Raises:
        ValueError: If one of them is none.
    """
    numbers = [files.parse_whole_number(text) for text in (rank, index, label)]
    value = files.parse_number(score)
    fits = None not in (*numbers, value) and max(map(abs, numbers)) < 2**63
    if not fits or numbers[2] not in (-1, 0, 1):
        raise ValueError(f"line {line}: expected numbers")
    return numbers[0], numbers[1], value, numbers[2]

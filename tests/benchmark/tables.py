"""Tables of the benchmark, made on little data."""

import csv

from pyimagesearch.benchmark import __main__ as benchmark

# Flags of the tables that train networks.
QUICK = ["--source", "digits", "--epochs", "2", "--limit", "120"]


def read_csv(path):
    """The rows of a CSV file as dicts of text."""
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def make_table(table, folder, *flags):
    """Make a table; return its rows as dicts of text, as saved."""
    assert benchmark.main([table, "--output", str(folder), *flags]) == 0
    return read_csv(folder / f"{table}.csv")

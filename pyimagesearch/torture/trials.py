"""Trials: how they are counted, and the small runs that they try."""

import contextlib
import itertools
import sys
from dataclasses import dataclass, field
from pathlib import Path

FIELDS = ("what was tried", "times", "as promised", "executed", "tracebacks", "half-written")
# What both scripts write, those of the first being what the second reads.
TRAINED = ("images.pickle", "images.csv", "a.model", "a.json", "a.npz", "vis.png", "plot.png")
FOUND = ("anomalies.png", "errors.png", "anomalies.csv", "report.json", "report.html")


@dataclass
class TrialCounts:
    """How one kind of trial went.

    Attributes:
        what: What was tried.
        times, as_promised, executed, tracebacks, half_written: How often.
        notes: What went wrong, one line each.
    """

    what: str
    times: int = 0
    as_promised: int = 0
    executed: int = 0
    tracebacks: int = 0
    half_written: int = 0
    notes: list[str] = field(default_factory=list)

    def count(self, name, problem=None, executed=False, traceback=False, half_written=False):
        """Count one trial; all is well where there is no problem."""
        self.times += 1
        self.executed += bool(executed)
        self.tracebacks += bool(traceback)
        self.half_written += bool(half_written)
        if problem or executed or traceback or half_written:
            self.notes.append(f"{self.what}: {name}: {problem}")
        else:
            self.as_promised += 1

    def row(self):
        """The numbers, as text in the order of `FIELDS`."""
        counts = (self.times, self.as_promised, self.executed, self.tracebacks, self.half_written)
        return self.what, *map(str, counts)


def scripts():
    """Name -> `main` of both scripts, which lie beside the package."""
    sys.path.insert(0, str(Path(__file__).parent.parent.parent))
    import find_anomalies
    import train_unsupervised_autoencoder

    return {"train": train_unsupervised_autoencoder.main, "find": find_anomalies.main}


def flags_of(script, place, out, seed=1):
    """The flags of a small run that writes to the folder `out`."""
    if script == "find":
        trained = place / "trained"
        files = ["-d", trained / "images.pickle", "-m", trained / "a.model", "--output", out]
        return [*map(str, files), "--quiet"]
    files = ["-d", out / "images.pickle", "-m", out / "a.model", "-v", out / "vis.png"]
    files += ["-p", out / "plot.png", "--source", place / "tiny.npz", "--seed", seed]
    small = ["--contam", "0.1", "--epochs", "1", "--filters", "4", "--latent-dim", "2", "--quiet"]
    return [*map(str, files), *small]


def snapshot(folder):
    """Every file in a folder with its bytes, but for the state of an unfinished training."""
    files = [path for path in sorted(folder.iterdir()) if path.is_file()]
    return {path.name: path.read_bytes() for path in files if path.suffix != ".resume"}


def temporary_files(folder):
    """Names of the files in a folder that were being written by somebody."""
    return [path.name for path in folder.iterdir() if path.match(".*.tmp*")]


def keep(path, folder, kind):
    """Copy a file that has done harm to a folder, under a name that nothing there has yet."""
    for number in itertools.count():
        with contextlib.suppress(FileExistsError):
            with Path(folder, f"{number}-{kind}{path.suffix}").open("xb") as file:
                file.write(path.read_bytes())
            return

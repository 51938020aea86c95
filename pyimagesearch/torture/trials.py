"""Trials: their counts, and the small runs of the two scripts that they try."""

import contextlib
import itertools
import sys
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
FIELDS = (
    *("what was tried", "times", "as promised", "executed", "tracebacks"),
    *("over memory", "over time", "half-written"),
)
# What each script writes; the second reads what the first has written.
TRAINING_OUTPUTS = (
    "images.pickle",
    "images.csv",
    "a.model",
    "a.json",
    "a.npz",
    "vis.png",
    "plot.png",
)
DETECTION_OUTPUTS = ("anomalies.png", "errors.png", "anomalies.csv", "report.json", "report.html")


@dataclass
class TrialCounts:
    """Counts of how the trials of one kind ended.

    Attributes:
        what: What was tried.
        times: How often it was tried.
        as_promised: How often it ended as promised.
        executed: How often code from a file was executed.
        tracebacks: How often it ended in a traceback.
        over_memory: How often it took more memory than promised; `None` if that was not measured.
        over_time: How often it took longer than promised; `None` if that was not measured.
        half_written: How often it left files that were neither old, new nor absent.
        failures: What went wrong, one line each.
    """

    what: str
    times: int = 0
    as_promised: int = 0
    executed: int = 0
    tracebacks: int = 0
    over_memory: int | None = None
    over_time: int | None = None
    half_written: int = 0
    failures: list[str] = field(default_factory=list)

    def count(self, name, problem=None, **sorts):
        """Count one trial; it ended as promised if there was no problem of any sort.

        Args:
            name: What to call the trial among the failures.
            problem: What went wrong, as text; `None`: nothing.
            **sorts: Whether it went wrong in one of the ways that have a count of their own:
                `executed`, `traceback`, `over_memory`, `over_time` or `half_written`.
        """
        self.times += 1
        found = [sort for sort, is_found in sorts.items() if is_found]
        for sort, is_found in sorts.items():
            counter = "tracebacks" if sort == "traceback" else sort
            setattr(self, counter, (getattr(self, counter) or 0) + bool(is_found))
        if problem or found:
            self.failures.append(f"{self.what}: {name}: {problem or ', '.join(found)}")
        else:
            self.as_promised += 1

    def row(self):
        """The counts as text, in the order of `FIELDS`."""
        counts = (self.times, self.as_promised, self.executed, self.tracebacks)
        counts += (self.over_memory, self.over_time, self.half_written)
        return self.what, *("-" if count is None else str(count) for count in counts)


def scripts():
    """Name -> `main` of the two scripts, which lie beside the package."""
    if str(ROOT) not in sys.path:
        sys.path.insert(0, str(ROOT))
    import find_anomalies
    import train_unsupervised_autoencoder

    return {"train": train_unsupervised_autoencoder.main, "find": find_anomalies.main}


def small_run_flags(script, workspace, out, seed=1):
    """The flags of a short run.

    Args:
        script: `"train"` or `"find"`.
        workspace: Folder with `tiny.npz` to train on, and `trained/` to find anomalies with.
        out: Folder for the results.
        seed: Of the training.

    Returns:
        A list of text.
    """
    if script == "find":
        trained = workspace / "trained"
        files = ["-d", trained / "images.pickle", "-m", trained / "a.model", "--output", out]
        return [*map(str, files), "--quiet"]
    files = ["-d", out / "images.pickle", "-m", out / "a.model", "-v", out / "vis.png"]
    files += ["-p", out / "plot.png", "--source", workspace / "tiny.npz", "--seed", seed]
    small = ["--contam", "0.1", "--epochs", "1", "--filters", "4", "--latent-dim", "2", "--quiet"]
    return [*map(str, files), *small]


def snapshot(folder):
    """Name -> bytes of every file in a folder, checkpoints of unfinished trainings left out."""
    files = [path for path in sorted(folder.iterdir()) if path.is_file()]
    return {path.name: path.read_bytes() for path in files if path.suffix != ".resume"}


def temporary_files(folder):
    """Names of the temporary files in a folder, which an atomic write renames at its end."""
    return [path.name for path in folder.iterdir() if path.match(".*.tmp*")]


def keep_copy(path, folder, kind):
    """Copy a file to a folder, under a name that is free there: `0-KIND`, `1-KIND` and so on."""
    for number in itertools.count():
        with contextlib.suppress(FileExistsError):
            with Path(folder, f"{number}-{kind}{path.suffix}").open("xb") as file:
                file.write(path.read_bytes())
            return

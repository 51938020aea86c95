"""Detection of odd photographs: ours beside pixels and beside methods on the same features.

No method receives a label or a mask before its ranking is evaluated. Each method runs in a process of
its own. Each result is saved in photo_runs.csv as soon as it is known, and a later run reuses it:
remove the file to measure again.
"""

import dataclasses
import logging
import tempfile
from collections import defaultdict
from pathlib import Path

from pyimagesearch.benchmark.photo_piles import PROTOCOLS, Sources, make_piles
from pyimagesearch.benchmark.runs import load_runs, save_runs, save_table
from pyimagesearch.benchmark.subprocesses import run_in_subprocess
from pyimagesearch.cli import argument_types

logger = logging.getLogger(__name__)

HELP = "detect odd photographs, beside methods on the same features"
METHODS = (
    "photos",
    "padim",
    "patchcore",
    "linear",
    "knn",
    "isolation-forest",
    "pixels",
    "pixels batch norm",
)
MEASURES = ("auroc", "average_precision", "worst_rank", "pixel_auroc", "aupro")
COSTS = ("fit_seconds", "score_seconds", "peak_mib")
KEY = ("protocol", "set", "seed", "method")
NUMBERS = (*MEASURES, *COSTS)
RUNS, TABLE = FILES = ("photo_runs.csv", "photos.json")

# Lets a method rank a pile, saves scores and maps, and prints seconds and the peak memory in MiB.
PROGRAM = """
import json, sys
import numpy as np
from pyimagesearch.benchmark import photo_methods
from pyimagesearch.benchmark.photo_piles import Pile
from pyimagesearch.benchmark.subprocesses import peak_mib

method, pile, path = json.loads(sys.argv[1])
scores, maps, *seconds = photo_methods.run(method, Pile(**pile))
np.savez(path, scores=scores, **({} if maps is None else {"maps": maps}))
print(json.dumps([*seconds, peak_mib()]))
"""


def add_arguments(parser):
    """Add the flags of this table."""
    add = parser.add_argument
    for flag, what in (
        ("--sets", "folders in the layout of MVTec AD"),
        ("--kinds", "a folder with a folder of photos of each kind"),
        ("--others", "a folder of photos of other things"),
        ("--arrays", ".npz files in the layout of Keras's CIFAR-10"),
        ("--pictures", "two large pictures or more, to take crops of"),
    ):
        add(flag, nargs="+", default=[], metavar="PATH", help=what)
    argument_types.add_choices(
        parser, "--protocols", PROTOCOLS, "which piles", "all that there are images for"
    )
    argument_types.add_choices(parser, "--methods", METHODS, "which methods")
    add(
        "--seeds",
        nargs="+",
        type=argument_types.bounded_number(int, at_least=0, below=2**32),
        default=[1],
        metavar="N",
        help="of what is drawn at random (default: 1)",
    )


def inputs(args):
    """The paths that are read."""
    return [*args.sets, *args.kinds, *args.others, *args.arrays, *args.pictures]


def table(args):
    """Measure what has not been measured yet, and summarize.

    Args:
        args: The parsed flags.

    Returns:
        A list of tuples of text, the names of the columns first: a row for each protocol and
        method, the means over its piles.

    Raises:
        InputError: If there are no images, or the file of single results is broken.
    """
    sources = Sources(args.sets, args.kinds, args.others, args.arrays, args.pictures)
    path = Path(args.output, RUNS)
    runs = load_runs(path, KEY, NUMBERS)
    asked = []
    for pile in make_piles(args.protocols, sources, args.seeds):
        for method in args.methods:
            key = (pile.protocol, pile.name, str(pile.seed), method)
            asked.append(key)
            if key not in runs:
                runs[key] = measure(method, pile)
                save_runs(path, KEY, NUMBERS, runs)
                logger.info("%s: %s", ", ".join(key), format_run(runs[key]))
    rows = summarize({key: runs[key] for key in asked})
    save_table(Path(args.output, TABLE), rows)
    return rows


def measure(method, pile):
    """Let a method rank a pile in a process of its own: a dict of numbers by `MEASURES` and `COSTS`."""
    import numpy as np

    from pyimagesearch.data.masks import load_masks
    from pyimagesearch.detection import metrics

    hidden = dataclasses.asdict(dataclasses.replace(pile, labels=[], masks=None))
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder, "result.npz"))
        costs = run_in_subprocess(PROGRAM, [method, hidden, path])
        with np.load(path) as result:
            scores, maps = result["scores"], result.get("maps")
    labels = np.array(pile.labels)
    found = metrics.evaluate(scores, np.zeros(len(scores), bool), labels)
    found["worst_rank"] = worst_rank(scores, labels)
    if maps is not None and pile.masks is not None:
        masks = load_masks(pile.masks, maps.shape[1:])
        found |= metrics.evaluate_maps(maps, masks)
    measures = {name: found.get(name) for name in MEASURES}
    measures = {name: float("nan") if x is None else x for name, x in measures.items()}
    return measures | dict(zip(COSTS, costs, strict=True))


def worst_rank(scores, labels):
    """The share of the images, from the highest score down, in which all odd ones are.

    Args:
        scores: Float array `(N,)`.
        labels: Integer array `(N,)`: 1 for each odd image.

    Returns:
        A number in (0, 1], or `None` if no image is odd. Of equal scores those of odd images count
        as the lower ones.
    """
    if not labels.any():
        return None
    return float((scores >= scores[labels == 1].min()).mean())


def format_run(run):
    """The numbers of a result as one line."""
    return ", ".join(f"{name} {value:.4g}" for name, value in run.items() if value == value)


def summarize(runs):
    """Means of single results over the piles of each protocol, or each size, as rows of a table."""
    groups = defaultdict(list)
    for (protocol, name, _, method), run in runs.items():
        groups[f"e, {name}" if protocol == "e" else protocol, method].append(run)
    rows = [("protocol", "method", "piles", *NUMBERS)]
    for group, found in groups.items():
        means = [sum(run[name] for run in found) / len(found) for name in NUMBERS]
        text = ("" if mean != mean else f"{mean:.4f}" for mean in means[: len(MEASURES)])
        costs = (f"{mean:.1f}" for mean in means[len(MEASURES) :])
        rows.append((*group, f"{len(found)}", *text, *costs))
    return rows

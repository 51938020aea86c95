"""Does the autoencoder find anomalies better than what one would use instead?

Every method gets the same images in the same run. No label is seen by any of them before its
ranking is judged. Each result is kept in detection_runs.csv as soon as it is there, and is not
made again by a later run: take the file away to measure anew.
"""

import functools
import json
import time
from collections import defaultdict
from dataclasses import astuple, dataclass
from pathlib import Path

from pyimagesearch import InputError
from pyimagesearch.cli import argument_types
from pyimagesearch.storage import atomic, ownership
from pyimagesearch.training.recipes import RECIPES, make_recipe

HELP = "find images of other classes, beside methods without a network"
# Pairs of digits that settings were chosen on, the normal one first; no pair below is among them,
# nor is 1 against 2 or against 8, by which the length of the code was chosen.
DEVELOPMENT_PAIRS = ((0, 6), (6, 3), (7, 3), (4, 8), (9, 2), (8, 5), (5, 9), (1, 7))
# One of the train split's parts in the files of the robust deep autoencoder (Zhou and Paffenroth,
# "Anomaly detection with robust deep autoencoders", KDD 2017): the first so many images.
FIRST_IMAGES = 50_000
OTHERS_AMONG_FOURS = 265
N_PAIRS = 20
# The share of the ranking that is looked at for a normal image at the very top.
TOP = 0.001
# Names of the alternatives in `baselines.BASELINES`, which --help can't wait for.
BASELINES = (
    "pca-4",
    "pca-16",
    "isolation-forest",
    "one-class-svm",
    "knn",
    "knn-trimmed",
    "knn-cosine-trimmed",
    "ppca-trimmed",
)
# Beside them each recipe, by each score.
METHODS = (
    "robust mse",
    "robust neighbours",
    "robust code",
    "shapes mse",
    "shapes code",
    "tutorial mse",
    *BASELINES,
)
MEASURES = ("auroc", "average_precision", "precision_at_k", "clean_top", "auto_share", "auto_f1")


@dataclass(frozen=True)
class Task:
    """A set of images to find anomalies in.

    Attributes:
        protocol: A key of `PROTOCOLS`.
        normal: The class that is normal.
        anomalous: The class that is not, or `others`.
        contam: Anomalies per normal image among those that are learnt from.
        seed: Of the choice of anomalies, and of everything random in the methods.
    """

    protocol: str
    normal: int
    anomalous: int | str
    contam: float
    seed: int


def contaminated_tasks(classes, seeds):
    """The tutorial's set, drawn anew for each seed: 1s, and a 3 for every hundred."""
    return [Task("contaminated", 1, 3, 0.01, seed) for seed in seeds]


def outlier_tasks(classes, seeds, share, name):
    """A class with a share of others, from both splits (Wang et al., "Effective end-to-end
    unsupervised outlier detection via inlier priority of discriminative network", NeurIPS 2019).
    """
    contam = share / (1 - share)
    return [Task(name, label, "others", contam, seed) for label in classes for seed in seeds]


def tasks_of_fours(classes, seeds):
    """4,859 fours and 265 others (Zhou and Paffenroth, KDD 2017)."""
    return [Task("fours", 4, "others", OTHERS_AMONG_FOURS / 4859, seed) for seed in seeds]


def one_against_rest_tasks(classes, seeds):
    """Learn a class of the train split, judge all of the test split (Ruff et al., "Deep one-class
    classification", ICML 2018).
    """
    return [
        Task("one-against-rest", label, "others", 0, seed) for label in classes for seed in seeds
    ]


def pair_tasks(classes, seeds):
    """One class for every hundred of another: a sample of the ordered pairs of digits."""
    import numpy as np

    ordered = [(a, b) for a in range(10) for b in range(10) if a != b]
    left = [pair for pair in ordered if pair not in DEVELOPMENT_PAIRS]
    chosen = np.random.default_rng(0).choice(len(left), N_PAIRS, replace=False)
    return [
        Task("pairs", *left[i], 0.01, seed)
        for i in sorted(chosen)
        if left[i][0] in classes
        for seed in seeds
    ]


# Name -> function from the classes and seeds asked for to tasks; and the seeds if none are.
PROTOCOLS = {
    "contaminated": (contaminated_tasks, range(10)),
    "outliers-10": (functools.partial(outlier_tasks, share=0.1, name="outliers-10"), (0,)),
    "outliers-20": (functools.partial(outlier_tasks, share=0.2, name="outliers-20"), (0,)),
    "fours": (tasks_of_fours, (0,)),
    "one-against-rest": (one_against_rest_tasks, (0,)),
    "pairs": (pair_tasks, (0,)),
}


def images_of(task, source):
    """The images of a task.

    Args:
        task: A `Task`.
        source: What `datasets.load` takes, with classes.

    Returns:
        A tuple: the images to learn from, float32 `(N, H, W, C)` in [0, 1]; the images to judge
        in the same form, or `None` where they are the same; and of those that are judged the
        int array of labels, 0 normal and 1 anomaly.
    """
    from dataclasses import replace

    from pyimagesearch.data import datasets

    split = "all" if task.protocol.startswith("outliers") else "train"
    found = datasets.load(source, split)
    if task.protocol == "fours":
        found = replace(
            found,
            images=found.images[:FIRST_IMAGES],
            classes=found.classes[:FIRST_IMAGES],
            names=found.names[:FIRST_IMAGES],
        )
    learnt = datasets.contaminate(found, [task.normal], [task.anomalous], task.contam, task.seed)
    if task.protocol != "one-against-rest":
        return learnt.images, None, learnt.labels
    judged = datasets.label_by_class(datasets.load(source, "test"), [task.normal])
    return learnt.images, judged.images, judged.labels


def scores_by(methods, task, learnt, judged, narrator):
    """Scores by each of the methods.

    Args:
        methods: Names out of `METHODS`.
        task: A `Task`; of it, networks get to know the seed, and whether the images are known to be
            clean: then nobody is suspected.
        learnt, judged: As `images_of` gives them.
        narrator: A `console.Narrator`.

    Yields:
        Tuples of a method, its scores, float array, and the seconds that learning and scoring took.
    """
    from pyimagesearch.benchmark import baselines
    from pyimagesearch.detection import calibration, scoring
    from pyimagesearch.training.train import train

    for name in RECIPES:
        wanted = [method.split()[1] for method in methods if method.split()[0] == name]
        if not wanted:
            continue
        started = time.monotonic()
        fitted = train(
            learnt,
            make_recipe(name, trim=None if task.contam else 0.0),
            seed=task.seed,
            on_epoch=functools.partial(narrator.progress, f"{name}: epoch"),
        )
        training = time.monotonic() - started
        for score in wanted:
            reference = calibration.fit_reference(fitted, learnt, score, task.seed)
            started = time.monotonic()
            scores = scoring.score_images(
                fitted.autoencoder,
                learnt if judged is None else judged,
                score,
                reference,
            )
            yield f"{name} {score}", scores, training + time.monotonic() - started
    share = task.contam / (1 + task.contam)
    for name in (method for method in methods if method in baselines.BASELINES):
        started = time.monotonic()
        scores = baselines.BASELINES[name](learnt, judged, task.seed, share)
        yield name, scores, time.monotonic() - started


def evaluate_scores(scores, labels):
    """Measures of a ranking, by the names in `MEASURES`."""
    import numpy as np

    from pyimagesearch.detection import metrics, scoring, thresholds

    flagged = thresholds.flag(scores, thresholds.fdr_controlled(True, scores))
    verdict = metrics.evaluate(scores, flagged, labels)
    top = scoring.rank(scores)[: max(1, round(TOP * len(scores)))]
    return {
        "auroc": verdict["auroc"],
        "average_precision": verdict["average_precision"],
        "precision_at_k": verdict["precision_at_k"],
        "clean_top": float(labels[top].all()),
        "auto_share": float(np.mean(flagged)),
        "auto_f1": verdict["f1"] or 0.0,
    }


# The columns of the file of single results.
KEY = ("source", "protocol", "normal", "anomalous", "contam", "seed", "method")
COLUMNS = (*KEY, *MEASURES, "seconds")
# What is written beside the table: single results, to go on from, and the table for programs.
RUNS, TABLE = FILES = ("detection_runs.csv", "detection.json")


def add_arguments(parser):
    """Add the flags of this table."""
    add = parser.add_argument
    add(
        "--source",
        default="mnist",
        help="mnist (the default) or a .npz file in the layout of Keras's MNIST",
    )
    add(
        "--protocols",
        nargs="+",
        choices=list(PROTOCOLS),
        default=list(PROTOCOLS),
        metavar="NAME",
        help=f"which sets of images: {', '.join(PROTOCOLS)} (default: all)",
    )
    add(
        "--methods",
        nargs="+",
        choices=METHODS,
        default=METHODS,
        metavar="NAME",
        help=f"which methods: {', '.join(METHODS)} (default: all)",
    )
    add(
        "--classes",
        nargs="+",
        type=argument_types.bounded_number(int, at_least=0, at_most=9),
        default=range(10),
        metavar="LABEL",
        help="which classes are normal, in turn, where a protocol goes through them (default: all)",
    )
    add(
        "--seeds",
        nargs="+",
        type=argument_types.bounded_number(int, at_least=0, below=2**32),
        metavar="N",
        help="of everything random (default: 0 to 9 for contaminated, 0 for the others)",
    )


def table(args, narrator):
    """Measure what has not been measured, and sum up.

    Args:
        args: The parsed flags.
        narrator: A `console.Narrator`.

    Returns:
        A list of tuples of text, the names of the columns first. A row for each protocol and
        method: the number of tasks, and the means over them of `MEASURES` and of the seconds.
    """
    from pyimagesearch.data import datasets
    from pyimagesearch.storage import files

    if datasets.is_folder(args.source):
        raise InputError(f"expected mnist or a .npz file as source, received {args.source}")
    kept = Path(args.output, RUNS)
    known = load_runs(kept)
    name = Path(args.source).stem
    tasks = [
        task
        for protocol in args.protocols
        for make, seeds in [PROTOCOLS[protocol]]
        for task in make(args.classes, args.seeds or seeds)
    ]
    for number, task in enumerate(tasks):
        missing = [
            method
            for method in args.methods
            if (name, *map(str, astuple(task)), method) not in known
        ]
        narrator.say(
            f"{number + 1}/{len(tasks)}: {task.protocol}, {task.normal} against {task.anomalous}, "
            f"seed {task.seed}: {len(missing)} of {len(args.methods)} methods to go"
        )
        if not missing:
            continue
        learnt, judged, labels = images_of(task, args.source)
        for method, scores, seconds in scores_by(missing, task, learnt, judged, narrator):
            measures = evaluate_scores(scores, labels)
            key = (name, *map(str, astuple(task)), method)
            known[key] = {**measures, "seconds": seconds}
            rows = [
                (*key, *(f"{value:.6g}" for value in row.values())) for key, row in known.items()
            ]
            with atomic.Transaction() as transaction:
                files.save_csv(transaction.stage(kept), COLUMNS, rows)
            narrator.say(
                f"{method}: auroc {measures['auroc']:.4f}, average precision "
                f"{measures['average_precision']:.4f}, {seconds:.1f} s"
            )
    asked = {(name, *map(str, astuple(task)), method) for task in tasks for method in args.methods}
    rows = summarize({key: row for key, row in known.items() if key in asked})
    text = [dict(zip(rows[0], row, strict=True)) for row in rows[1:]]
    marked = ownership.mark_line_ends(json.dumps(text, indent=2) + "\n")
    with atomic.Transaction() as transaction:
        transaction.stage(Path(args.output, TABLE)).write_bytes(marked.encode())
    return rows


def load_runs(path):
    """What earlier runs have found: a dict by the values of `KEY`, as text, of dicts of numbers."""
    import csv
    import io

    from pyimagesearch.storage import files

    if not path.exists():
        return {}
    with files.open_for_reading(path) as file:
        try:
            found = list(csv.DictReader(io.StringIO(file.read().decode()), strict=True))
            return {
                tuple(row[name] for name in KEY): {
                    name: float(row[name]) for name in (*MEASURES, "seconds")
                }
                for row in found
            }
        except (ValueError, KeyError, TypeError, csv.Error) as fault:
            raise InputError(
                f"{path} is not a table of earlier results ({fault}): take it away to measure anew"
            ) from None


def summarize(runs):
    """Means of single results over the tasks of each protocol."""
    groups = defaultdict(list)
    for key, row in runs.items():
        named = dict(zip(KEY, key, strict=True))
        groups[named["source"], named["protocol"], named["method"]].append(row)
    rows = [("source", "protocol", "method", "tasks", *MEASURES, "seconds")]
    for group, found in groups.items():
        means = [sum(row[name] for row in found) / len(found) for name in (*MEASURES, "seconds")]
        rows.append((*group, f"{len(found)}", *(f"{mean:.4f}" for mean in means)))
    return rows

"""Detection of anomalies by the autoencoder beside the baselines, on the same images, as a table.

No method receives a label before its ranking is evaluated. Each result is saved in
detection_runs.csv as soon as it is known, and a later run reuses it: remove the file to measure
again.
"""

import logging
import time
from collections import defaultdict
from dataclasses import astuple
from pathlib import Path

from pyimagesearch import InputError
from pyimagesearch.benchmark.protocols import PROTOCOLS, load_task
from pyimagesearch.benchmark.runs import load_runs, save_runs, save_table
from pyimagesearch.cli import argument_types
from pyimagesearch.cli.console import Progress
from pyimagesearch.training.recipes import RECIPES, make_recipe

logger = logging.getLogger(__name__)

HELP = "detect images of other classes, beside methods without a network"
# The top share of the ranking in which `clean_top` looks for a normal image.
TOP_SHARE = 0.001
# Names of `baselines.BASELINES`, whose libraries --help does not wait for.
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
# A recipe and a score each, then the baselines.
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


def score_by_methods(methods, task, train_images, test_images):
    """Score the images of a task by each of the methods.

    Args:
        methods: Names out of `METHODS`.
        task: A `Task`. Networks receive its seed, and whether the images to train on are known to
            be clean, in which case nothing is trimmed; baselines its share of anomalies too.
        train_images, test_images: As from `load_task`.

    Yields:
        Tuples of a method, its scores, float array `(M,)`, and the seconds that training and
        scoring took.
    """
    from pyimagesearch.benchmark import baselines
    from pyimagesearch.detection import calibration, scoring
    from pyimagesearch.training.train import train

    for name in RECIPES:
        scores_of_recipe = [method.split()[1] for method in methods if method.split()[0] == name]
        if not scores_of_recipe:
            continue
        started = time.monotonic()
        recipe = make_recipe(name, trim=None if task.contam else 0.0)
        on_epoch = Progress(f"{name}: epoch")
        result = train(train_images, recipe, seed=task.seed, on_epoch=on_epoch)
        training_seconds = time.monotonic() - started
        for score in scores_of_recipe:
            reference = calibration.fit_reference(result, train_images, score, task.seed)
            started = time.monotonic()
            images = train_images if test_images is None else test_images
            scores = scoring.score_images(result.autoencoder, images, score, reference)
            yield f"{name} {score}", scores, training_seconds + time.monotonic() - started
    share = task.contam / (1 + task.contam)
    for name in (method for method in methods if method in baselines.BASELINES):
        started = time.monotonic()
        scores = baselines.BASELINES[name](train_images, test_images, task.seed, share)
        yield name, scores, time.monotonic() - started


def evaluate_scores(scores, labels):
    """Measures of a ranking: a dict by the names in `MEASURES`.

    Args:
        scores: float array `(N,)`, a higher one being more anomalous.
        labels: int array `(N,)`, 0 normal and 1 anomaly.
    """
    import numpy as np

    from pyimagesearch.detection import metrics, scoring, thresholds

    flagged = thresholds.flag(scores, thresholds.fdr_controlled(True, scores))
    evaluation = metrics.evaluate(scores, flagged, labels)
    top = scoring.rank(scores)[: max(1, round(TOP_SHARE * len(scores)))]
    return {
        "auroc": evaluation["auroc"],
        "average_precision": evaluation["average_precision"],
        "precision_at_k": evaluation["precision_at_k"],
        "clean_top": float(labels[top].all()),
        "auto_share": float(np.mean(flagged)),
        "auto_f1": evaluation["f1"] or 0.0,
    }


# The columns of the file of single results.
KEY = ("source", "protocol", "normal", "anomalous", "contam", "seed", "method")
NUMBERS = (*MEASURES, "seconds")
# The files beside the table: single results, which a later run reuses, and the table as JSON.
RUNS, TABLE = FILES = ("detection_runs.csv", "detection.json")


def add_arguments(parser):
    """Add the flags of this table."""
    add = parser.add_argument
    add(
        "--source",
        default="mnist",
        help="mnist (the default) or a .npz file in the layout of Keras's MNIST",
    )
    argument_types.add_choices(parser, "--protocols", PROTOCOLS, "which sets of images")
    argument_types.add_choices(parser, "--methods", METHODS, "which methods")
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


def table(args):
    """Measure what has not been measured yet, and summarize.

    Args:
        args: The parsed flags.

    Returns:
        A list of tuples of text, the names of the columns first. A row for each protocol and
        method: the number of tasks, and the means over them of `MEASURES` and of the seconds.

    Raises:
        InputError: If the source has no classes, or the file of single results is broken.
    """
    from pyimagesearch.data import datasets

    if datasets.is_folder(args.source):
        raise InputError(f"expected mnist or a .npz file as source, received {args.source}")
    tasks = [
        task
        for protocol in args.protocols
        for make_tasks, default_seeds in [PROTOCOLS[protocol]]
        for task in make_tasks(args.classes, args.seeds or default_seeds)
    ]
    runs_path = Path(args.output, RUNS)
    runs = load_runs(runs_path, KEY, NUMBERS)
    for number, task in enumerate(tasks):
        missing = [name for name in args.methods if run_key(args.source, task, name) not in runs]
        logger.info(
            f"{number + 1}/{len(tasks)}: {task.protocol}, {task.normal} against {task.anomalous}, "
            f"seed {task.seed}: {len(missing)} of {len(args.methods)} methods to go"
        )
        if missing:
            measure_task(task, missing, args.source, runs, runs_path)
    asked = {run_key(args.source, task, name) for task in tasks for name in args.methods}
    rows = summarize({key: run for key, run in runs.items() if key in asked})
    save_table(Path(args.output, TABLE), rows)
    return rows


def run_key(source, task, method):
    """The values of `KEY`, as text, of a method on a task."""
    return Path(source).stem, *map(str, astuple(task)), method


def measure_task(task, methods, source, runs, runs_path):
    """Add the results of some methods on a task to `runs`, and save all of them after each."""
    train_images, test_images, labels = load_task(task, source)
    for method, scores, seconds in score_by_methods(methods, task, train_images, test_images):
        measures = evaluate_scores(scores, labels)
        runs[run_key(source, task, method)] = {**measures, "seconds": seconds}
        save_runs(runs_path, KEY, NUMBERS, runs)
        logger.info(
            f"{method}: auroc {measures['auroc']:.4f}, average precision "
            f"{measures['average_precision']:.4f}, {seconds:.1f} s"
        )


def summarize(runs):
    """Means of single results over the tasks of each protocol, as rows of a table."""
    groups = defaultdict(list)
    for key, run in runs.items():
        named = dict(zip(KEY, key, strict=True))
        groups[named["source"], named["protocol"], named["method"]].append(run)
    rows = [("source", "protocol", "method", "tasks", *MEASURES, "seconds")]
    for group, found in groups.items():
        means = [sum(run[name] for run in found) / len(found) for name in (*MEASURES, "seconds")]
        rows.append((*group, f"{len(found)}", *(f"{mean:.4f}" for mean in means)))
    return rows

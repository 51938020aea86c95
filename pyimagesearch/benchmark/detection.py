"""Detection of anomalies by the autoencoder beside the baselines, on the same images, as a table.

No method receives a label before its ranking is evaluated. Each result is saved in
detection_runs.csv as soon as it is known, and a later run reuses it: remove the file to measure
again.
"""

import functools
import json
import logging
import time
from collections import defaultdict
from dataclasses import astuple, dataclass
from pathlib import Path

from pyimagesearch import InputError
from pyimagesearch.cli import argument_types
from pyimagesearch.cli.console import Progress
from pyimagesearch.storage import atomic, ownership
from pyimagesearch.training.recipes import RECIPES, make_recipe

logger = logging.getLogger(__name__)

HELP = "detect images of other classes, beside methods without a network"
# Pairs of digits that settings were chosen on, the normal one first; no pair below is among them,
# nor is 1 against 2 or against 8, by which the length of the code was chosen.
DEVELOPMENT_PAIRS = ((0, 6), (6, 3), (7, 3), (4, 8), (9, 2), (8, 5), (5, 9), (1, 7))
# The first images of the train split, as in the files of the robust deep autoencoder (Zhou and
# Paffenroth, "Anomaly detection with robust deep autoencoders", KDD 2017).
N_IMAGES_OF_FOURS = 50_000
OTHERS_PER_FOUR = 265 / 4859
N_PAIRS = 20
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


@dataclass(frozen=True)
class Task:
    """A set of images in which to find anomalies.

    Attributes:
        protocol: A key of `PROTOCOLS`.
        normal: The class that is normal.
        anomalous: The class that is not, or `others`.
        contam: Anomalies per normal image among the images to train on.
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


def fours_tasks(classes, seeds):
    """4,859 fours and 265 others (Zhou and Paffenroth, KDD 2017)."""
    return [Task("fours", 4, "others", OTHERS_PER_FOUR, seed) for seed in seeds]


def one_against_rest_tasks(classes, seeds):
    """Train on a class of the train split, test on all of the test split (Ruff et al., "Deep
    one-class classification", ICML 2018).
    """
    return [
        Task("one-against-rest", label, "others", 0, seed) for label in classes for seed in seeds
    ]


def pair_tasks(classes, seeds):
    """One image of a class for every hundred of another: a sample of the ordered pairs of digits."""
    import numpy as np

    ordered = [(a, b) for a in range(10) for b in range(10) if a != b]
    pairs = [pair for pair in ordered if pair not in DEVELOPMENT_PAIRS]
    chosen = np.random.default_rng(0).choice(len(pairs), N_PAIRS, replace=False)
    return [
        Task("pairs", *pairs[i], 0.01, seed)
        for i in sorted(chosen)
        if pairs[i][0] in classes
        for seed in seeds
    ]


# Name -> function from classes and seeds to tasks, and the default seeds.
PROTOCOLS = {
    "contaminated": (contaminated_tasks, range(10)),
    "outliers-10": (functools.partial(outlier_tasks, share=0.1, name="outliers-10"), (0,)),
    "outliers-20": (functools.partial(outlier_tasks, share=0.2, name="outliers-20"), (0,)),
    "fours": (fours_tasks, (0,)),
    "one-against-rest": (one_against_rest_tasks, (0,)),
    "pairs": (pair_tasks, (0,)),
}


def load_task(task, source):
    """Load the images of a task.

    Args:
        task: A `Task`.
        source: What `datasets.load` takes, with classes.

    Returns:
        A tuple: the images to train on, float32 `(N, H, W, C)` in [0, 1]; the images to test on in
        the same form, or `None` where they are the same; and the int array `(M,)` of the labels of
        the images to test on, 0 normal and 1 anomaly.
    """
    from dataclasses import replace

    from pyimagesearch.data import datasets

    split = "all" if task.protocol.startswith("outliers") else "train"
    loaded = datasets.load(source, split)
    if task.protocol == "fours":
        first = slice(N_IMAGES_OF_FOURS)
        loaded = replace(
            loaded,
            images=loaded.images[first],
            classes=loaded.classes[first],
            names=loaded.names[first],
        )
    train = datasets.contaminate(loaded, [task.normal], [task.anomalous], task.contam, task.seed)
    if task.protocol != "one-against-rest":
        return train.images, None, train.labels
    test = datasets.label_by_class(datasets.load(source, "test"), [task.normal])
    return train.images, test.images, test.labels


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
COLUMNS = (*KEY, *MEASURES, "seconds")
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
    runs = load_runs(runs_path)
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
    dicts = [dict(zip(rows[0], row, strict=True)) for row in rows[1:]]
    marked = ownership.mark_line_ends(json.dumps(dicts, indent=2) + "\n")
    with atomic.Transaction() as transaction:
        transaction.stage(Path(args.output, TABLE)).write_bytes(marked.encode())
    return rows


def run_key(source, task, method):
    """The values of `KEY`, as text, of a method on a task."""
    return Path(source).stem, *map(str, astuple(task)), method


def measure_task(task, methods, source, runs, runs_path):
    """Add the results of some methods on a task to `runs`, and save all of them after each."""
    from pyimagesearch.storage import files

    train_images, test_images, labels = load_task(task, source)
    for method, scores, seconds in score_by_methods(methods, task, train_images, test_images):
        measures = evaluate_scores(scores, labels)
        runs[run_key(source, task, method)] = {**measures, "seconds": seconds}
        rows = [(*key, *(f"{value:.6g}" for value in run.values())) for key, run in runs.items()]
        with atomic.Transaction() as transaction:
            files.save_csv(transaction.stage(runs_path), COLUMNS, rows)
        logger.info(
            f"{method}: auroc {measures['auroc']:.4f}, average precision "
            f"{measures['average_precision']:.4f}, {seconds:.1f} s"
        )


def load_runs(path):
    """Load the results of earlier runs: a dict by the values of `KEY`, as text, of dicts of numbers.

    Raises:
        InputError: If the file is broken.
    """
    import csv
    import io

    from pyimagesearch.storage import files

    if not path.exists():
        return {}
    with files.open_for_reading(path) as file:
        try:
            rows = list(csv.DictReader(io.StringIO(file.read().decode()), strict=True))
            return {
                tuple(row[name] for name in KEY): {
                    name: float(row[name]) for name in (*MEASURES, "seconds")
                }
                for row in rows
            }
        except (ValueError, KeyError, TypeError, csv.Error) as error:
            raise InputError(
                f"{path} is not a table of earlier results ({error}): move it away to measure again"
            ) from None


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

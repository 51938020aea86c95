"""Speed of training and scoring, beside the 2020 tutorial's way and the machine's limits, as a table.

Both sides of a comparison are measured in the same run, and of short measurements the fastest of
some repetitions counts. Compare the ratios: the seconds depend on the machine and on the hour.
"""

import logging
import os
import subprocess
import sys
import tempfile
import time
from collections import deque

from pyimagesearch.benchmark.photo_speed import photos
from pyimagesearch.benchmark.scoring_speed import matrix_rate, scoring, seconds_of
from pyimagesearch.benchmark.subprocesses import (
    FIND_PROGRAM,
    ROOT,
    SCORE_PROGRAM,
    TRAIN_PROGRAM,
    run_in_subprocess,
)
from pyimagesearch.cli import argument_types
from pyimagesearch.training.recipes import make_recipe, recommended_score

logger = logging.getLogger(__name__)

HELP = "measure training, calibration, scoring, start-up and scaling"
COLUMNS = ("part", "what", "images", "here", "there", "unit", "ratio", "there_is")
SIZES = (1000, 10_000, 60_000)
COUNTS = (10_000, 100_000, 1_000_000)
# How often each file of `scaling`, and each side of `files`, takes its turn.
TURNS = 3
# Of each script the flags that name files, and the names.
OUTPUTS = {
    "train_unsupervised_autoencoder": {
        "--dataset": "a.pickle",
        "--model": "a.model",
        "--vis": "a.png",
        "--plot": "b.png",
    },
    "find_anomalies": {"--model": "a.model", "--output": "out"},
}


def add_arguments(parser):
    """Add the flags of this table."""
    add = parser.add_argument
    count = argument_types.bounded_number(int, at_least=1)
    argument_types.add_choices(parser, "--parts", PARTS, "what to measure", metavar="PART")
    add(
        "--source",
        default="mnist",
        help="mnist (the default), digits, a .npz file in the layout of Keras's MNIST, or, for the part "
        "calibration, a folder of images",
    )
    add("--limit", type=count, metavar="N", help="train on no more than N images (default: all)")
    for flag, default, what in (
        ("--sizes", SIZES, "images to score in memory"),
        ("--counts", COUNTS, "images in a .npy file"),
        ("--files", (10_000,), "image files in a folder"),
        ("--photos", (209,), "photographs"),
    ):
        add(
            flag,
            nargs="+",
            type=count,
            default=default,
            metavar="N",
            help=f"numbers of {what} (default: {' '.join(map(str, default))})",
        )


def table(args):
    """Measure the parts that the flags name.

    Args:
        args: The parsed flags.

    Returns:
        A list of tuples of text, the names of the columns first. In a row: what was measured, on
        how many images, the figures here and there with their unit, how many times better it is
        here, and what "there" is.
    """
    rows = [COLUMNS]
    for part in args.parts:
        logger.info("measuring %s...", part)
        for what, images, here, there, unit, ratio, there_is in PARTS[part](args):
            figures = ("" if figure is None else f"{figure:.4g}" for figure in (here, there))
            better = "" if ratio is None else f"{ratio:.3g}"
            rows.append((part, what, f"{images}", *figures, unit, better, there_is))
            logger.info(" ".join(filter(None, rows[-1])))  # some take minutes
    return rows


def machine(args):
    """The processors, the GPUs and the rate of a matrix product of this machine."""
    import tensorflow as tf

    yield "processor", "", os.cpu_count(), None, "cores", None, ""
    yield "GPUs", "", len(tf.config.list_physical_devices("GPU")), None, "", None, ""
    yield "matrix product", "", matrix_rate(), None, "GFLOP/s", None, ""


def training(args):
    """A whole training by the default recipe, and by the tutorial's, on the same images."""
    import numpy as np

    from pyimagesearch.data import datasets
    from pyimagesearch.detection import calibration, metrics
    from pyimagesearch.detection.scoring import rank, score_images
    from pyimagesearch.models import architectures
    from pyimagesearch.training.train import train

    dataset = datasets.contaminate(datasets.load(args.source, "train"))
    images, labels = dataset.images[: args.limit], dataset.labels[: args.limit]
    seconds, precisions, agreements = [], [], []
    for recipe in map(make_recipe, ("robust", "tutorial")):
        score = recommended_score(recipe)
        started = time.perf_counter()
        result = train(images, recipe)
        seconds.append(time.perf_counter() - started)
        reference = calibration.fit_reference(result, images, score)
        scores = [
            score_images(
                architectures.clone_with_precision(result.autoencoder, precision),
                images,
                score,
                reference,
            )
            for precision in ("float32", "bf16")
        ]
        evaluation = metrics.evaluate(scores[0], np.zeros(len(images), bool), labels)
        precisions.append(evaluation["average_precision"])
        ranks = [np.argsort(rank(of_precision)) for of_precision in scores]
        agreements.append(np.corrcoef(*ranks)[0, 1])
    n, there_is = len(images), "--recipe tutorial"
    yield "training, without its calibration", n, *seconds, "s", seconds[1] / seconds[0], there_is
    yield "average precision", n, *precisions, "", precisions[0] / precisions[1], there_is
    yield "ranks in bf16 and float32", n, *agreements, "Spearman", None, there_is


def calibrating(args):
    """The calibration of all scores, beside the training before it, in time of the processors."""
    from pyimagesearch.data import datasets
    from pyimagesearch.detection.calibration import calibrate
    from pyimagesearch.training.train import train

    images = datasets.contaminate(datasets.load(args.source, "train")).images
    if args.limit is not None:
        images = images[: args.limit]  # of files, in memory; otherwise they are read as needed
    for recipe in ("robust", "shapes"):
        started = time.process_time()
        result = train(images, make_recipe(recipe))
        trained = time.process_time()
        calibrate(result, images)
        seconds = time.process_time() - trained, trained - started
        what = f"processor time, --recipe {recipe}"
        yield what, len(images), *seconds, "s", seconds[1] / seconds[0], "training"


def startup(args):
    """`--help` and a wrong flag, from the start of Python to its end."""
    bare = seconds_of(lambda: subprocess.run([sys.executable, "-c", ""], check=True), 5)
    for script in ("train_unsupervised_autoencoder.py", "find_anomalies.py"):
        for flag in ("--help", "--no-such-flag"):
            command = [sys.executable, str(ROOT / script), flag]
            seconds = seconds_of(lambda c=command: subprocess.run(c, capture_output=True), 5)
            yield f"{script} {flag}", "", seconds, bare, "s", bare / seconds, "python alone"


def commands(args):
    """Both scripts from their start to their end, calibration, pictures and page included."""
    seconds = {script: [] for script in OUTPUTS}
    for recipe in ("robust", "tutorial"):
        with tempfile.TemporaryDirectory() as folder:
            flags = {
                "train_unsupervised_autoencoder": ["--source", args.source, "--recipe", recipe],
                "find_anomalies": ["--dataset", f"{folder}/a.pickle"],
            }
            for script, times in seconds.items():
                started = time.perf_counter()
                run_script(script, folder, *flags[script])
                times.append(time.perf_counter() - started)
    for script, (ours, tutorials) in seconds.items():
        yield (
            f"{script}.py, start to end",
            "",
            ours,
            tutorials,
            "s",
            tutorials / ours,
            "--recipe tutorial",
        )


def run_script(script, folder, *flags):
    """Run a script from its start to its end, with all that it writes in a folder."""
    command = [sys.executable, str(ROOT / f"{script}.py"), "--quiet", *flags]
    for flag, name in OUTPUTS[script].items():
        command += [flag, f"{folder}/{name}"]
    subprocess.run(command, check=True, capture_output=True)


def scaling(args):
    """Ever more images of a memory-mapped file, each time in a process of its own.

    The scoring alone, and `find_anomalies.py` from its start to its end. Not the time on the clock but
    that of the processors: it depends little on how busy the machine is at the moment. The files take
    turns, so that each meets the same moments.
    """
    import numpy as np

    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (10_000, 28, 28), np.uint8)
    runs = {n: [] for n in args.counts}
    with tempfile.TemporaryDirectory() as folder:
        run_script("train_unsupervised_autoencoder", folder, "--source", "digits", "--epochs", "1")
        for n in args.counts:
            array = np.lib.format.open_memmap(f"{folder}/{n}.npy", "w+", np.uint8, (n, 28, 28))
            for start in range(0, n, len(pixels)):
                array[start : start + len(pixels)] = pixels[: n - start]
        for _ in range(TURNS):
            for n in args.counts:
                repetitions = min(10, max(1, max(args.counts) // n))
                runs[n].append(run_in_subprocess(SCORE_PROGRAM, [f"{folder}/{n}.npy", repetitions]))
        flags = ["--model", f"{folder}/a.model", "--output", f"{folder}/out", "--quiet"]
        flags += ["--contamination", "0.01"]
        whole = {
            n: run_in_subprocess(FIND_PROGRAM, ["--dataset", f"{folder}/{n}.npy", *flags])
            for n in args.counts
        }
    first = args.counts[0]
    worked = {n: 1e6 * np.mean([seconds for _, seconds, _ in runs[n]]) / n for n in runs}
    for what, unit, figure in (
        ("processor time of an image, scoring", "us", worked),
        ("processor time, find_anomalies.py", "s", {n: whole[n][0] for n in whole}),
        ("peak memory, find_anomalies.py", "MiB", {n: whole[n][1] for n in whole}),
    ):
        for n in args.counts:
            ratio = figure[first] / figure[n]
            yield what, n, figure[n], figure[first], unit, ratio, f"{first} images"


def files(args):
    """Scoring image files of mixed sizes, beside decoding them and nothing else."""
    import cv2
    import numpy as np

    from pyimagesearch.data import batches, image_files

    rng = np.random.default_rng(0)
    for n in args.files:
        with tempfile.TemporaryDirectory() as folder:
            for i in range(n):
                noise = rng.integers(0, 256, (*rng.integers(40, 121, 2), 3), np.uint8)
                image = cv2.GaussianBlur(noise, (0, 0), 3)
                cv2.imwrite(f"{folder}/{i}.{'png' if i % 2 else 'jpg'}", image)
            paths = image_files.list_images(folder)[0]
            images = image_files.ImageFiles(paths, (28, 28), grayscale=True)

            def decode(images=images):
                deque(batches.iterate_batches(images, range(len(images)), 256), maxlen=0)

            # In turns as well, and the mean of each: see `scaling`.
            runs = [
                (seconds_of(decode), *run_in_subprocess(SCORE_PROGRAM, [folder, 1]))
                for _ in range(TURNS)
            ]
            decoding, seconds, *_ = np.mean(runs, axis=0)
            peak = max(mebibytes for *_, mebibytes in runs)
            yield "scored", n, n / seconds, n / decoding, "images/s", decoding / seconds, "decoding"
            yield "peak memory", n, peak, None, "MiB", None, ""


def workers(args):
    """An epoch of one process, and of two that work together over the loopback interface."""
    n = args.limit or 6809
    one = run_in_subprocess(TRAIN_PROGRAM, [args.source, n, "auto"])
    two = run_in_subprocess(TRAIN_PROGRAM, [args.source, n, "multiworker"], workers=2)
    yield "2 workers, training", n, n / two, n / one, "images/s", one / two, "1 worker"


# Name -> function from the parsed flags to rows as in `COLUMNS`, without the part, figures still
# numbers.
PARTS = {
    "machine": machine,
    "training": training,
    "calibration": calibrating,
    "scoring": scoring,
    "startup": startup,
    "commands": commands,
    "growth": scaling,
    "files": files,
    "workers": workers,
    "photos": photos,
}

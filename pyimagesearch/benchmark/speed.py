"""How fast is it, against the 2020 tutorial's way and against what the machine can do?

Everything is measured side by side in one run; of what is short, the fastest of some repetitions
counts. Compare the ratios: seconds are this machine's, and this hour's.
"""

import functools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import deque

from pyimagesearch.benchmark.subprocesses import (
    ROOT,
    SCORE_PROGRAM,
    TRAIN_PROGRAM,
    run_in_subprocess,
)
from pyimagesearch.cli import argument_types, detection_arguments
from pyimagesearch.training.recipes import RECIPES, make_recipe

HELP = "measure training, scoring, start-up and growth"
COLUMNS = ("part", "what", "images", "here", "there", "unit", "ratio", "there_is")
SIZES = (1000, 10_000, 60_000)
COUNTS = (10_000, 100_000, 1_000_000)
# How often each file of `scaling`, and each way of `files`, has its turn.
TURNS = 3


def add_arguments(parser):
    """Add the flags of this table."""
    add = parser.add_argument
    count = argument_types.bounded_number(int, at_least=1)
    add(
        "--parts",
        nargs="+",
        choices=list(PARTS),
        default=list(PARTS),
        metavar="PART",
        help=f"what to measure: {', '.join(PARTS)} (default: all)",
    )
    add(
        "--source",
        default="mnist",
        help="mnist (the default), digits, or a .npz file in the layout of Keras's MNIST",
    )
    add("--limit", type=count, metavar="N", help="train on no more than N images (default: all)")
    for flag, default, what in (
        ("--sizes", SIZES, "images to be scored in memory"),
        ("--counts", COUNTS, "images in a .npy file"),
        ("--files", (10_000,), "image files in a folder"),
    ):
        add(
            flag,
            nargs="+",
            type=count,
            default=default,
            metavar="N",
            help=f"numbers of {what} (default: {' '.join(map(str, default))})",
        )


def table(args, narrator):
    """Measure the parts that are asked for.

    Args:
        args: The parsed flags.
        narrator: A `console.Narrator`.

    Returns:
        A list of tuples of text, the names of the columns first. In a row: what was measured, on
        how many images; the figures here and there, the unit of both, how many times better it is
        here, and what there is.
    """
    rows = [COLUMNS]
    for part in args.parts:
        narrator.say(f"measuring {part}...")
        for what, images, here, there, unit, ratio, there_is in PARTS[part](args):
            figures = (f"{one:.4g}" if one is not None else "" for one in (here, there))
            better = f"{ratio:.3g}" if ratio is not None else ""
            rows.append((part, what, f"{images}", *figures, unit, better, there_is))
            narrator.say(" ".join(filter(None, rows[-1])))  # some take minutes
    return rows


def seconds_of(call, repetitions=1):
    """The shortest time that a call takes."""
    times = []
    for _ in range(repetitions):
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
    return min(times)


def matrix_rate(dtype="float32", size=2048):
    """What the machine reaches in a product of two square matrices, in GFLOP/s."""
    import tensorflow as tf

    matrix = tf.cast(tf.random.normal((size, size), seed=0), dtype)
    product = tf.function(lambda: tf.reduce_sum(matrix @ matrix))
    product()
    return 2 * size**3 / seconds_of(lambda: product().numpy(), 5) / 1e9


def operations(model):
    """Floating-point operations of a network on one image: two for each multiplication.

    Example:
        >>> from pyimagesearch.models import architectures
        >>> tutorial = architectures.build(make_recipe("tutorial"), (28, 28, 1))
        >>> round(operations(tutorial) / 1e6, 1)
        13.4
    """
    import math

    total = 0
    for layer in model.layers:
        kind = type(layer).__name__
        if hasattr(layer, "layers"):
            total += operations(layer)
        elif kind in ("Conv2D", "Dense", "Conv2DTranspose"):
            # A kernel is applied at each pixel of the output; a transposed one, of the input.
            pixels = layer.input.shape if kind == "Conv2DTranspose" else layer.output.shape
            total += 2 * math.prod(layer.kernel.shape) * math.prod(pixels[1:-1])
    return total


def machine(args):
    """The ceilings: what the machine does in plain matrix products, and how many cores it has."""
    import tensorflow as tf

    single, half = matrix_rate(), matrix_rate("bfloat16")
    yield "processor", "", os.cpu_count(), None, "cores", None, ""
    yield "GPUs", "", len(tf.config.list_physical_devices("GPU")), None, "", None, ""
    yield "matrix product", "", half, single, "GFLOP/s", half / single, "float32; here bfloat16"


def training(args):
    """A whole training by default, and the tutorial's, on the same images."""
    import numpy as np

    from pyimagesearch.data import datasets
    from pyimagesearch.detection import calibration, metrics
    from pyimagesearch.detection.scoring import rank, score_images
    from pyimagesearch.models import architectures
    from pyimagesearch.training.train import train

    chosen = datasets.contaminate(datasets.load(args.source, "train"))
    images, labels = chosen.images[: args.limit], chosen.labels[: args.limit]
    score = detection_arguments.detection_parser().get_default("score")
    seconds, precision, agreement = [], [], []
    for name in ("robust", "tutorial"):
        started = time.perf_counter()
        fitted = train(images, make_recipe(name))
        seconds.append(time.perf_counter() - started)
        by = score if name == "robust" else "mse"
        reference = calibration.fit_reference(fitted, images, by)
        networks = [
            architectures.clone_with_precision(fitted.autoencoder, p) for p in ("float32", "bf16")
        ]
        scores = [score_images(network, images, by, reference) for network in networks]
        verdict = metrics.evaluate(scores[0], np.zeros(len(images), bool), labels)
        precision.append(verdict["average_precision"])
        ranks = [np.argsort(rank(one)) for one in scores]
        agreement.append(np.corrcoef(*ranks)[0, 1])
    n, there = len(images), "--recipe tutorial"
    yield "training, whole", n, *seconds, "s", seconds[1] / seconds[0], there
    yield "average precision", n, *precision, "", precision[0] / precision[1], there
    yield "ranks in bf16 and float32", n, *agreement, "Spearman", None, there


def tutorial_scoring(network, images):
    """Scores as the 2020 tutorial has them: all reconstructions, then a loop over the images."""
    import numpy as np

    reconstructions = network.predict(images, verbose=0)
    errors = []
    for image, reconstruction in zip(images, reconstructions, strict=True):
        errors.append(np.mean((image - reconstruction) ** 2))
    return np.array(errors)


def scoring(args):
    """Scoring in memory, against `predict` and a loop; whatever is compiled counts with both."""
    import numpy as np

    from pyimagesearch.data import datasets
    from pyimagesearch.detection.scoring import score_images
    from pyimagesearch.models import architectures

    pixels = datasets.load(args.source, "train").images
    most = operations(architectures.build(make_recipe("tutorial"), pixels.shape[1:]))
    for name in RECIPES:
        network = architectures.build(make_recipe(name), pixels.shape[1:], seed=0)
        ceiling = 0
        for n in args.sizes:
            images = pixels[np.arange(n) % len(pixels)]
            seconds = [float("inf")] * 3
            for _ in range(2):  # in turns, so that each finds the machine at its best
                reduced, same = (
                    architectures.clone_with_precision(network, p) for p in ("bf16", "float32")
                )
                calls = (
                    functools.partial(score_images, network, images),
                    functools.partial(tutorial_scoring, same, images),
                    functools.partial(score_images, reduced, images),
                )
                ceiling = max(ceiling, matrix_rate())
                seconds = [min(best, seconds_of(f)) for best, f in zip(seconds, calls, strict=True)]
            here, there, low = seconds
            ours, theirs, half = (call() for call in calls)
            yield name, n, n / here, n / there, "images/s", there / here, "predict and a loop"
            apart = float(np.max(np.abs(ours - theirs) / theirs))
            yield f"{name}, scores", n, apart, 1e-5, "apart", None, "the most allowed"
            rate = operations(network) * n / here / 1e9
            yield f"{name}, rate", n, rate, ceiling, "GFLOP/s", rate / ceiling, "matrix product"
            # Less arithmetic is the other way to more images.
            limit, there_is = ceiling * 1e9 / most, "the tutorial's network at that rate"
            fast = n / here
            yield f"{name}, of the limit", n, fast, limit, "images/s", fast / limit, there_is
            yield f"{name}, bf16", n, n / low, n / here, "images/s", here / low, "float32"


def startup(args):
    """`--help` and a wrong flag, from the start of Python to its end."""
    bare = seconds_of(lambda: subprocess.run([sys.executable, "-c", ""], check=True), 5)
    for script in ("train_unsupervised_autoencoder.py", "find_anomalies.py"):
        for flag in ("--help", "--no-such-flag"):
            command = [sys.executable, str(ROOT / script), flag]
            seconds = seconds_of(lambda c=command: subprocess.run(c, capture_output=True), 5)
            yield f"{script} {flag}", "", seconds, bare, "s", bare / seconds, "python alone"


def scaling(args):
    """Scoring ever more images of a memory-mapped file, each time in a process of its own.

    The machine may be busier in a minute's time, so that the time on the clock tells more of the
    minute than of the number: the time that processors spend hardly changes. The files take turns.
    """
    import numpy as np

    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (10_000, 28, 28), np.uint8)
    each = {n: [] for n in args.counts}
    with tempfile.TemporaryDirectory() as folder:
        for n in args.counts:
            array = np.lib.format.open_memmap(f"{folder}/{n}.npy", "w+", np.uint8, (n, 28, 28))
            for start in range(0, n, len(pixels)):
                array[start : start + len(pixels)] = pixels[: n - start]
        for _ in range(TURNS):
            for n in args.counts:
                repetitions = min(10, max(1, max(args.counts) // n))
                each[n].append(
                    run_in_subprocess(SCORE_PROGRAM, json.dumps([f"{folder}/{n}.npy", repetitions]))
                )

    def of(n):
        took, worked, _ = np.mean(each[n], axis=0)
        return 1e6 * worked / n, 1e6 * took / n, max(peak for *_, peak in each[n])

    what = ("processor time of an image", "us"), ("time of an image", "us"), ("peak memory", "MiB")
    first, there = args.counts[0], f"{args.counts[0]} images"
    for n in args.counts:
        for (name, unit), here, beside in zip(what, of(n), of(first), strict=True):
            yield name, n, here, beside, unit, beside / here, there


def files(args):
    """Scoring image files of mixed sizes, against decoding them and nothing else."""
    import cv2
    import numpy as np

    from pyimagesearch.data import batches, image_files

    rng = np.random.default_rng(0)
    for n in args.files:
        with tempfile.TemporaryDirectory() as folder:
            for i in range(n):
                image = cv2.GaussianBlur(
                    rng.integers(0, 256, (*rng.integers(40, 121, 2), 3), np.uint8), (0, 0), 3
                )
                cv2.imwrite(f"{folder}/{i}.{'png' if i % 2 else 'jpg'}", image)
            every = image_files.ImageFiles(
                image_files.list_images(folder)[0], (28, 28), grayscale=True
            )

            def decode(every=every):
                deque(batches.iterate_batches(every, range(len(every)), 256), maxlen=0)

            # In turns as well, and the mean of each: see `scaling`.
            turns = [
                (seconds_of(decode), *run_in_subprocess(SCORE_PROGRAM, json.dumps([folder, 1])))
                for _ in range(TURNS)
            ]
            decoding, seconds, _, _ = np.mean(turns, axis=0)
            peak = max(peak for *_, peak in turns)
            yield "scored", n, n / seconds, n / decoding, "images/s", decoding / seconds, "decoding"
            yield "peak memory", n, peak, None, "MiB", None, ""


def workers(args):
    """An epoch of one process, and of two that work together over the loopback interface."""
    settings = [args.source, args.limit or 6809]
    one = run_in_subprocess(TRAIN_PROGRAM, json.dumps([*settings, "auto"]))[0]
    two = run_in_subprocess(TRAIN_PROGRAM, json.dumps([*settings, "multiworker"]), workers=2)[0]
    n = settings[1]
    yield "2 workers, training", n, n / two, n / one, "images/s", one / two, "1 worker"


# Name -> function from the parsed flags to the rows of a part, figures still numbers.
PARTS = {
    "machine": machine,
    "training": training,
    "scoring": scoring,
    "startup": startup,
    "growth": scaling,
    "files": files,
    "workers": workers,
}

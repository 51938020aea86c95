"""Speed of scoring in memory, beside the 2020 tutorial's way and the rate of a matrix product."""

import functools
import math
import time

from pyimagesearch.training.recipes import RECIPES, make_recipe


def seconds_of(call, repetitions=1):
    """The shortest time that a call takes, in seconds."""
    times = []
    for _ in range(repetitions):
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
    return min(times)


def matrix_rate(size=2048):
    """The rate of a product of two square float32 matrices, in GFLOP/s: the machine's limit."""
    import tensorflow as tf

    matrix = tf.random.normal((size, size), seed=0)
    product = tf.function(lambda: tf.reduce_sum(matrix @ matrix))
    product()
    return 2 * size**3 / seconds_of(lambda: product().numpy(), 5) / 1e9


def count_operations(model):
    """Floating-point operations of a network on one image: two for each multiplication.

    Example:
        >>> from pyimagesearch.models import architectures
        >>> tutorial = architectures.build(make_recipe("tutorial"), (28, 28, 1))
        >>> round(count_operations(tutorial) / 1e6, 1)
        13.4
    """
    total = 0
    for layer in model.layers:
        kind = type(layer).__name__
        if hasattr(layer, "layers"):
            total += count_operations(layer)
        elif kind in ("Conv2D", "Dense", "Conv2DTranspose"):
            # A kernel is applied at each pixel of the output; a transposed one, of the input.
            shape = layer.input.shape if kind == "Conv2DTranspose" else layer.output.shape
            total += 2 * math.prod(layer.kernel.shape) * math.prod(shape[1:-1])
    return total


def score_as_tutorial(network, images):
    """Scores as the 2020 tutorial computes them: all reconstructions, then a loop over the images."""
    import numpy as np

    reconstructions = network.predict(images, verbose=0)
    errors = []
    for image, reconstruction in zip(images, reconstructions, strict=True):
        errors.append(np.mean((image - reconstruction) ** 2))
    return np.array(errors)


def scoring(args):
    """Scoring in memory, beside `predict` and a loop; both sides compile within their time."""
    import numpy as np

    from pyimagesearch.data import datasets
    from pyimagesearch.models import architectures

    pixels = datasets.load(args.source, "train").images
    most_operations = count_operations(
        architectures.build(make_recipe("tutorial"), pixels.shape[1:])
    )
    for recipe in RECIPES:
        network = architectures.build(make_recipe(recipe), pixels.shape[1:], seed=0)
        for n in args.sizes:
            images = pixels[np.arange(n) % len(pixels)]
            seconds, gflops, difference = time_scoring(network, images)
            ours, tutorials, bf16 = (n / each for each in seconds)
            yield recipe, n, ours, tutorials, "images/s", ours / tutorials, "predict and a loop"
            yield f"{recipe}, scores", n, difference, 1e-5, "apart", None, "the most allowed"
            used = count_operations(network) * ours / 1e9
            yield f"{recipe}, rate", n, used, gflops, "GFLOP/s", used / gflops, "matrix product"
            # Fewer operations are the other way to more images per second.
            limit, there_is = gflops * 1e9 / most_operations, "the tutorial's network at that rate"
            yield f"{recipe}, of the limit", n, ours, limit, "images/s", ours / limit, there_is
            yield f"{recipe}, bf16", n, bf16, ours, "images/s", bf16 / ours, "float32"


def time_scoring(network, images, turns=2):
    """Time the scoring of images, the tutorial's way and that in bf16, in turns.

    Returns:
        A tuple: a list of the shortest seconds of each of the three, the best rate of a matrix
        product in between, in GFLOP/s, and the largest relative difference of a score from the
        tutorial's.
    """
    import numpy as np

    from pyimagesearch.detection.scoring import score_images
    from pyimagesearch.models import architectures

    gflops, seconds = 0, [math.inf] * 3
    for _ in range(turns):
        # Copies, so that each side compiles anew.
        in_bf16, copy = (
            architectures.clone_with_precision(network, precision)
            for precision in ("bf16", "float32")
        )
        calls = (
            functools.partial(score_images, network, images),
            functools.partial(score_as_tutorial, copy, images),
            functools.partial(score_images, in_bf16, images),
        )
        gflops = max(gflops, matrix_rate())
        seconds = [min(best, seconds_of(call)) for best, call in zip(seconds, calls, strict=True)]
    scores, tutorial_scores = calls[0](), calls[1]()
    difference = float(np.max(np.abs(scores - tutorial_scores) / tutorial_scores))
    return seconds, gflops, difference

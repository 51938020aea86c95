"""How many images `--auto` flags, by how many of them are odd, as a table.

Each class, kind or set is made into piles with shares of odd images from none to a tenth. A pile is
trained on and ranked by the defaults, as both scripts do; the labels only count what was flagged.
"""

import logging
from pathlib import Path

from pyimagesearch.benchmark.common import add_training_flags
from pyimagesearch.cli import argument_types

logger = logging.getLogger(__name__)

HELP = "how many images --auto flags, by how many are odd"
COLUMNS = ("pile", "odd share", "images", "odd", "flagged", "odd among flagged", "in place")
CLASSES = (1, 4, 8)
SHARES = (0, 0.005, 0.01, 0.05, 0.1)
# Height and width at which photos are read, as by the training script.


def add_arguments(parser):
    """Add the flags of this table."""
    add = parser.add_argument
    add(
        "--classes",
        nargs="+",
        type=argument_types.class_label,
        default=CLASSES,
        metavar="LABEL",
        help=f"classes of --source that are normal (default: {' '.join(map(str, CLASSES))})",
    )
    add(
        "--shares",
        nargs="+",
        type=argument_types.bounded_number(float, at_least=0, below=1),
        default=SHARES,
        metavar="SHARE",
        help=f"odd images per normal one (default: {' '.join(map(str, SHARES))})",
    )
    add("--kinds", nargs=1, metavar="DIR", help="a folder with a folder of photos of each kind")
    add("--others", nargs=1, metavar="DIR", help="a folder of photos of other things")
    add("--sets", nargs="+", default=[], metavar="DIR", help="labeled sets, as of MVTec AD")
    add_training_flags(parser, epochs=10)


def inputs(args):
    """The paths that are read."""
    return [args.source, *(args.kinds or []), *(args.others or []), *args.sets]


def table(args):
    """Train on each pile, rank it, and count what `--auto` flags.

    Args:
        args: The parsed flags.

    Returns:
        A list of tuples of text, the names of the columns first. `in place` is the share of odd
        images among as many of the highest scores as there are odd ones: where it is small, no
        threshold would do.
    """
    from pyimagesearch.detection import metrics, thresholds

    rows = [COLUMNS]
    for name, share, images, labels, recipe in piles(args):
        logger.info("%s, share %s: training on %s images...", name, share, f"{len(images):,}")
        scores = rank(images, recipe, args.seed)
        flagged = thresholds.flag(scores, thresholds.fdr_controlled(True, scores))
        n = int(labels.sum())
        in_place = f"{metrics.precision_at_k(scores, labels, n):.2f}" if n else ""
        counts = len(scores), n, int(flagged.sum()), int((flagged & (labels == 1)).sum())
        rows.append((name, f"{share:g}", *map(str, counts), in_place))
        logger.info("%s", dict(zip(COLUMNS, rows[-1], strict=True)))
    return rows


def piles(args):
    """Yield the piles: name, share of odd images, images, labels, and the recipe for them."""
    import dataclasses
    import itertools

    import numpy as np

    from pyimagesearch.benchmark import photo_piles
    from pyimagesearch.data import datasets
    from pyimagesearch.data.image_files import ImageFiles
    from pyimagesearch.training.recipes import PHOTO_SIZE, RECIPES

    source = datasets.load(args.source)
    epochs = {} if args.epochs is None else {"epochs": args.epochs, "min_steps": 0}
    robust = dataclasses.replace(RECIPES["robust"], **epochs)
    for label, share in itertools.product(args.classes, args.shares):
        pile = datasets.contaminate(source, label, "others", share, args.seed)
        limit = slice(args.limit)
        yield (
            f"{source.name.split('/')[-1]} {label}",
            share,
            pile.images[limit],
            pile.labels[limit],
            robust,
        )
    photos = [
        (name, usual, photo_piles.files(args.others[0]))
        for name, usual, _ in (photo_piles.kinds(args) if args.kinds and args.others else ())
    ]
    for folder in args.sets:
        good, test = (datasets.load(folder, split, PHOTO_SIZE) for split in ("train", "test"))
        odd = [name for name, label in zip(test.names, test.labels, strict=True) if label == 1]
        photos.append((Path(folder).name, good.names, odd))
    for (name, usual, others), share in itertools.product(photos, args.shares):
        n = min(len(others), round(share * len(usual)))
        drawn = np.random.default_rng(args.seed).choice(len(others), n, replace=False)
        paths = [Path(path) for path in (*usual, *(others[i] for i in drawn))]
        labels = np.repeat([0, 1], [len(usual), n])
        yield name, share, ImageFiles(paths, PHOTO_SIZE), labels, RECIPES["photos"]


def rank(images, recipe, seed):
    """Train the recipe on images and score them, by the score that it recommends."""
    from pyimagesearch.detection import scoring
    from pyimagesearch.detection.calibration import fit_reference
    from pyimagesearch.training.recipes import recommended_score
    from pyimagesearch.training.train import train

    result, score = train(images, recipe, seed=seed), recommended_score(recipe)
    reference = fit_reference(result, images, score, seed)
    return scoring.score_images(result.autoencoder, images, score, reference)

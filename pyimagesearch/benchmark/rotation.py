"""Is a digit that lies on its side noticed, by a threshold learnt on upright ones?

All images are normal here, and those that are judged were never learnt from. The anomalies are
made of them, so that the truth is known.
"""

from pyimagesearch import InputError
from pyimagesearch.benchmark.common import add_flags, load_train_and_test, recipe_from_args, train
from pyimagesearch.cli import argument_types

HELP = "find images turned by 90 degrees"
# Digits that are no digit any more when they lie on their side.
TURNED_CLASSES = (2, 3, 4, 5, 7)
QUARTER_TURN = ("rotate", 90)
DEVIATIONS = 3
# How the networks of `rotation` differ from the recipe. Chosen on the last 10,000 images of MNIST's
# training split, by training on the others. Where one network has learnt all ten classes, the
# usual widths, 128 64, overlook three turned digits of ten, and these some two; codes of 8, 12 or
# 32 numbers overlook more, and so does denoising. A class alone has few images and needs the steps
# of some 60 epochs. Nothing is trimmed: the images are all normal.
ROTATION = {
    "filters": (256, 64),
    "epochs": 20,
    "min_steps": 9000,
    "batch_size": 32,
    "learning_rate": 3e-3,
    "trim": 0.0,
    "center": False,
}
ROTATION_OF_ALL = {**ROTATION, "batch_size": 64}


def add_arguments(parser):
    """Add the flags of this table."""
    parser.add_argument(
        "--classes",
        nargs="+",
        type=argument_types.class_label,
        default=TURNED_CLASSES,
        metavar="LABEL",
        help=f"which classes to turn (default: {' '.join(map(str, TURNED_CLASSES))})",
    )
    add_flags(parser, ROTATION["epochs"])


def table(args, narrator):
    """Tell images turned by 90 degrees from the same images upright, by a threshold.

    The threshold is the mean plus three standard deviations of the scores of images held out from
    training, as `find_anomalies.py --std 3` has it. There is a dense network for each class alone,
    and one for all classes.

    Args:
        args: The parsed flags.
        narrator: A `console.Narrator`.

    Returns:
        A list of tuples of text, the names of the columns first. A row for each network and class:
        what was learnt, what is judged, the number of images judged, and the shares of them that
        are flagged upright and turned. Last, for the network of all classes, the mean of its rows
        and the row of all images.
    """
    import numpy as np

    learnt, judged = load_train_and_test(args.source, args.seed)
    for label in args.classes:
        if not (np.any(learnt.classes == label) and np.any(judged.classes == label)):
            found = ", ".join(map(str, np.unique(learnt.classes)))
            raise InputError(f"no image is of the class {label}: choose among {found}")
    rows = [("learnt", "judged", "images", "flagged_upright", "flagged_turned")]

    def add_row(learnt_class, judged_class, n, shares):
        rows.append((learnt_class, judged_class, f"{n}", *(f"{one:.4f}" for one in shares)))

    for label in args.classes:
        of_class = learnt.images[learnt.classes == label]
        share = make_flagger(f"class {label}", of_class, ROTATION, args, narrator)
        images = judged.images[judged.classes == label]
        add_row(f"{label}", f"{label}", len(images), flagged_shares(share, images))

    share = make_flagger("all classes", learnt.images, ROTATION_OF_ALL, args, narrator)
    shares, counts = [], []
    for label in args.classes:
        images = judged.images[judged.classes == label]
        shares.append(flagged_shares(share, images))
        counts.append(len(images))
        add_row("all", f"{label}", counts[-1], shares[-1])
    add_row("all", "mean", sum(counts), np.mean(shares, axis=0))
    add_row("all", "all", len(judged.images), flagged_shares(share, judged.images))
    return rows


def make_flagger(what, images, changes, args, narrator):
    """Train the network of `rotation`, and learn its threshold.

    Args:
        what, images, args, narrator: As for `common.train`.
        changes: How the network differs from the recipe.

    Returns:
        A function from images to the share of them that is flagged.
    """
    from pyimagesearch.detection import scoring, thresholds
    from pyimagesearch.detection.calibration import calibrate

    chosen = recipe_from_args(args, "dense", **changes)
    fitted, seen = train(what, images, chosen, args, narrator, loss="bce")
    calibration, _ = calibrate(fitted, seen, args.seed)
    threshold = thresholds.standard_deviations(DEVIATIONS, None, calibration["mse"])

    def share(images):
        return thresholds.flag(scoring.score_images(fitted.autoencoder, images), threshold).mean()

    return share


def flagged_shares(share, images):
    """The shares of images that are flagged upright and turned, given what `make_flagger` returned."""
    from pyimagesearch.data import corruptions

    return share(images), share(corruptions.corrupt(images, QUARTER_TURN, seed=0))

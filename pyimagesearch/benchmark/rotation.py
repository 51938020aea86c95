"""Detection of images turned by 90 degrees, by a threshold calibrated on upright ones, as a table.

All images are normal, and the networks are tested on images that they were not trained on. The
anomalies are made from these by turning them, so that the labels are known.
"""

from pyimagesearch import InputError
from pyimagesearch.benchmark.common import (
    add_training_flags,
    load_train_and_test,
    recipe_from_args,
    train_network,
)
from pyimagesearch.cli import argument_types

HELP = "detect images turned by 90 degrees"
COLUMNS = ("learnt", "judged", "images", "flagged_upright", "flagged_turned")
# Digits that are no digit any more when they lie on their side.
TURNED_CLASSES = (2, 3, 4, 5, 7)
QUARTER_TURN = ("rotate", 90)
STANDARD_DEVIATIONS = 3
# How the network of a single class differs from the recipe. Chosen on the last 10,000 images of
# MNIST's training split, by training on the others. Of a network of all ten classes, the usual
# filters, 128 64, miss three turned digits of ten, and these some two; codes of 8, 12 or 32 numbers
# miss more, and so does denoising. A single class has few images and needs the steps of some 60
# epochs. Nothing is trimmed, since all images are normal.
CLASS_CHANGES = {
    "filters": (256, 64),
    "epochs": 20,
    "min_steps": 9000,
    "batch_size": 32,
    "learning_rate": 3e-3,
    "trim": 0.0,
    "center": False,
    "loss": "bce",
}
# The same for the network of all classes.
ALL_CLASSES_CHANGES = {**CLASS_CHANGES, "batch_size": 64}


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
    add_training_flags(parser, CLASS_CHANGES["epochs"])


def table(args):
    """Flag images turned by 90 degrees, and the same images upright, by one threshold.

    The threshold is the mean plus three standard deviations of the scores of images held out from
    training. There is a dense network for each class, and
    one for all classes.

    Args:
        args: The parsed flags.

    Returns:
        A list of tuples of text, the names of the columns first. A row for each network and class:
        the class trained on, the class tested on, the number of images tested on, and the shares
        of them that are flagged upright and turned. Last, for the network of all classes, the mean
        of its rows and the row of all images.

    Raises:
        InputError: If there are no images of a class.
    """
    import numpy as np

    train, test = load_train_and_test(args.source, args.seed)
    for label in args.classes:
        if not (np.any(train.classes == label) and np.any(test.classes == label)):
            found = ", ".join(map(str, np.unique(train.classes)))
            raise InputError(f"no image is of the class {label}: choose among {found}")
    rows = [COLUMNS]

    def add_row(trained_on, tested_on, n, shares):
        rows.append((trained_on, tested_on, f"{n}", *(f"{share:.4f}" for share in shares)))

    def test_images(label):
        return test.images[test.classes == label]

    for label in args.classes:
        images = train.images[train.classes == label]
        flagged_share = make_flagger(f"class {label}", images, CLASS_CHANGES, args)
        shares = upright_and_turned(flagged_share, test_images(label))
        add_row(f"{label}", f"{label}", len(test_images(label)), shares)

    flagged_share = make_flagger("all classes", train.images, ALL_CLASSES_CHANGES, args)
    all_shares = []
    for label in args.classes:
        all_shares.append(upright_and_turned(flagged_share, test_images(label)))
        add_row("all", f"{label}", len(test_images(label)), all_shares[-1])
    n = sum(len(test_images(label)) for label in args.classes)
    add_row("all", "mean", n, np.mean(all_shares, axis=0))
    add_row("all", "all", len(test.images), upright_and_turned(flagged_share, test.images))
    return rows


def make_flagger(name, images, changes, args):
    """Train a dense network and calibrate its threshold.

    Args:
        name, images, args: As for `common.train_network`.
        changes: How the network differs from the recipe.

    Returns:
        A function from images, `(N, H, W, C)`, to the share of them that is flagged, in [0, 1].
    """
    from pyimagesearch.detection import scoring, thresholds
    from pyimagesearch.detection.calibration import calibrate

    recipe = recipe_from_args(args, "dense", **changes)
    result, trained_on = train_network(name, images, recipe, args)
    calibration, _ = calibrate(result, trained_on, args.seed)
    # All images are normal: there are none that would spoil mean and standard deviation.
    held_out = calibration["mse"]["held_out"]
    threshold = held_out["mean"] + STANDARD_DEVIATIONS * held_out["std"]

    def flagged_share(images):
        return thresholds.flag(scoring.score_images(result.autoencoder, images), threshold).mean()

    return flagged_share


def upright_and_turned(flagged_share, images):
    """The shares of images that a function of `make_flagger` flags, upright and turned."""
    from pyimagesearch.data import corruptions

    return flagged_share(images), flagged_share(corruptions.corrupt(images, QUARTER_TURN, seed=0))

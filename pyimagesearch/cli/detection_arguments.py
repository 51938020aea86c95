"""The arguments of find_anomalies.py."""

from pathlib import Path

from pyimagesearch import InputError
from pyimagesearch.cli.argument_types import (
    SCORES,
    Parser,
    add_machine_flags,
    bounded_number,
    corruption,
    threshold_value,
)

DEFAULT_QUANTILE = 0.999
# The rule where none is named: for the images of the training that of the tutorial, or of photos one
# that finds out how many stand apart; and for other images, which may all be normal.
DEFAULT_RULE, RULE_FOR_PHOTOS = ("quantile", DEFAULT_QUANTILE), ("auto", True)
RULE_FOR_NEW = "threshold", "trained"
# Suffixes of files that are no images and hold none: told before TensorFlow is loaded.
UNREADABLE = {".doc", ".docx", ".h5", ".html", ".json", ".keras", ".md", ".mov", ".mp4", ".pdf"}
UNREADABLE |= {".txt", ".xlsx", ".zip"}
EXAMPLES = """examples:
  the images of the training, with the threshold of the tutorial:
    python find_anomalies.py --dataset output/images.pickle --model output/autoencoder.model
  new photos, with the threshold that was learned in training:
    python find_anomalies.py --dataset new_photos --model output/photos.keras --output output/new
  another threshold for scores that are there already:
    python find_anomalies.py --scores output/anomalies.csv --auto
"""
SCORE_HELP = (
    "anomaly score: auto (the default): what the model's recipe recommends; mse: mean squared error "
    "of the reconstruction; local: PaDiM-style distance at each place, the largest counts; "
    "neighbours: k-NN distance to the training images; code, of --recipe shapes and robust: "
    "Mahalanobis distance of the latent code; and of --recipe photos: combined: all of the "
    "following and local and neighbours; global: Mahalanobis distance of the mean features of the "
    "whole image; quality: of its sharpness and exposure"
)


def detection_parser():
    """Make the parser of `find_anomalies.py`."""
    parser = Parser(
        prog="python find_anomalies.py",
        description="Rank images by how badly an autoencoder reconstructs them, and flag the "
        "outliers.",
        epilog=EXAMPLES,
    )
    add = parser.add_argument
    add(
        "-d",
        "--dataset",
        nargs="+",
        metavar="PATH",
        help="image files and folders of them, one or several; or a pickle, a .npy file, a manifest "
        ".csv, or any source that the training script takes",
    )
    add("-m", "--model", metavar="PATH", help="the trained autoencoder")
    add(
        "--scores",
        metavar="CSV",
        help="in place of --dataset and --model, an anomalies.csv that is there already: another "
        "threshold for its scores",
    )
    add(
        "--split",
        choices=["train", "test", "all"],
        default="test",
        help="which split of a dataset that has splits (default: %(default)s)",
    )
    add(
        "--score",
        choices=["auto", *SCORES],
        default="auto",
        help=SCORE_HELP,
    )
    rules = parser.add_argument_group(
        "the threshold: at most one of these rules"
    ).add_mutually_exclusive_group()
    rules.add_argument(
        "-q",
        "--quantile",
        type=bounded_number(float, at_least=0, at_most=1),
        metavar="Q",
        help="flag the scores above this quantile of all scores (default: "
        f"{DEFAULT_QUANTILE}; with a model of --recipe photos --auto; and for other images than those "
        "of the training --threshold trained)",
    )
    rules.add_argument(
        "--std",
        type=bounded_number(float, above=0),
        metavar="K",
        help="median + K robust standard deviations of the scores of images held out from training",
    )
    rules.add_argument(
        "--contamination",
        type=bounded_number(float, above=0, below=1),
        metavar="SHARE",
        help="flag this share of the images",
    )
    rules.add_argument(
        "--auto", action="store_true", help="estimate that share from the scores alone"
    )
    rules.add_argument(
        "--threshold",
        type=threshold_value,
        metavar="T",
        help="a number, or trained: the threshold calibrated in training",
    )
    injected = parser.add_argument_group("synthetic anomalies, to measure how many are found")
    injected.add_argument(
        "--corrupt",
        type=corruption,
        metavar="SPEC",
        help="corrupt some of the images, and count others without a label as normal: noise:S, "
        "blur:S or rotate:D, as in training",
    )
    injected.add_argument(
        "--corrupt-fraction",
        type=bounded_number(float, above=0, at_most=1),
        default=0.05,
        metavar="SHARE",
        help="which share of the images (default: %(default)s)",
    )
    add(
        "--output",
        default="output",
        metavar="DIR",
        help="folder for the results (default: %(default)s)",
    )
    add(
        "--top",
        type=bounded_number(int, at_least=1),
        default=25,
        metavar="N",
        help="how many of the highest-ranked images to show (default: %(default)s)",
    )
    add_machine_flags(parser)
    add("--quiet", action="store_true", help="print errors only")
    return parser


def check_inputs(args):
    """See that the flags name scores, or images of a known kind and a model.

    Raises:
        InputError: If they don't.
    """
    if args.scores is not None:
        if args.dataset is not None or args.model is not None:
            raise InputError(
                "expected --scores alone or --dataset with --model, received both: leave one out"
            )
        return
    if args.dataset is None or args.model is None:
        missing = "--dataset" if args.dataset is None else "--model"
        raise InputError(
            f"the following arguments are required: {missing} (see python find_anomalies.py --help)"
        )
    for path in args.dataset:
        if Path(path).suffix.lower() in UNREADABLE and Path(path).is_file():
            raise InputError(
                f"expected images, received {path}: name image files, a folder of them, a pickle, "
                "a .npy or .npz file or a manifest .csv"
            )


def threshold_rule(args, default=DEFAULT_RULE):
    """Find which threshold rule the flags choose.

    Args:
        args: The parsed flags of the detection script.
        default: What is returned if they choose none.

    Returns:
        A tuple of a key of `thresholds.RULES` and the first argument of that rule.

    Example:
        >>> threshold_rule(detection_parser().parse_args(["-d", "x", "-m", "y", "--std", "3"]))
        ('std', 3.0)
    """
    for name in ("std", "contamination", "auto", "threshold", "quantile"):
        value = getattr(args, name)
        if value is not None and value is not False:
            return name, value
    return default


def default_rule(model, dataset):
    """The rule where no flag chooses one, as `threshold_rule` returns it.

    Args:
        model: A `TrainedModel`.
        dataset: The `Dataset` that was scored.
    """
    if model.calibration and not model.was_trained_on(dataset):
        return RULE_FOR_NEW
    return RULE_FOR_PHOTOS if model.is_of_features else DEFAULT_RULE


def format_rule(rule, value):
    """Write a threshold rule with its value as text.

    Example:
        >>> format_rule("std", 3.0), format_rule("auto", True)
        ('std 3', 'auto (Benjamini-Hochberg against the bulk of the scores)')
    """
    if rule == "auto":
        return "auto (Benjamini-Hochberg against the bulk of the scores)"
    return f"{rule} {value:g}" if isinstance(value, float) else f"{rule} {value}"

"""The arguments of find_anomalies.py."""

from pyimagesearch.cli.argument_types import (
    SCORES,
    Parser,
    add_machine_flags,
    bounded_number,
    corruption,
    threshold_value,
)

DEFAULT_QUANTILE = 0.999
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
    )
    add = parser.add_argument
    add(
        "-d",
        "--dataset",
        required=True,
        metavar="PATH",
        help="a pickle, a .npy file, a folder of images, a manifest .csv, or any source that the "
        "training script takes",
    )
    add("-m", "--model", required=True, metavar="PATH", help="the trained autoencoder")
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
        help=f"flag the scores above this quantile of all scores (default: {DEFAULT_QUANTILE})",
    )
    rules.add_argument(
        "--std",
        type=bounded_number(float, above=0),
        metavar="K",
        help="mean + K standard deviations of the scores of the images held out from training",
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


def threshold_rule(args):
    """Find which threshold rule the flags choose.

    Args:
        args: The parsed flags of the detection script.

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
    return "quantile", DEFAULT_QUANTILE


def format_rule(rule, value):
    """Write a threshold rule with its value as text.

    Example:
        >>> format_rule("std", 3.0), format_rule("auto", True)
        ('std 3', 'auto (Benjamini-Hochberg against an exponential tail)')
    """
    if rule == "auto":
        return "auto (Benjamini-Hochberg against an exponential tail)"
    return f"{rule} {value:g}" if isinstance(value, float) else f"{rule} {value}"

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


def detection_parser():
    """The flags of `find_anomalies.py`."""
    parser = Parser(
        prog="python find_anomalies.py",
        description="Rank images by how badly an autoencoder reconstructs them.",
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
        help="of a dataset that has splits (default: %(default)s)",
    )
    add(
        "--score",
        choices=SCORES,
        default="mse",
        help="mse (the default): mean squared error; local: the oddest place, against what is "
        "usual there; code: how unlikely the code is, and how much it leaves out; neighbours: error "
        "times distance to the nearest usual images",
    )
    rules = parser.add_argument_group("the threshold, by one rule").add_mutually_exclusive_group()
    rules.add_argument(
        "-q",
        "--quantile",
        type=bounded_number(float, at_least=0, at_most=1),
        metavar="Q",
        help=f"flag the scores above this quantile of them all (default: {DEFAULT_QUANTILE})",
    )
    rules.add_argument(
        "--std",
        type=bounded_number(float, above=0),
        metavar="K",
        help="mean + K standard deviations of the scores of images held out from training",
    )
    rules.add_argument(
        "--contamination",
        type=bounded_number(float, above=0, below=1),
        metavar="SHARE",
        help="flag so large a share of the images",
    )
    rules.add_argument(
        "--auto", action="store_true", help="estimate the share from the images alone"
    )
    rules.add_argument(
        "--threshold",
        type=threshold_value,
        metavar="T",
        help="a number, or trained: the one learnt on the training images",
    )
    planted = parser.add_argument_group("planted anomalies, to see whether they would be found")
    planted.add_argument(
        "--corrupt",
        type=corruption,
        metavar="SPEC",
        help="spoil some of the images: noise:S, blur:S or rotate:D, as in training",
    )
    planted.add_argument(
        "--corrupt-fraction",
        type=bounded_number(float, above=0, at_most=1),
        default=0.05,
        metavar="SHARE",
        help="how many of them (default: %(default)s)",
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
        help="how many of the highest-ranked images to picture (default: %(default)s)",
    )
    add_machine_flags(parser)
    add("--quiet", action="store_true", help="errors only")
    return parser


def threshold_rule(args):
    """The threshold rule that the flags of the detection script name, and its value."""
    for name in ("std", "contamination", "auto", "threshold", "quantile"):
        value = getattr(args, name)
        if value is not None and value is not False:
            return name, value
    return "quantile", DEFAULT_QUANTILE


def format_rule(rule, value):
    """What to call a rule with its value, as it was asked for.

    Example:
        >>> format_rule("std", 3.0), format_rule("auto", True)
        ('std 3', 'auto (Benjamini-Hochberg against an exponential tail)')
    """
    if rule == "auto":
        return "auto (Benjamini-Hochberg against an exponential tail)"
    return f"{rule} {value:g}" if isinstance(value, float) else f"{rule} {value}"

"""Argument types, and the flags that the programs have in common."""

import argparse
import difflib
import re

from pyimagesearch import InputError

# The names in the tables of `corruptions`, `scores`, `losses` and others, which --help can't wait
# to be imported.
CORRUPTIONS = ("noise", "blur", "rotate")
SCORES = ("mse", "local", "code", "neighbours", "combined", "global", "quality")
LOSSES = ("mse", "bce")
PRECISIONS = ("float32", "bf16")
STRATEGIES = ("auto", "mirrored", "multiworker")
COLORS = {"white": (255, 255, 255), "black": (0, 0, 0), "gray": (128, 128, 128)}
# A larger amount is a typing error, and would exhaust the memory.
MAX_CORRUPTION = 1000


class Parser(argparse.ArgumentParser):
    """An `ArgumentParser` that raises an `InputError` of one line where its base class exits."""

    def __init__(self, *args, **kwargs):
        # Examples at the end of the help keep their lines.
        kwargs.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(*args, **kwargs)

    def error(self, message):
        """Raise an `InputError`, which suggests the flag that an unknown one looks like."""
        unknown = (
            message.partition("unrecognized arguments: ")[2].partition(" ")[0].partition("=")[0]
        )
        similar = difflib.get_close_matches(unknown, self._option_string_actions, 1)
        meant = f"; did you mean {similar[0]}?" if unknown.startswith("-") and similar else ""
        raise InputError(f"{message}{meant} (see {self.prog} --help)")


def bounded_number(kind, at_least=None, at_most=None, below=None, above=None):
    """Make a checked type for `add_argument`.

    Args:
        kind: `int` or `float`.
        at_least, at_most: Inclusive bounds.
        below, above: Exclusive bounds.

    Returns:
        A function from the text of a flag to its value.

    Raises:
        argparse.ArgumentTypeError: From that function, if the text is not such a number.

    Example:
        >>> bounded_number(float, at_least=0, below=1)("0.5")
        0.5
        >>> bounded_number(int, at_least=1)("0")
        Traceback (most recent call last):
        ...
        argparse.ArgumentTypeError: expected a whole number, at least 1, received '0'
    """
    bounds = {"at least": at_least, "at most": at_most, "below": below, "above": above}
    expected = ["a whole number" if kind is int else "a number"]
    expected += [f"{word} {bound}" for word, bound in bounds.items() if bound is not None]

    def parse(text):
        try:
            value = kind(text)
        except ValueError:
            value = float("nan")
        # NaN compares false with everything, so that each condition refuses it.
        valid = (
            value == value
            and abs(value) != float("inf")
            and (at_least is None or value >= at_least)
            and (at_most is None or value <= at_most)
            and (below is None or value < below)
            and (above is None or value > above)
        )
        if not valid:
            percent = re.fullmatch(r"\s*(\d{1,3}(?:\.\d+)?)\s*%\s*", text)
            hint = f": {percent[1]} % is {float(percent[1]) / 100:g}" if percent else ""
            raise argparse.ArgumentTypeError(
                f"expected {', '.join(expected)}, received {text!r}{hint}"
            )
        return value

    return parse


def class_label(text):
    """A class label: a whole number where it looks like one, else the text itself."""
    try:
        return int(text)
    except ValueError:
        return text


def color(text):
    """A color, by name or code, as R, G and B in 0 to 255.

    Example:
        >>> color("white"), color("#102030")
        ((255, 255, 255), (16, 32, 48))
    """
    code = re.fullmatch("#([0-9a-fA-F]{6})", text)
    if text not in COLORS and code is None:
        raise argparse.ArgumentTypeError(
            f"expected {', '.join(COLORS)} or #RRGGBB, received {text!r}"
        )
    return COLORS[text] if code is None else tuple(bytes.fromhex(code[1]))


def corruption(text):
    """A corruption and its amount: `"noise:0.3"` to `("noise", 0.3)`.

    Example:
        >>> corruption("rotate:90")
        ('rotate', 90.0)
    """
    name, _, amount = text.partition(":")
    if name not in CORRUPTIONS:
        raise argparse.ArgumentTypeError(
            f"expected {':S, '.join(CORRUPTIONS)}:S with a number S, received {text!r}"
        )
    bounds = {"at_least": -MAX_CORRUPTION} if name == "rotate" else {"above": 0}
    return name, bounded_number(float, at_most=MAX_CORRUPTION, **bounds)(amount)


def threshold_value(text):
    """A number, or the word `trained`."""
    return text if text == "trained" else bounded_number(float)(text)


def add_machine_flags(parser):
    """Add the flags of both scripts that choose devices and precision."""
    add = parser.add_argument_group("the machine").add_argument
    add(
        "--precision",
        choices=PRECISIONS,
        default="float32",
        help="float32 (the default), or bf16: faster where the processor supports it, less exact",
    )
    add(
        "--strategy",
        choices=STRATEGIES,
        default="auto",
        help="auto (the default): the processor, or all GPUs; mirrored: all devices of this "
        "machine; multiworker: several processes or machines, from TF_CONFIG or Slurm",
    )


def add_choices(parser, flag, names, what, default="all", metavar="NAME"):
    """Add a flag that takes some of the names, or all if it is left out.

    Args:
        parser: The parser.
        flag: The flag.
        names: Its choices.
        what: What they are, for --help.
        default: How --help calls all of them.
        metavar: How --help calls one of them.
    """
    names = list(names)
    parser.add_argument(
        flag,
        nargs="+",
        choices=names,
        default=names,
        metavar=metavar,
        help=f"{what}: {', '.join(names)} (default: {default})",
    )


def add_output(parser, default):
    """Add the flag for the folder of a table, of every program that makes one."""
    parser.add_argument(
        "--output",
        default=default,
        metavar="DIR",
        help="folder for the table as CSV (default: %(default)s)",
    )

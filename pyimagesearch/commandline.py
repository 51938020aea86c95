"""What did the user ask for, and how are they answered?

The flags of both scripts, the exit statuses, the narration. Standard library only: `--help` and a
wrong flag are answered before anything slow is imported.
"""

import argparse
import dataclasses
import functools
import os
import sys
import time
import traceback
from contextlib import contextmanager

from pyimagesearch import InputError
from pyimagesearch.recipes import RECIPES


class Parser(argparse.ArgumentParser):
    """An `ArgumentParser` whose errors are one line and an `InputError`, not an exit."""

    def error(self, message):
        raise InputError(f"{message} (see python {self.prog} --help)")


def number(kind, at_least=None, at_most=None, below=None, above=None):
    """Make a checked type for `add_argument`.

    Args:
        kind: `int` or `float`.
        at_least, at_most: Bounds that are allowed themselves.
        below, above: Bounds that are not.

    Returns:
        A function from the text of a flag to its value; it raises `ArgumentTypeError`.

    Example:
        >>> number(float, at_least=0, below=1)("0.5")
        0.5
        >>> number(int, at_least=1)("0")
        Traceback (most recent call last):
        ...
        argparse.ArgumentTypeError: expected a whole number, at least 1, received '0'
    """
    bounds = {"at least": at_least, "at most": at_most, "below": below, "above": above}
    wanted = ["a whole number" if kind is int else "a number"]
    wanted += [f"{word} {bound}" for word, bound in bounds.items() if bound is not None]

    def parse(text):
        try:
            value = kind(text)
        except ValueError:
            value = float("nan")
        # Written so that NaN, which compares false with everything, is refused by any bound.
        holds = (
            value == value
            and abs(value) != float("inf")
            and (at_least is None or value >= at_least)
            and (at_most is None or value <= at_most)
            and (below is None or value < below)
            and (above is None or value > above)
        )
        if not holds:
            raise argparse.ArgumentTypeError(f"expected {', '.join(wanted)}, received {text!r}")
        return value

    return parse


def label(text):
    """A class label: a whole number where it looks like one, else the text itself."""
    try:
        return int(text)
    except ValueError:
        return text


def training_parser():
    """The flags of `train_unsupervised_autoencoder.py`."""
    robust = RECIPES["robust"]
    parser = Parser(
        prog="train_unsupervised_autoencoder.py",
        description="Train an autoencoder on images of which some few do not belong.",
    )
    add = parser.add_argument
    add("-d", "--dataset", required=True, metavar="PATH", help="where to pickle the images")
    add("-m", "--model", required=True, metavar="PATH", help="where to save the autoencoder")
    add(
        "-v",
        "--vis",
        default="recon_vis.png",
        metavar="PATH",
        help="picture of originals beside reconstructions (default: %(default)s)",
    )
    add(
        "-p",
        "--plot",
        default="plot.png",
        metavar="PATH",
        help="picture of the loss by epoch (default: %(default)s)",
    )

    images = parser.add_argument_group("the images")
    add = images.add_argument
    add(
        "--source",
        default="auto",
        help="mnist; digits (the 8x8 digits inside scikit-learn, enlarged); a .npz file in the "
        "layout of Keras's MNIST; auto (the default): mnist, or digits where it can't be had",
    )
    add(
        "--split",
        choices=["train", "test", "all"],
        default="train",
        help="of a source that has splits (default: %(default)s)",
    )
    add(
        "--valid-label",
        type=label,
        nargs="+",
        default=[1],
        metavar="LABEL",
        help="class or classes that are normal (default: 1)",
    )
    add(
        "--anomaly-label",
        type=label,
        nargs="+",
        default=[3],
        metavar="LABEL",
        help="class or classes that contaminate them, or others (default: 3)",
    )
    add(
        "--contam",
        type=number(float, at_least=0),
        metavar="SHARE",
        help="contaminating images per normal image (default: 0.01; 0.05 on digits)",
    )

    network = parser.add_argument_group(
        "the network and its training", "Where a flag is left out, the recipe decides."
    )
    add = network.add_argument
    add(
        "--recipe",
        choices=list(RECIPES),
        default="robust",
        help="robust (the default): short, ignores suspects; tutorial: the 2020 tutorial's",
    )
    add(
        "--filters",
        type=number(int, at_least=1),
        nargs="+",
        metavar="N",
        help=f"widths of the convolutions (default: {' '.join(map(str, robust.filters))})",
    )
    add(
        "--latent-dim",
        type=number(int, at_least=1),
        metavar="N",
        help=f"length of the code (default: {robust.latent_dim})",
    )
    add(
        "--batch-norm",
        action=argparse.BooleanOptionalAction,
        help=f"normalise each convolution by batch (default: {'on' if robust.batch_norm else 'off'})",
    )
    add(
        "--trim",
        type=number(float, at_least=0, below=1),
        metavar="SHARE",
        help="of the images, to be ignored by training as suspects; 0 is plain training "
        f"(default: {robust.trim})",
    )
    add(
        "--epochs",
        type=number(int, at_least=1),
        metavar="N",
        help=f"passes over the images (default: {robust.epochs}, and more on small sets, "
        f"to make {robust.min_steps} steps)",
    )
    add(
        "--batch-size",
        type=number(int, at_least=1),
        metavar="N",
        help=f"images per step (default: {robust.batch_size})",
    )
    add(
        "--lr",
        type=number(float, above=0),
        metavar="RATE",
        help=f"highest learning rate (default: {robust.learning_rate})",
    )
    add(
        "--seed",
        type=number(int, at_least=0, below=2**32),
        default=42,
        metavar="N",
        help="of everything random (default: %(default)s)",
    )
    parser.add_argument("--quiet", action="store_true", help="errors only")
    return parser


def detection_parser():
    """The flags of `find_anomalies.py`."""
    parser = Parser(
        prog="find_anomalies.py",
        description="Rank images by how badly an autoencoder reconstructs them.",
    )
    add = parser.add_argument
    add(
        "-d",
        "--dataset",
        required=True,
        metavar="PATH",
        help="the pickle that the training script wrote, or mnist, digits, or a .npz file in the "
        "layout of Keras's MNIST",
    )
    add("-m", "--model", required=True, metavar="PATH", help="the trained autoencoder")
    add(
        "--split",
        choices=["train", "test", "all"],
        default="test",
        help="of a dataset that has splits (default: %(default)s)",
    )
    add(
        "-q",
        "--quantile",
        type=number(float, at_least=0, at_most=1),
        default=0.999,
        metavar="Q",
        help="flag the scores above this quantile of them all (default: %(default)s)",
    )
    add(
        "--output",
        default="output",
        metavar="DIR",
        help="folder for the results (default: %(default)s)",
    )
    add(
        "--top",
        type=number(int, at_least=1),
        default=25,
        metavar="N",
        help="how many of the highest-ranked images to picture (default: %(default)s)",
    )
    add("--quiet", action="store_true", help="errors only")
    return parser


def chosen(recipe, args):
    """The recipe, with whatever the flags say instead."""
    given = {
        "filters": args.filters and tuple(args.filters),
        "latent_dim": args.latent_dim,
        "batch_norm": args.batch_norm,
        "epochs": args.epochs,
        # Somebody who says how many epochs means just so many.
        "min_steps": args.epochs and 0,
        "batch_size": args.batch_size,
        "learning_rate": args.lr,
        "trim": args.trim,
    }
    return dataclasses.replace(recipe, **{k: v for k, v in given.items() if v is not None})


def exit_status(main):
    """Decorate a script's `main(argv)` so that it returns an exit status and never a traceback.

    0: done. 2: an `InputError`, told in one line. 130: Ctrl-C. 1: a fault of ours, whose
    traceback is shown since only its author can mend it.
    """

    @functools.wraps(main)
    def wrapped(argv=None):
        try:
            main(argv)
            sys.stdout.flush()
            return 0
        except InputError as error:
            print("error:", " ".join(str(error).split()), file=sys.stderr)
            return 2
        except BrokenPipeError:
            # The reader of our output has left (`... | head`): nobody to tell.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 1
        except KeyboardInterrupt:
            print("\ninterrupted", file=sys.stderr)
            return 130
        except ImportError as error:
            traceback.print_exc()
            print(
                f"error: a library could not be loaded ({error}): run "
                f"{sys.executable} -m pip install -r requirements.txt",
                file=sys.stderr,
            )
            return 2
        except Exception:
            traceback.print_exc()
            print("error: this is a fault of the program, not of your input", file=sys.stderr)
            return 1

    return wrapped


@contextmanager
def tensorflow_silenced():
    """Keep TensorFlow's start-up lines off the screen while it is imported.

    Its libraries write some of them straight to the file descriptor of standard error, before
    any setting of its own is read.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    screen = os.dup(2)
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 2)
        os.close(nowhere)
        yield
    finally:
        os.dup2(screen, 2)
        os.close(screen)


class Narrator:
    """Tells what goes on: `[INFO]` lines, and a progress bar where there is a terminal.

    Args:
        quiet: Whether to say nothing at all.
        stream: Where to write; standard output unless given.
    """

    SECONDS_BETWEEN_LINES = 5

    def __init__(self, quiet=False, stream=None):
        self.quiet = quiet
        self.stream = stream or sys.stdout
        self.on_terminal = self.stream.isatty()
        self.started = self.last_line = None

    def say(self, text):
        """Print one `[INFO]` line."""
        if not self.quiet:
            print("[INFO]", text, file=self.stream, flush=True)

    def warn(self, text):
        """Print one `[WARNING]` line, to standard error."""
        if not self.quiet:
            print("[WARNING]", text, file=sys.stderr, flush=True)

    def progress(self, what, done, total, **figures):
        """Tell how far a piece of work is. Call it with `done=0` at its start.

        Args:
            what: What is counted, such as `"epoch"`.
            done: How much of it is done.
            total: Out of how much.
            **figures: What else is to be told, such as the loss; `None` is left out.
        """
        now = time.monotonic()
        if done == 0:
            self.started = self.last_line = now
        if self.quiet:
            return
        told = [f"{name} {value:.5f}" for name, value in figures.items() if value is not None]
        if 0 < done < total:
            told.append(f"{(now - self.started) * (total - done) / done:.0f} s left")
        line = ", ".join([f"{what} {done:,}/{total:,}", *told])
        if self.on_terminal:
            bar = "=" * (24 * done // total)
            # "\x1b[K" clears what a longer line has left behind.
            end = "\n" if done == total else ""
            print(f"\r[INFO] [{bar:24}] {line}\x1b[K", end=end, file=self.stream, flush=True)
        elif done == total or now - self.last_line >= self.SECONDS_BETWEEN_LINES:
            self.last_line = now
            self.say(line)

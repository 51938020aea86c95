"""What did the user ask for, and how are they answered?

The flags of both scripts, the exit statuses, the narration. Standard library only: `--help` and a
wrong flag are answered before anything slow is imported.
"""

import argparse
import functools
import os
import shlex
import sys
import time
import traceback

from pyimagesearch import InputError
from pyimagesearch.recipes import ARCHITECTURES, RECIPES, make_recipe

# The names in the tables of `corruptions`, `scoring`, `training` and others, which --help can't wait for.
CORRUPTIONS = ("noise", "blur", "rotate")
SCORES = ("mse", "local", "code", "neighbours")
LOSSES = ("mse", "bce")
PRECISIONS = ("float32", "bf16")
STRATEGIES = ("auto", "mirrored", "multiworker")
DEFAULT_QUANTILE = 0.999
# Beyond these, a flag is a slip of the finger, which would end in a fight for memory.
MAX_WIDTH = 2**16
MAX_SIDE = 2**14
MAX_CORRUPTION = 1000
OUT_OF_MEMORY = "there is not enough memory for this: take smaller images, batches or layers"


class Parser(argparse.ArgumentParser):
    """An `ArgumentParser` whose errors are one line and an `InputError`, not an exit."""

    def error(self, message):
        raise InputError(f"{message} (see python {self.prog} --help)")


def bounded_number(kind, at_least=None, at_most=None, below=None, above=None):
    """Make a checked type for `add_argument`.

    Args:
        kind: `int` or `float`.
        at_least, at_most: Bounds that are allowed themselves.
        below, above: Bounds that are not.

    Returns:
        A function from the text of a flag to its value; it raises `ArgumentTypeError`.

    Example:
        >>> bounded_number(float, at_least=0, below=1)("0.5")
        0.5
        >>> bounded_number(int, at_least=1)("0")
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


def class_label(text):
    """A class label: a whole number where it looks like one, else the text itself."""
    try:
        return int(text)
    except ValueError:
        return text


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
        help="a folder of images, also of an MVTec AD category; mnist; digits (the 8x8 digits "
        "inside scikit-learn, enlarged); a .npz file in the layout of Keras's MNIST; auto (the "
        "default): mnist, or digits where it can't be had",
    )
    add(
        "--split",
        choices=["train", "test", "all"],
        default="train",
        help="of a source that has splits (default: %(default)s)",
    )
    add(
        "--valid-label",
        type=class_label,
        nargs="+",
        default=[1],
        metavar="LABEL",
        help="class or classes that are normal (default: 1)",
    )
    add(
        "--anomaly-label",
        type=class_label,
        nargs="+",
        default=[3],
        metavar="LABEL",
        help="class or classes that contaminate them, or others (default: 3)",
    )
    add(
        "--contam",
        type=bounded_number(float, at_least=0),
        metavar="SHARE",
        help="contaminating images per normal image (default: 0.01; 0.05 on digits)",
    )
    add(
        "--image-size",
        type=bounded_number(int, at_least=1, at_most=MAX_SIDE),
        nargs="+",
        metavar="N",
        help="height and width to resize a folder's images to; one number for both (default: "
        "their own, or 128 if they differ)",
    )
    add("--grayscale", action="store_true", help="read a folder's images as one channel")
    add(
        "--max-pickle-mib",
        type=bounded_number(int, at_least=0),
        default=512,
        metavar="N",
        help="a folder's images are pickled if they take at most so many MiB (default: %(default)s)",
    )

    network = parser.add_argument_group(
        "the network and its training", "Where a flag is left out, the recipe decides."
    )
    add = network.add_argument
    add(
        "--recipe",
        choices=list(RECIPES),
        default="robust",
        help="robust (the default): short, ignores suspects; shapes: for many and various "
        "anomalies, to be judged by --score code; tutorial: the 2020 tutorial's",
    )
    add(
        "--arch",
        choices=list(ARCHITECTURES),
        help="conv (the default, but for shapes); cnn: convolutions with no dense code; dense: 784-128-64-16 and "
        "back; dense-deep: 784-512-256-128-16 and back",
    )
    add(
        "--filters",
        type=bounded_number(int, at_least=1, at_most=MAX_WIDTH),
        nargs="+",
        metavar="N",
        help="widths of the layers, from the image towards the code "
        f"(default: {' '.join(map(str, robust.filters))}, and as said for other --arch)",
    )
    add(
        "--latent-dim",
        type=bounded_number(int, at_least=1, at_most=MAX_WIDTH),
        metavar="N",
        help=f"length of the code (default: {robust.latent_dim}; 16 if dense)",
    )
    add(
        "--batch-norm",
        action=argparse.BooleanOptionalAction,
        help=f"normalise each layer by batch (default: "
        f"{'on' if robust.batch_norm else 'off'}, but on if cnn)",
    )
    add("--loss", choices=LOSSES, default="mse", help="mse (the default) or cross-entropy")
    add(
        "--corrupt",
        type=corruption,
        metavar="SPEC",
        help="learn to restore spoilt images: noise:S (Gaussian, standard deviation S on the "
        "[0, 1] scale), blur:S (Gaussian, S pixels), rotate:D (degrees)",
    )
    add(
        "--trim",
        type=bounded_number(float, at_least=0, below=1),
        metavar="SHARE",
        help="of the images, about, to be doubted by training, which ignores those that are like "
        "the most suspect; 0 is plain training "
        f"(default: {robust.trim})",
    )
    add(
        "--epochs",
        type=bounded_number(int, at_least=1),
        metavar="N",
        help=f"passes over the images (default: {robust.epochs}, and more on small sets, "
        f"to make {robust.min_steps} steps)",
    )
    add(
        "--batch-size",
        type=bounded_number(int, at_least=1),
        metavar="N",
        help=f"images per step (default: {robust.batch_size})",
    )
    add(
        "--lr",
        type=bounded_number(float, above=0),
        metavar="RATE",
        help=f"highest learning rate (default: {robust.learning_rate}; 0.001 if dense-deep)",
    )
    add(
        "--seed",
        type=bounded_number(int, at_least=0, below=2**32),
        default=42,
        metavar="N",
        help="of everything random (default: %(default)s)",
    )
    add_machine_flags(parser)
    long = parser.add_argument_group("long runs")
    long.add_argument(
        "--resume",
        action="store_true",
        help="go on from the last finished epoch of an interrupted run with the same settings",
    )
    long.add_argument(
        "--logdir",
        metavar="DIR",
        help="write the figures of each epoch to this folder, for TensorBoard",
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


def add_machine_flags(parser):
    """The flags of both scripts that say on what the work is done, and how exactly."""
    add = parser.add_argument_group("the machine").add_argument
    add(
        "--precision",
        choices=PRECISIONS,
        default="float32",
        help="float32 (the default), or bf16: faster where the processor has it, less exact",
    )
    add(
        "--strategy",
        choices=STRATEGIES,
        default="auto",
        help="auto (the default): the processor, or all GPUs; mirrored: all devices of this "
        "machine; multiworker: several processes or machines, as TF_CONFIG or Slurm says",
    )


def recipe_from_args(args):
    """The recipe that the flags of the training script name, with what else they say."""
    return make_recipe(
        args.recipe,
        args.arch,
        filters=args.filters and tuple(args.filters),
        latent_dim=args.latent_dim,
        batch_norm=args.batch_norm,
        epochs=args.epochs,
        batch_size=args.batch_size,
        learning_rate=args.lr,
        trim=args.trim,
    )


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


def reproduce_command(flags, source):
    """The command that trains again just as it was done, for a shell.

    Args:
        flags: The flags as they were given, a list of text.
        source: The source that was in the end read: what `auto` stood for.

    Example:
        >>> reproduce_command(["-d", "my images.pickle", "-m", "a.model"], "digits")
        "python train_unsupervised_autoencoder.py -d 'my images.pickle' -m a.model --source digits"
    """
    return shlex.join(["python", "train_unsupervised_autoencoder.py", *flags, "--source", source])


def image_size(args):
    """Height and width from `--image-size N` or `N M`, or `None`."""
    if args.image_size is None:
        return None
    if len(args.image_size) > 2:
        raise InputError(f"expected --image-size N or N M, received {len(args.image_size)} numbers")
    return args.image_size[0], args.image_size[-1]


def print_line(text, stream):
    """Print a line in whatever letters a stream has; what would steer a terminal is spelt out.

    Files and strangers' pickles may bear any names.
    """
    text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    encoding = getattr(stream, "encoding", None) or "utf-8"
    print(text.encode(encoding, "backslashreplace").decode(encoding), file=stream, flush=True)


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
            print_line("error: " + " ".join(str(error).split()), sys.stderr)
            return 2
        except MemoryError:
            print_line(f"error: {OUT_OF_MEMORY}", sys.stderr)
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
        except Exception as error:
            # TensorFlow's own, which can't be named without importing it.
            if type(error).__name__ == "ResourceExhaustedError":
                print_line(f"error: {OUT_OF_MEMORY}", sys.stderr)
                return 2
            traceback.print_exc()
            print("error: this is a fault of the program, not of your input", file=sys.stderr)
            return 1

    return wrapped


class Narrator:
    """Tells what goes on: `[INFO]` lines, and a progress bar where there is a terminal.

    Args:
        quiet: Whether to say nothing at all.
        stream: Where to write; standard output unless given.

    Attributes:
        log: Function that is told the figures of each epoch too, or `None`.
    """

    SECONDS_BETWEEN_LINES = 5

    def __init__(self, quiet=False, stream=None):
        self.quiet = quiet
        self.stream = stream or sys.stdout
        self.log = None
        self.on_terminal = self.stream.isatty()
        self.started = self.last_line = self.begun = None

    def say(self, text):
        """Print one `[INFO]` line."""
        if not self.quiet:
            print_line(f"[INFO] {text}", self.stream)

    def warn(self, text):
        """Print one `[WARNING]` line, to standard error."""
        if not self.quiet:
            print_line(f"[WARNING] {text}", sys.stderr)

    def own_pictures_left_out(self, paths):
        """Warn of pictures in a folder of images that the suite itself has written, if any."""
        if len(paths) == 1:
            self.warn(f"1 picture that this suite has written is not read as an image: {paths[0]}")
        elif paths:
            self.warn(
                f"{len(paths):,} pictures that this suite has written are not read as images, "
                f"such as {paths[0]}"
            )

    def progress(self, what, done, total, begins=False, **figures):
        """Tell how far a piece of work is. Call it with `done=0` at its start.

        Args:
            what: What is counted, such as `"epoch"`.
            done: How much of it is done.
            total: Out of how much.
            begins: Whether this is the start although something is done already.
            **figures: What else is to be told, such as the loss; `None` is left out.
        """
        now = time.monotonic()
        if done == 0 or begins:
            self.started = self.last_line = now
            self.begun = done
        if self.quiet:
            return
        told = [f"{name} {value:.5f}" for name, value in figures.items() if value is not None]
        if self.begun < done < total:
            pace = (now - self.started) / (done - self.begun)
            told.append(f"{pace * (total - done):.0f} s left")
        line = ", ".join([f"{what} {done:,}/{total:,}", *told])
        if self.on_terminal:
            bar = "=" * (24 * done // total)
            # "\x1b[K" clears what a longer line has left behind.
            end = "\n" if done == total else ""
            print(f"\r[INFO] [{bar:24}] {line}\x1b[K", end=end, file=self.stream, flush=True)
        elif done == total or now - self.last_line >= self.SECONDS_BETWEEN_LINES:
            self.last_line = now
            self.say(line)

    def epoch(self, done, total, loss=None, val_loss=None, **others):
        """Tell how far the training is, as `pipeline.train` reports it, and the `log` too."""
        if self.log is not None:
            self.log(done, loss=loss, val_loss=val_loss, **others)
        self.progress("epoch", done, total, loss is None, loss=loss, val_loss=val_loss)

    def files_checked(self, done, total):
        """Tell how many files of a folder have been looked at."""
        self.progress("files checked", done, total)

"""The arguments of train_unsupervised_autoencoder.py.

Only the standard library is imported, so that `--help` and a wrong flag are answered at once.
"""

import argparse
import shlex

from pyimagesearch import InputError
from pyimagesearch.cli.argument_types import (
    LOSSES,
    Parser,
    add_machine_flags,
    bounded_number,
    class_label,
    corruption,
)
from pyimagesearch.training.recipes import ARCHITECTURES, RECIPES, make_recipe

# Larger values are typing errors, and would exhaust the memory.
MAX_WIDTH = 2**16
MAX_SIDE = 2**14


def training_parser():
    """Make the parser of `train_unsupervised_autoencoder.py`."""
    robust = RECIPES["robust"]
    parser = Parser(
        prog="python train_unsupervised_autoencoder.py",
        description="Train an autoencoder on images, a few of which may be anomalies.",
    )
    add = parser.add_argument
    add("-d", "--dataset", required=True, metavar="PATH", help="pickle file to save the images to")
    add("-m", "--model", required=True, metavar="PATH", help="file to save the autoencoder to")
    add(
        "-v",
        "--vis",
        default="recon_vis.png",
        metavar="PATH",
        help="picture of images beside their reconstructions (default: %(default)s)",
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
        "default): mnist, or digits where it can't be downloaded",
    )
    add(
        "--split",
        choices=["train", "test", "all"],
        default="train",
        help="which split of a source that has splits (default: %(default)s)",
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
        help="class or classes of the anomalies, or others: all that are not normal (default: 3)",
    )
    add(
        "--contam",
        type=bounded_number(float, at_least=0),
        metavar="SHARE",
        help="contamination: anomalies per normal image (default: 0.01; 0.05 on digits)",
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
        help="pickle a folder's images if they take at most so many MiB (default: %(default)s)",
    )

    network = parser.add_argument_group(
        "the network and its training", "Where a flag is left out, the recipe decides."
    )
    add = network.add_argument
    add(
        "--recipe",
        choices=list(RECIPES),
        default="robust",
        help="robust (the default): short, and outliers get little weight; shapes: for many and "
        "various anomalies, to be scored by --score code; tutorial: that of the 2020 tutorial",
    )
    add(
        "--arch",
        choices=list(ARCHITECTURES),
        help="conv (the default, except for shapes): convolutions and a dense latent code; cnn: "
        "convolutions alone; dense: 784-128-64-16 and back; dense-deep: 784-512-256-128-16 and "
        "back",
    )
    add(
        "--filters",
        type=bounded_number(int, at_least=1, at_most=MAX_WIDTH),
        nargs="+",
        metavar="N",
        help="widths of the layers, from the image to the latent code "
        f"(default: {' '.join(map(str, robust.filters))}; as above for the other --arch)",
    )
    add(
        "--latent-dim",
        type=bounded_number(int, at_least=1, at_most=MAX_WIDTH),
        metavar="N",
        help=f"length of the latent code (default: {robust.latent_dim}; 16 if dense)",
    )
    add(
        "--batch-norm",
        action=argparse.BooleanOptionalAction,
        help="normalize each layer by batch (default: "
        f"{'on' if robust.batch_norm else 'off'}; on for cnn)",
    )
    add(
        "--loss",
        choices=LOSSES,
        default="mse",
        help="mse (the default): mean squared error; bce: binary cross-entropy",
    )
    add(
        "--corrupt",
        type=corruption,
        metavar="SPEC",
        help="train to restore corrupted images: noise:S (Gaussian, standard deviation S on the "
        "[0, 1] scale), blur:S (Gaussian, S pixels), rotate:D (degrees)",
    )
    add(
        "--trim",
        type=bounded_number(float, at_least=0, below=1),
        metavar="SHARE",
        help="about which share of the images training may leave out as outliers; 0 leaves out "
        f"none (default: {robust.trim})",
    )
    add(
        "--epochs",
        type=bounded_number(int, at_least=1),
        metavar="N",
        help=f"passes over the images (default: {robust.epochs}, and more on few images, to make "
        f"{robust.min_steps} steps)",
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
        help=f"highest learning rate (default: {robust.learning_rate}; 0.001 for dense-deep)",
    )
    add(
        "--seed",
        type=bounded_number(int, at_least=0, below=2**32),
        default=42,
        metavar="N",
        help="seed of everything random (default: %(default)s)",
    )
    add_machine_flags(parser)
    long = parser.add_argument_group("long runs")
    long.add_argument(
        "--resume",
        action="store_true",
        help="resume an interrupted run with the same settings after its last complete epoch",
    )
    long.add_argument(
        "--logdir",
        metavar="DIR",
        help="write the losses of each epoch to this folder, for TensorBoard",
    )
    parser.add_argument("--quiet", action="store_true", help="print errors only")
    return parser


def recipe_from_args(args):
    """Make the recipe that the flags of the training script name, changed by their other values."""
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
        loss=args.loss,
        corruption=args.corrupt,
    )


def reproduce_command(flags, source):
    """Write the shell command that repeats a training.

    Args:
        flags: The flags as they were typed, a list of text.
        source: The source that was read, which `auto` may have chosen: it replaces that of the
            flags.

    Returns:
        One line of text.

    Example:
        >>> reproduce_command(["-d", "my images.pickle", "--source", "auto"], "digits")
        "python train_unsupervised_autoencoder.py -d 'my images.pickle' --source digits"
    """
    parser = Parser(add_help=False)
    parser.add_argument("--source")
    _, others = parser.parse_known_args(flags)
    return shlex.join(["python", "train_unsupervised_autoencoder.py", *others, "--source", source])


def image_size(args):
    """Height and width in pixels from `--image-size N` or `N M`.

    Args:
        args: The parsed flags of the training script.

    Returns:
        A tuple of height and width; `None` without the flag.

    Raises:
        InputError: If the flag has more than two numbers.
    """
    if args.image_size is None:
        return None
    if len(args.image_size) > 2:
        raise InputError(f"expected --image-size N or N M, received {len(args.image_size)} numbers")
    return args.image_size[0], args.image_size[-1]

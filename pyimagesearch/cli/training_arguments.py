"""The arguments of train_unsupervised_autoencoder.py.

Only the standard library is imported, so that `--help` and a wrong flag are answered at once.
"""

import argparse
import dataclasses
import logging
import shlex

from pyimagesearch import InputError
from pyimagesearch.cli.argument_types import (
    LOSSES,
    Parser,
    add_machine_flags,
    bounded_number,
    class_label,
    color,
    corruption,
)
from pyimagesearch.training.recipes import (
    ARCHITECTURES,
    BACKBONES,
    PHOTO_SIZE,
    RECIPES,
    make_recipe,
)

logger = logging.getLogger(__name__)

# Larger values are typing errors, and would exhaust the memory.
MAX_WIDTH = 2**16
MAX_SIDE = 2**14
# Shorter side in pixels from which on image files are photographs to --recipe auto.
MIN_PHOTO_SIDE = 64
EXAMPLES = """examples:
  the tutorial:
    python train_unsupervised_autoencoder.py --dataset output/images.pickle --model output/autoencoder.model
  a folder of photos:
    python train_unsupervised_autoencoder.py --source photos --dataset output/photos.pickle --model output/photos.keras
  small drawings, by a network of pixels:
    python train_unsupervised_autoencoder.py --source icons --recipe robust --dataset output/icons.pickle --model output/icons.keras
"""
# Flags of networks of pixels alone.
PIXEL_FLAGS = ("arch", "filters", "batch_norm", "batch_size", "lr", "corrupt")


def training_parser():
    """Make the parser of `train_unsupervised_autoencoder.py`."""
    robust = RECIPES["robust"]
    parser = Parser(
        prog="python train_unsupervised_autoencoder.py",
        description="Train an autoencoder on images, a few of which may be anomalies.",
        epilog=EXAMPLES,
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
        metavar="LABEL",
        help="class or classes that are normal (default: 1); of image files, names of folders "
        "(default: all images are taken as they are)",
    )
    add(
        "--anomaly-label",
        type=class_label,
        nargs="+",
        metavar="LABEL",
        help="class or classes of the anomalies, or others: all that are not normal (default: 3; "
        "of image files others)",
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
        "256 for --recipe photos; else their own, or 128 if they differ)",
    )
    add(
        "--grayscale",
        action=argparse.BooleanOptionalAction,
        help="read a folder's images as one channel (default: if all are gray)",
    )
    add(
        "--aspect-ratio",
        choices=["stretch", "pad", "crop"],
        default="stretch",
        help="fit images of another ratio of width to height: stretch (the default), pad with the "
        "background, or crop to the middle",
    )
    add(
        "--background",
        type=color,
        default="white",
        metavar="COLOR",
        help="name or #RRGGBB code of the color behind transparent pixels, and beside padded "
        "images (default: %(default)s)",
    )
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
        choices=["auto", *RECIPES],
        default="auto",
        help="auto (the default): photos for image files, robust for mnist, digits, arrays, images "
        f"of less than {MIN_PHOTO_SIDE} pixels, and where a flag below is given that belongs to "
        "networks of pixels; photos: an autoencoder of the features of a pretrained network; "
        "robust: a network of pixels, in whose training outliers get little weight; shapes: for "
        "many and various anomalies of small images; tutorial: that of the 2020 tutorial",
    )
    add(
        "--backbone",
        choices=BACKBONES,
        help="the pretrained network of --recipe photos: efficientnet-lite0 (the default), whose "
        "weights come with the installation, or one of keras.applications, whose weights Keras "
        "downloads once",
    )
    add(
        "--backbone-weights",
        metavar="PATH",
        help="a file of weights of the backbone, instead of the installed or downloaded ones",
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
        f"none (default: {robust.trim}; of photos, at most {RECIPES['photos'].trim})",
    )
    add(
        "--epochs",
        type=bounded_number(int, at_least=1),
        metavar="N",
        help=f"passes over the images (default: {robust.epochs}, and more on few images, to make "
        f"{robust.min_steps} steps); of photos, rounds of fitting (default: "
        f"{RECIPES['photos'].epochs})",
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


def recipe_for(args, source):
    """Choose the recipe for a source, and the size at which its image files are read.

    Of arrays with classes, it also sets the classes that are normal and odd by default.

    Args:
        args: The parsed flags of the training script.
        source: The `sources.Source` that they name.

    Returns:
        A pair: the recipe, and the source, whose files are resized to `PHOTO_SIZE` for the recipe
        `photos`, unless --image-size says otherwise.

    Raises:
        InputError: If a flag does not go with the recipe.
    """
    is_files = hasattr(source.images, "paths")
    if source.classes is not None and not is_files:
        # As in the tutorial. Noted with the flags, for detection on other images of the source.
        args.valid_label = [1] if args.valid_label is None else args.valid_label
        args.anomaly_label = [3] if args.anomaly_label is None else args.anomaly_label
    name = args.recipe
    if name == "auto":
        large = min(source.images.shape[1:3]) >= MIN_PHOTO_SIDE
        name = "photos" if is_files and large and not has_pixel_flags(args) else "robust"
        other = "--recipe robust trains on pixels" if name == "photos" else "of pixels"
        logger.info(f"recipe {name} ({other})")
    recipe = recipe_from_args(args, name)
    if name == "photos" and is_files and args.image_size is None:
        images = dataclasses.replace(source.images, size=PHOTO_SIZE)
        source = dataclasses.replace(source, images=images)
    return recipe, source


def has_pixel_flags(args):
    """Whether a flag is given that belongs to networks of pixels alone."""
    given = [getattr(args, name) for name in PIXEL_FLAGS]
    return args.loss != "mse" or any(value is not None for value in given)


def recipe_from_args(args, name=None):
    """Make a recipe, changed by the flags of the training script.

    Args:
        args: The parsed flags.
        name: A key of `RECIPES`; `None`: the one that the flags name. Where `auto` does not know
            the images yet, the flags are checked as for the recipe that goes with them.

    Raises:
        InputError: If a flag does not go with the recipe.
    """
    if name is None:
        name = args.recipe
        if name == "auto":
            name = "robust" if has_pixel_flags(args) else "photos"
    if name != "photos" and (args.backbone or args.backbone_weights):
        flag = "--backbone" if args.backbone else "--backbone-weights"
        raise InputError(
            f"expected --recipe photos to go with {flag}, received --recipe {name}: leave one out"
        )
    return make_recipe(
        name,
        args.arch,
        backbone=args.backbone if name == "photos" else None,
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


def reading(args, on_progress=None):
    """How the flags say that image files are read: keyword arguments of `datasets.load`.

    Args:
        args: The parsed flags of the training script.
        on_progress: As for `datasets.load`.

    Raises:
        InputError: If `--image-size` has more than two numbers.
    """
    size = args.image_size
    if size is not None:
        if len(size) > 2:
            raise InputError(f"expected --image-size N or N M, received {len(size)} numbers")
        size = size[0], size[-1]
    return {
        "size": size,
        "grayscale": args.grayscale,
        "aspect_ratio": args.aspect_ratio,
        "background": args.background,
        "on_progress": on_progress,
    }

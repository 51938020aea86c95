"""Images, training and command-line flags that the tables of the benchmark share.

Like the tables themselves, this is imported before --help is answered: what is slow to import is
imported inside the functions.
"""

import logging

from pyimagesearch import InputError
from pyimagesearch.cli import argument_types
from pyimagesearch.cli.console import epoch_progress
from pyimagesearch.training.recipes import make_recipe

logger = logging.getLogger(__name__)


def load_train_and_test(source, seed):
    """Load the images to train on and the images to test on.

    Args:
        source: `mnist`, `digits` or the path of a `.npz` file, as `datasets.load` takes them.
        seed: Of the halving of the digits, which have no splits.

    Returns:
        A tuple of two `sources.Source`, train and test, with classes.

    Raises:
        InputError: If the source can't be loaded, or has no classes.
    """
    import dataclasses

    from pyimagesearch.data import datasets
    from pyimagesearch.training.train import split

    if datasets.is_folder(source):
        raise InputError(
            f"expected mnist, digits or a .npz file as source of images with classes, received "
            f"the folder {source}: name another source"
        )
    loaded = datasets.load(source, "train")
    if loaded.name != "digits":
        return loaded, datasets.load(source, "test")

    def subset(indices):
        return dataclasses.replace(
            loaded,
            images=loaded.images[indices],
            classes=loaded.classes[indices],
            names=[loaded.names[i] for i in indices],
        )

    return tuple(map(subset, split(len(loaded.images), 0.5, seed)))


def recipe_from_args(args, arch, **changes):
    """The recipe of an architecture with changes; `--epochs` N means exactly N epochs."""
    if args.epochs is not None:
        changes |= {"epochs": args.epochs, "min_steps": 0}
    return make_recipe("robust", arch, **changes)


def train_network(name, images, recipe, args):
    """Train a network on four fifths of the images, as the training script does.

    Args:
        name: What to call the network in messages.
        images: float32 array `(N, H, W, C)` in [0, 1]; no more than `--limit` are taken.
        recipe: A `recipes.Recipe`.
        args: The parsed flags.

    Returns:
        A tuple of a `train.TrainingResult` and the images that it was trained on or held out.
    """
    import numpy as np

    from pyimagesearch.training.train import train

    if args.limit is not None:
        images = np.random.default_rng(args.seed).permutation(images)[: args.limit]
    logger.info("%s: training on four fifths of %s images...", name, f"{len(images):,}")
    result = train(images, recipe, seed=args.seed, on_epoch=epoch_progress())
    return result, images


def add_training_flags(parser, epochs):
    """Add the flags of the tables that train networks on images with classes.

    Args:
        parser: The parser of the table.
        epochs: The default number of epochs, for --help.
    """
    add = parser.add_argument
    count = argument_types.bounded_number(int, at_least=1)
    add(
        "--source",
        default="mnist",
        help="mnist (the default), digits, or a .npz file in the layout of Keras's MNIST",
    )
    add(
        "--epochs",
        type=count,
        metavar="N",
        help=f"passes over the images (default: {epochs}, and more on small sets)",
    )
    add(
        "--limit",
        type=count,
        metavar="N",
        help="train each network on no more than N images (default: all)",
    )
    add(
        "--seed",
        type=argument_types.bounded_number(int, at_least=0, below=2**32),
        default=42,
        metavar="N",
        help="of everything random (default: %(default)s)",
    )

"""What do the tables of the benchmark share? Their images, their training, their flags.

Like the tables themselves, this is imported before --help is answered: what is slow to import is
imported inside the functions.
"""

import dataclasses

from pyimagesearch import InputError
from pyimagesearch.cli import argument_types
from pyimagesearch.training.recipes import make_recipe


def load_train_and_test(source, seed):
    """The images to learn from and the images to judge.

    Args:
        source: `mnist`, `digits` or the path of a `.npz` file, as `datasets.load` takes them.
        seed: Of the halving of the digits, which have no splits.

    Returns:
        Two `sources.Source`, with classes.

    Raises:
        InputError: If it can't be had, or has no classes.
    """
    import dataclasses

    from pyimagesearch.data import datasets
    from pyimagesearch.training.train import split

    if datasets.is_folder(source):
        raise InputError(
            f"expected mnist, digits or a .npz file as source of images with classes, received "
            f"the folder {source}: name another source"
        )
    learnt = datasets.load(source, "train")
    if learnt.name != "digits":
        return learnt, datasets.load(source, "test")

    def half(indices):
        return dataclasses.replace(
            learnt,
            images=learnt.images[indices],
            classes=learnt.classes[indices],
            names=[learnt.names[i] for i in indices],
        )

    return tuple(map(half, split(len(learnt.images), 0.5, seed)))


def recipe_from_args(args, arch, **changes):
    """The recipe of an architecture, with changes; `--epochs`, where given, means just so many."""
    if args.epochs is not None:
        changes |= {"epochs": args.epochs, "min_steps": 0}
    return make_recipe("robust", arch, **changes)


def train(what, images, chosen, args, narrator, loss="mse"):
    """Train a network on four fifths of the images, as the training script does.

    Args:
        what: What to call the network as it is told how far it is.
        images: float32 array `(N, H, W, C)` in [0, 1]; no more than `--limit` are taken.
        chosen: A `recipes.Recipe`.
        args: The parsed flags.
        narrator: A `console.Narrator`.
        loss: A key of `losses.LOSSES`.

    Returns:
        A tuple of a `train.TrainingResult` and the images that it was fitted to.
    """
    import numpy as np

    from pyimagesearch.training import train as training_of

    if args.limit is not None:
        images = np.random.default_rng(args.seed).permutation(images)[: args.limit]
    narrator.say(f"{what}: training on four fifths of {len(images):,} images...")
    chosen = dataclasses.replace(chosen, loss=loss)
    fitted = training_of.train(images, chosen, seed=args.seed, on_epoch=narrator.epoch)
    return fitted, images


def add_flags(parser, epochs):
    """Add the flags that every table has which trains networks on images with classes.

    Args:
        parser: The parser of the table.
        epochs: What to say of the number of epochs if no flag says it, for --help.
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
        help="learn from no more than N images a network (default: all)",
    )
    add(
        "--seed",
        type=argument_types.bounded_number(int, at_least=0, below=2**32),
        default=42,
        metavar="N",
        help="of everything random (default: %(default)s)",
    )

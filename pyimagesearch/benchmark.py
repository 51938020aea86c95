"""How do the networks compare? Tables on images with classes, printed and saved as CSV.

python -m pyimagesearch.benchmark architectures --source PATH/TO/mnist.npz
python -m pyimagesearch.benchmark rotation --source PATH/TO/mnist.npz

All images are normal here, and those that are judged were never learnt from. The anomalies are
made of them, so that the truth is known.
"""

import functools
import sys
from pathlib import Path

from pyimagesearch import InputError, commandline
from pyimagesearch.recipes import ARCHITECTURES, RECIPES, recipe
from pyimagesearch.silence import tensorflow_silenced

STRENGTHS = (0.1, 0.2, 0.3, 0.5)
# Digits that are no digit any more when they lie on their side.
TURNED_CLASSES = (2, 3, 4, 5, 7)
QUARTER_TURN = ("rotate", 90)
DEVIATIONS = 3
# How the networks of `rotation` differ from the recipe. Chosen on the last 10,000 images of MNIST's
# training split, by training on the others. Where one network has learnt all ten classes, the
# usual widths, 128 64, overlook three turned digits of ten, and these some two; codes of 8, 12 or
# 32 numbers overlook more, and so does denoising. A class alone has few images and needs the steps
# of some 60 epochs. Nothing is trimmed: the images are all normal.
ROTATION = {
    "filters": (256, 64),
    "epochs": 20,
    "min_steps": 9000,
    "learning_rate": 3e-3,
    "trim": 0.0,
}
ROTATION_OF_ALL = {**ROTATION, "batch_size": 64}


def architectures(args, narrator):
    """Tell images with Gaussian noise from the same images without, by each network's error.

    Args:
        args: What `parser` has parsed.
        narrator: A `commandline.Narrator`.

    Returns:
        A list of tuples of text, the names of the columns first. A row for each architecture and
        each standard deviation of the noise, on the [0, 1] scale: the mean squared error of the
        images without and with noise, the ratio of the two, AUROC, the number of the network's
        parameters, and the seconds that its training took.
    """
    import numpy as np

    from pyimagesearch import corruptions, metrics, scoring

    learnt, judged = open_source(args.source, args.seed)
    clean = judged.images
    # 0 for the clean images, 1 for the noisy ones that follow them.
    truth = np.repeat([0, 1], len(clean))
    table = [
        ("architecture", "noise", "normal", "noisy", "ratio", "auroc", "parameters", "seconds"),
    ]
    for arch in args.archs:
        fitted, _ = train(arch, learnt.images, recipe_of(args, arch), args, narrator)
        autoencoder = fitted.autoencoder
        narrator.say(f"{arch}: scoring {len(clean):,} images, clean and noisy...")
        of_clean = scoring.score_images(autoencoder, clean)
        for strength in args.strengths:
            noisy = corruptions.corrupt(clean, ("noise", strength), args.seed)
            of_noisy = scoring.score_images(autoencoder, noisy)
            scores = np.concatenate([of_clean, of_noisy])
            # Only the ranking counts: nothing is flagged.
            verdict = metrics.evaluate(scores, np.zeros(len(scores), bool), truth)
            normal, spoilt = of_clean.mean(dtype=float), of_noisy.mean(dtype=float)
            table.append(
                (
                    arch,
                    f"{strength:g}",
                    f"{normal:.5f}",
                    f"{spoilt:.5f}",
                    f"{spoilt / normal:.2f}",
                    f"{verdict['auroc']:.5f}",
                    str(autoencoder.count_params()),
                    f"{fitted.history.seconds:.1f}",
                )
            )
    return table


def rotation(args, narrator):
    """Tell images turned by 90 degrees from the same images upright, by a threshold.

    The threshold is the mean plus three standard deviations of the scores of images held out from
    training, as `find_anomalies.py --std 3` has it. There is a dense network for each class alone,
    and one for all classes.

    Args:
        args: What `parser` has parsed.
        narrator: A `commandline.Narrator`.

    Returns:
        A list of tuples of text, the names of the columns first. A row for each network and class:
        what was learnt, what is judged, the number of images judged, and the shares of them that
        are flagged upright and turned. Last, for the network of all classes, the mean of its rows
        and the row of all images.
    """
    import numpy as np

    learnt, judged = open_source(args.source, args.seed)
    for label in args.classes:
        if not (np.any(learnt.classes == label) and np.any(judged.classes == label)):
            found = ", ".join(map(str, np.unique(learnt.classes)))
            raise InputError(f"no image is of the class {label}: choose among {found}")
    table = [("learnt", "judged", "images", "flagged_upright", "flagged_turned")]

    def add_row(learnt_class, judged_class, n, shares):
        table.append((learnt_class, judged_class, f"{n}", *(f"{one:.4f}" for one in shares)))

    for label in args.classes:
        of_class = learnt.images[learnt.classes == label]
        share = flagger(f"class {label}", of_class, ROTATION, args, narrator)
        images = judged.images[judged.classes == label]
        add_row(f"{label}", f"{label}", len(images), shares_flagged(share, images))

    share = flagger("all classes", learnt.images, ROTATION_OF_ALL, args, narrator)
    shares, counts = [], []
    for label in args.classes:
        images = judged.images[judged.classes == label]
        shares.append(shares_flagged(share, images))
        counts.append(len(images))
        add_row("all", f"{label}", counts[-1], shares[-1])
    add_row("all", "mean", sum(counts), np.mean(shares, axis=0))
    add_row("all", "all", len(judged.images), shares_flagged(share, judged.images))
    return table


# Name -> function from the parsed flags and a narrator to a table of text.
TABLES = {"architectures": architectures, "rotation": rotation}


def open_source(source, seed):
    """The images to learn from and the images to judge.

    Args:
        source: `mnist`, `digits` or the path of a `.npz` file, as `datasets.load` takes them.
        seed: Of the halving of the digits, which have no splits.

    Returns:
        Two `datasets.Source`, with classes.

    Raises:
        InputError: If it can't be had, or has no classes.
    """
    import dataclasses

    from pyimagesearch import datasets, training

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

    return tuple(map(half, training.split(len(learnt.images), 0.5, seed)))


def recipe_of(args, arch, **changes):
    """The recipe of an architecture, with changes; `--epochs`, where given, means just so many."""
    if args.epochs is not None:
        changes |= {"epochs": args.epochs, "min_steps": 0}
    return recipe("robust", arch, **changes)


def train(what, images, chosen, args, narrator, loss="mse"):
    """Train a network on four fifths of the images, as the training script does.

    Args:
        what: What to call the network as it is told how far it is.
        images: float32 array `(N, H, W, C)` in [0, 1]; no more than `--limit` are taken.
        chosen: A `recipes.Recipe`.
        args: What `parser` has parsed.
        narrator: A `commandline.Narrator`.
        loss: A key of `training.LOSSES`.

    Returns:
        A tuple of a `pipeline.Fitted` and the images that it was fitted to.
    """
    import numpy as np

    from pyimagesearch import pipeline

    if args.limit is not None:
        images = np.random.default_rng(args.seed).permutation(images)[: args.limit]
    narrator.say(f"{what}: training on four fifths of {len(images):,} images...")
    on_epoch = functools.partial(narrator.progress, "epoch")
    return pipeline.train(images, chosen, loss=loss, seed=args.seed, on_epoch=on_epoch), images


def flagger(what, images, changes, args, narrator):
    """Train the network of `rotation`, and learn its threshold.

    Args:
        what, images, args, narrator: As for `train`.
        changes: How the network differs from the recipe.

    Returns:
        A function from images to the share of them that is flagged.
    """
    from pyimagesearch import pipeline, scoring, thresholds

    chosen = recipe_of(args, "dense", **changes)
    fitted, seen = train(what, images, chosen, args, narrator, loss="bce")
    noted, _ = pipeline.note_scores(fitted, seen, args.seed)
    threshold = thresholds.standard_deviations(DEVIATIONS, None, noted["mse"])

    def share(images):
        return thresholds.flag(scoring.score_images(fitted.autoencoder, images), threshold).mean()

    return share


def shares_flagged(share, images):
    """The shares of images that are flagged upright and turned, given what `flagger` returned."""
    from pyimagesearch import corruptions

    return share(images), share(corruptions.corrupt(images, QUARTER_TURN, seed=0))


def in_words(table):
    """A table of text in columns: the first flush left, the others flush right.

    Example:
        >>> print(in_words([("name", "n"), ("a", "10")]))
        name   n
        a     10
    """
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = []
    for first, *others in table:
        cells = [first.ljust(widths[0]), *map(str.rjust, others, widths[1:])]
        lines.append("  ".join(cells))
    return "\n".join(lines)


def parser():
    """The flags of `python -m pyimagesearch.benchmark`."""
    root = commandline.Parser(
        prog="-m pyimagesearch.benchmark",
        description="Compare the networks on images with classes.",
    )
    tables = root.add_subparsers(dest="table", required=True, metavar="TABLE")
    count = commandline.number(int, at_least=1)

    noise = tables.add_parser("architectures", help="find images with noise, by each network")
    noise.add_argument(
        "--archs",
        nargs="+",
        choices=list(ARCHITECTURES),
        default=list(ARCHITECTURES),
        metavar="ARCH",
        help=f"which networks: {', '.join(ARCHITECTURES)} (default: all)",
    )
    noise.add_argument(
        "--strengths",
        nargs="+",
        type=commandline.number(float, above=0),
        default=STRENGTHS,
        metavar="S",
        help="standard deviations of the noise on the [0, 1] scale (default: "
        f"{' '.join(map(str, STRENGTHS))})",
    )

    turned = tables.add_parser("rotation", help="find images turned by 90 degrees")
    add = turned.add_argument
    add(
        "--classes",
        nargs="+",
        type=commandline.label,
        default=TURNED_CLASSES,
        metavar="LABEL",
        help=f"which classes to turn (default: {' '.join(map(str, TURNED_CLASSES))})",
    )

    for table in (noise, turned):
        add = table.add_argument
        add(
            "--source",
            default="mnist",
            help="mnist (the default), digits, or a .npz file in the layout of Keras's MNIST",
        )
        add(
            "--epochs",
            type=count,
            metavar="N",
            help="passes over the images (default: "
            f"{RECIPES['robust'].epochs} for architectures, {ROTATION['epochs']} for rotation, and "
            "more on small sets)",
        )
        add(
            "--limit",
            type=count,
            metavar="N",
            help="learn from no more than N images a network (default: all)",
        )
        add(
            "--seed",
            type=commandline.number(int, at_least=0, below=2**32),
            default=42,
            metavar="N",
            help="of everything random (default: %(default)s)",
        )
        add(
            "--output",
            default="output/benchmark",
            metavar="DIR",
            help="folder for the table as CSV (default: %(default)s)",
        )
    return root


@commandline.exit_status
def main(argv=None):
    """Make the table that the flags ask for, save it and print it."""
    args = parser().parse_args(argv)
    narrator = commandline.Narrator()

    # Imported here, so that --help and a wrong flag are answered at once.
    with tensorflow_silenced():
        import tensorflow as tf

        from pyimagesearch import persistence

    # Every network has functions of its own to be compiled; TensorFlow would warn of so many.
    tf.get_logger().setLevel("ERROR")
    path = Path(args.output, f"{args.table}.csv")
    persistence.check_targets(path)
    table = TABLES[args.table](args, narrator)
    persistence.save_csv(path, table[0], table[1:])
    narrator.say(f"wrote {path}")
    print(in_words(table))


if __name__ == "__main__":
    sys.exit(main())

"""Detection of noisy images among clean ones by the error of each network, as a table.

All images are normal, and the networks are tested on images that they were not trained on. The
anomalies are made from these by adding noise, so that the labels are known.
"""

import logging

from pyimagesearch.benchmark.common import (
    add_training_flags,
    load_train_and_test,
    recipe_from_args,
    train_network,
)
from pyimagesearch.cli import argument_types
from pyimagesearch.training.recipes import ARCHITECTURES, RECIPES

logger = logging.getLogger(__name__)

HELP = "detect images with noise, by each network"
STRENGTHS = (0.1, 0.2, 0.3, 0.5)
COLUMNS = ("architecture", "noise", "normal", "noisy", "ratio", "auroc", "parameters", "seconds")


def add_arguments(parser):
    """Add the flags of this table."""
    add = parser.add_argument
    argument_types.add_choices(parser, "--archs", ARCHITECTURES, "which networks", metavar="ARCH")
    add(
        "--strengths",
        nargs="+",
        type=argument_types.bounded_number(float, above=0),
        default=STRENGTHS,
        metavar="S",
        help="standard deviations of the noise on the [0, 1] scale (default: "
        f"{' '.join(map(str, STRENGTHS))})",
    )
    add_training_flags(parser, RECIPES["robust"].epochs)


def table(args):
    """Train each network, and rank noisy and clean test images by its error.

    Args:
        args: The parsed flags.

    Returns:
        A list of tuples of text, the names of the columns first. A row for each architecture and
        each standard deviation of the noise, on the [0, 1] scale: the mean squared error of the
        images without and with noise, the ratio of the two, AUROC, the number of the network's
        parameters, and the seconds that its training took.
    """
    import numpy as np

    from pyimagesearch.data import corruptions
    from pyimagesearch.detection import metrics, scoring

    train, test = load_train_and_test(args.source, args.seed)
    labels = np.repeat([0, 1], len(test.images))  # the clean images, then the noisy ones
    rows = [COLUMNS]
    for arch in args.archs:
        result, _ = train_network(arch, train.images, recipe_from_args(args, arch), args)
        logger.info("%s: scoring %s images, clean and noisy...", arch, f"{len(test.images):,}")
        clean_scores = scoring.score_images(result.autoencoder, test.images)
        for strength in args.strengths:
            noisy = corruptions.corrupt(test.images, ("noise", strength), args.seed)
            noisy_scores = scoring.score_images(result.autoencoder, noisy)
            scores = np.concatenate([clean_scores, noisy_scores])
            # Only the ranking counts: nothing is flagged.
            evaluation = metrics.evaluate(scores, np.zeros(len(scores), bool), labels)
            clean_mean, noisy_mean = clean_scores.mean(dtype=float), noisy_scores.mean(dtype=float)
            rows.append(
                (
                    arch,
                    f"{strength:g}",
                    f"{clean_mean:.5f}",
                    f"{noisy_mean:.5f}",
                    f"{noisy_mean / clean_mean:.2f}",
                    f"{evaluation['auroc']:.5f}",
                    str(result.autoencoder.count_params()),
                    f"{result.history.seconds:.1f}",
                )
            )
    return rows

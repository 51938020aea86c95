"""How well does each network tell noisy images from clean ones, by its error?

All images are normal here, and those that are judged were never learnt from. The anomalies are
made of them, so that the truth is known.
"""

from pyimagesearch.benchmark.common import add_flags, load_train_and_test, recipe_from_args, train
from pyimagesearch.cli import argument_types
from pyimagesearch.training.recipes import ARCHITECTURES, RECIPES

HELP = "find images with noise, by each network"
STRENGTHS = (0.1, 0.2, 0.3, 0.5)


def add_arguments(parser):
    """Add the flags of this table."""
    add = parser.add_argument
    add(
        "--archs",
        nargs="+",
        choices=list(ARCHITECTURES),
        default=list(ARCHITECTURES),
        metavar="ARCH",
        help=f"which networks: {', '.join(ARCHITECTURES)} (default: all)",
    )
    add(
        "--strengths",
        nargs="+",
        type=argument_types.bounded_number(float, above=0),
        default=STRENGTHS,
        metavar="S",
        help="standard deviations of the noise on the [0, 1] scale (default: "
        f"{' '.join(map(str, STRENGTHS))})",
    )
    add_flags(parser, RECIPES["robust"].epochs)


def table(args, narrator):
    """Tell images with Gaussian noise from the same images without, by each network's error.

    Args:
        args: The parsed flags.
        narrator: A `console.Narrator`.

    Returns:
        A list of tuples of text, the names of the columns first. A row for each architecture and
        each standard deviation of the noise, on the [0, 1] scale: the mean squared error of the
        images without and with noise, the ratio of the two, AUROC, the number of the network's
        parameters, and the seconds that its training took.
    """
    import numpy as np

    from pyimagesearch.data import corruptions
    from pyimagesearch.detection import metrics, scoring

    learnt, judged = load_train_and_test(args.source, args.seed)
    clean = judged.images
    # 0 for the clean images, 1 for the noisy ones that follow them.
    truth = np.repeat([0, 1], len(clean))
    rows = [
        ("architecture", "noise", "normal", "noisy", "ratio", "auroc", "parameters", "seconds"),
    ]
    for arch in args.archs:
        fitted, _ = train(arch, learnt.images, recipe_from_args(args, arch), args, narrator)
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
            rows.append(
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
    return rows

"""Train and find with the defaults, in one command.

python -m pyimagesearch PATH/TO/photos
"""

import logging
import runpy
import shlex
import sys
from pathlib import Path

from pyimagesearch import InputError
from pyimagesearch.cli import console
from pyimagesearch.cli.argument_types import Parser
from pyimagesearch.cli.detection_arguments import detection_parser
from pyimagesearch.cli.training_arguments import training_parser

logger = logging.getLogger(__name__)

ROOT = Path(__file__).parent.parent
# Flags of the two scripts that name what this command names by itself.
NAMED_HERE = {
    "--source",
    "--dataset",
    "--model",
    "--vis",
    "--plot",
    "--output",
    "--scores",
    "--help",
}
# A flag that both scripts have, with different meanings: it is the training's.
OF_TRAINING = {"--corrupt"}
EXAMPLES = """examples:
  python -m pyimagesearch PATH/TO/photos
  python -m pyimagesearch PATH/TO/photos --auto
  python -m pyimagesearch PATH/TO/icons --recipe robust --score local --output output/odd_icons

All other flags of train_unsupervised_autoencoder.py and find_anomalies.py can be given as well.
"""


def parser():
    """The flags of `python -m pyimagesearch`, besides those of the two scripts."""
    root = Parser(
        prog="python -m pyimagesearch",
        description="Find the odd images in a folder: train on all of it, rank it, show the oddest.",
        epilog=EXAMPLES,
        allow_abbrev=False,
    )
    root.add_argument("photos", metavar="PHOTOS", help="a folder of images")
    root.add_argument(
        "--output",
        metavar="DIR",
        help="folder for the model and the results (default: output/<name of the folder>)",
    )
    return root


def flags_for(script_parser, others, excluded):
    """Those of some flags that a script has, with their values, and whatever is left.

    Args:
        script_parser: The parser of the script.
        others: List of words.
        excluded: Long flags that are not to be taken.

    Returns:
        Two lists of words.
    """
    taken, left, actions = [], [], {}
    for action in script_parser._actions:
        if not excluded & set(action.option_strings):
            actions |= dict.fromkeys(action.option_strings, action)
    current = left
    for word in others:
        if word.startswith("-") and not _is_number(word):
            current = taken if word.partition("=")[0] in actions else left
        current.append(word)
    return taken, left


def _is_number(word):
    """Whether a word that begins like a flag is a negative number."""
    try:
        float(word)
    except ValueError:
        return False
    return True


def commands(argv):
    """The words of the two commands that do the work.

    Args:
        argv: The words behind `python -m pyimagesearch`.

    Returns:
        Two lists of words: the flags of the training script, and of the detection script.

    Raises:
        InputError: If a flag is in neither of them, or if there is no such folder.

    Example:
        >>> train, find = commands([".", "--epochs", "2", "--auto", "--output", "o"])
        >>> train[-2:], find[-1:]
        (['--epochs', '2'], ['--auto'])
    """
    args, others = parser().parse_known_args(argv)
    photos = Path(args.photos)
    if not photos.is_dir():
        raise InputError(f"expected a folder of images, received {photos}: check the path")
    folder = Path(args.output or Path("output", photos.resolve().name or "images"))
    to_train, left = flags_for(training_parser(), others, NAMED_HERE)
    to_find, _ = flags_for(detection_parser(), others, NAMED_HERE | OF_TRAINING)
    _, unknown = flags_for(detection_parser(), left, NAMED_HERE)
    if unknown:
        parser().error(f"unrecognized arguments: {' '.join(unknown)}")
    files = {name: str(folder / name) for name in ("images.pickle", "model.keras")}
    train = ["--source", str(photos), "--dataset", files["images.pickle"]]
    train += ["--model", files["model.keras"], "--vis", str(folder / "recon_vis.png")]
    train += ["--plot", str(folder / "plot.png"), *to_train]
    find = ["--dataset", str(photos), "--model", files["model.keras"], "--output", str(folder)]
    return train, [*find, *to_find]


@console.exit_status
def main(argv=None):
    """Run both scripts.

    Raises:
        InputError: As `commands`, and as the scripts do.
    """
    for script, words in zip(
        ("train_unsupervised_autoencoder.py", "find_anomalies.py"),
        commands(sys.argv[1:] if argv is None else argv),
        strict=True,
    ):
        print(f"$ {shlex.join(['python', script, *words])}", flush=True)
        # The scripts lie beside the package. Run by their paths, they need not be on the path.
        status = runpy.run_path(str(ROOT / script))["main"](words)
        if status:
            raise SystemExit(status)


if __name__ == "__main__":
    sys.exit(main())

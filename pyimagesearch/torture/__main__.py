"""What do the scripts withstand? It is tried, with real files and real processes, and counted.

python -m pyimagesearch.torture
"""

import json
import os
import sys
import tempfile
from pathlib import Path

from pyimagesearch import InputError
from pyimagesearch.cli.argument_types import Parser, add_output, bounded_number
from pyimagesearch.cli.console import Narrator, configure_logging, exit_status, save_and_print
from pyimagesearch.runtime.quiet import quiet_tensorflow
from pyimagesearch.storage import atomic
from pyimagesearch.torture.file_trials import malicious_file_trials, mutation_trials
from pyimagesearch.torture.run_trials import (
    PROCESS_TIMEOUT,
    concurrent_trials,
    full_disk_trials,
    invalid_input_trials,
    kill_trials,
    run_forked,
)
from pyimagesearch.torture.trials import FIELDS, TrialCounts, flags_of, scripts

PARTS = {
    "files": malicious_file_trials,
    "inputs": invalid_input_trials,
    "kills": kill_trials,
    "disk": full_disk_trials,
    "together": concurrent_trials,
    "fuzz": mutation_trials,
}
# These fork processes of their own, before anything in this one has used TensorFlow.
FORKING = {"kills", "disk", "together"}


def prepare(place):
    """Make a small source, and train on it and find with it, once."""
    import numpy as np

    from pyimagesearch.torture import malicious_files

    rng = np.random.default_rng(0)
    classes = np.repeat([1, 3], [40, 20])
    x = rng.integers(0, 99, (60, 28, 28), np.uint8) + 9 * classes[:, None, None].astype(np.uint8)
    (place / "tiny.npz").write_bytes(malicious_files.mnist_like(x_train=x, y_train=classes))
    (place / "trained").mkdir()
    main = scripts()
    for script in ("train", "find"):
        status, printed = run_forked(
            lambda script=script: main[script](flags_of(script, place, place / "trained"))
        )
        if status:
            raise RuntimeError(f"{script} ended with {status}: {printed}")


def run_part(part, args, place, narrator):
    """The tallies of one part; if it needs TensorFlow itself, from a process of its own."""
    if part in FORKING:
        return PARTS[part](args, place, narrator)
    results = place / "results.json"

    def run():
        tallies = PARTS[part](args, place, narrator)
        results.write_text(json.dumps([vars(tally) for tally in tallies]))

    results.unlink(missing_ok=True)
    status, printed = run_forked(run, patience=PROCESS_TIMEOUT + args.seconds)
    if status:
        raise RuntimeError(f"{part} ended with {status}: {printed[-2000:]}")
    return [TrialCounts(**fields) for fields in json.loads(results.read_text())]


def parser():
    """The flags of `python -m pyimagesearch.torture`."""
    root = Parser(
        prog="python -m pyimagesearch.torture",
        description="Try harm, mistakes, kills, full disks and broken files, and count.",
    )
    add = root.add_argument
    add(
        "--only",
        nargs="+",
        choices=list(PARTS),
        default=list(PARTS),
        metavar="PART",
        help=f"which parts: {', '.join(PARTS)} (default: all)",
    )
    count = bounded_number(int, at_least=1)
    add(
        "--kills", type=count, default=50, metavar="N", help="of each script (default: %(default)s)"
    )
    add(
        "--seconds",
        type=bounded_number(float, above=0),
        default=60,
        metavar="S",
        help="of fuzzing (default: %(default)s)",
    )
    add(
        "--seed",
        type=bounded_number(int, at_least=0),
        default=42,
        metavar="N",
        help="of moments and mutations (default: %(default)s)",
    )
    add_output(root, "output/torture")
    return root


@exit_status
def main(argv=None):
    """Try everything that the flags ask for, save the table and print it."""
    args = parser().parse_args(argv)
    configure_logging()
    narrator = Narrator()
    if not hasattr(os, "fork"):
        raise InputError("expected a system that can fork processes, found none: take Linux")

    # Imported here, so that --help and a wrong flag are answered at once.
    with quiet_tensorflow():
        import tensorflow  # noqa: F401

        from pyimagesearch.detection import metrics  # noqa: F401
        from pyimagesearch.training import train  # noqa: F401

    path = Path(args.output, "torture.csv")
    atomic.check_writable(path)
    tallies = []
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder).resolve()
        prepare(place)
        for part in args.only:
            narrator.say(f"{part}...")
            tallies += run_part(part, args, place, narrator)
    save_and_print(path, [FIELDS, *(tally.row() for tally in tallies)])
    if notes := [note for tally in tallies for note in tally.notes]:
        raise AssertionError("\n".join(notes))


if __name__ == "__main__":
    sys.exit(main())

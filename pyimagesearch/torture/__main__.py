"""Trials of what the two scripts withstand, with real files and processes, as a table of counts.

python -m pyimagesearch.torture
"""

import functools
import json
import logging
import os
import sys
import tempfile
from pathlib import Path

from pyimagesearch import InputError
from pyimagesearch.cli.argument_types import Parser, add_choices, add_output, bounded_number
from pyimagesearch.cli.console import configure_logging, exit_status, save_and_print
from pyimagesearch.runtime.quiet import quiet_tensorflow
from pyimagesearch.storage import atomic
from pyimagesearch.torture.file_trials import malicious_file_trials, mutation_trials
from pyimagesearch.torture.run_trials import (
    PROCESS_TIMEOUT,
    check_success,
    concurrent_trials,
    full_disk_trials,
    invalid_input_trials,
    kill_trials,
    run_forked,
)
from pyimagesearch.torture.trials import FIELDS, TrialCounts, scripts, small_run_flags

logger = logging.getLogger("pyimagesearch.torture")

# Name -> function from the parsed flags and a workspace, as `prepare` has left it, to `TrialCounts`.
PARTS = {
    "files": malicious_file_trials,
    "inputs": invalid_input_trials,
    "kills": kill_trials,
    "disk": full_disk_trials,
    "together": concurrent_trials,
    "fuzz": mutation_trials,
}
# These fork processes of their own, which must happen before this one has used TensorFlow.
FORKING = {"kills", "disk", "together"}


def prepare(workspace):
    """Make a small source of images, train on it and find anomalies in it, in forked processes."""
    import numpy as np

    from pyimagesearch.torture import malicious_files

    rng = np.random.default_rng(0)
    classes = np.repeat([1, 3], [40, 20])
    x = rng.integers(0, 99, (60, 28, 28), np.uint8) + 9 * classes[:, None, None].astype(np.uint8)
    source = malicious_files.mnist_like(x_train=x, y_train=classes)
    (workspace / "tiny.npz").write_bytes(source)
    (workspace / "trained").mkdir()
    for script, main in scripts().items():
        flags = small_run_flags(script, workspace, workspace / "trained")
        check_success(script, *run_forked(functools.partial(main, flags)))


def run_part(part, args, workspace):
    """Run the trials of one part, in a forked process if it uses TensorFlow itself.

    Args:
        part: A key of `PARTS`.
        args: The parsed flags.
        workspace: Folder that `prepare` has filled.

    Returns:
        A list of `TrialCounts`.
    """
    if part in FORKING:
        return PARTS[part](args, workspace)
    results = workspace / f"{part}.json"

    def run():
        results.write_text(json.dumps([vars(counts) for counts in PARTS[part](args, workspace)]))

    check_success(part, *run_forked(run, timeout=2 * PROCESS_TIMEOUT + args.seconds))
    return [TrialCounts(**fields) for fields in json.loads(results.read_text())]


def parser():
    """The flags of `python -m pyimagesearch.torture`."""
    root = Parser(
        prog="python -m pyimagesearch.torture",
        description="Try malicious files, invalid input, kills, full disks and mutated files on "
        "both scripts, and count how each trial ends.",
    )
    add = root.add_argument
    add_choices(root, "--only", PARTS, "parts to run", metavar="PART")
    add(
        "--kills",
        type=bounded_number(int, at_least=1),
        default=50,
        metavar="N",
        help="how often each script is killed (default: %(default)s)",
    )
    add(
        "--seconds",
        type=bounded_number(float, above=0),
        default=60,
        metavar="S",
        help="seconds of loading mutated files (default: %(default)s)",
    )
    add(
        "--seed",
        type=bounded_number(int, at_least=0),
        default=42,
        metavar="N",
        help="of the moments of kills and of the mutations (default: %(default)s)",
    )
    add_output(root, "output/torture")
    return root


@exit_status
def main(argv=None):
    """Run the parts that the flags name, save the table and print it.

    Raises:
        InputError: If this system can't fork processes.
        AssertionError: If a trial did not end as promised.
    """
    args = parser().parse_args(argv)
    configure_logging()
    if not hasattr(os, "fork"):
        raise InputError("expected a system that can fork processes, found none: take Linux")

    # Imported here, so that --help and a wrong flag are answered at once.
    with quiet_tensorflow():
        import tensorflow  # noqa: F401

        from pyimagesearch.detection import metrics  # noqa: F401
        from pyimagesearch.training import train  # noqa: F401

    path = Path(args.output, "torture.csv")
    atomic.check_writable(path)
    all_counts = []
    with tempfile.TemporaryDirectory() as folder:
        workspace = Path(folder).resolve()
        prepare(workspace)
        for part in args.only:
            logger.info("running the trials of part %s", part)
            all_counts += run_part(part, args, workspace)
    save_and_print(path, [FIELDS, *(counts.row() for counts in all_counts)])
    if failures := [failure for counts in all_counts for failure in counts.failures]:
        raise AssertionError("\n".join(failures))


if __name__ == "__main__":
    sys.exit(main())

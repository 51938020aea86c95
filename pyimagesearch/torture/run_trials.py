"""Trials of whole runs of the two scripts: invalid input, kills, full disks, two runs at once."""

import contextlib
import faulthandler
import functools
import io
import os
import random
import shutil
import signal
import sys
import tempfile
import time

from pyimagesearch.cli.console import Progress
from pyimagesearch.torture.trials import (
    DETECTION_OUTPUTS,
    TRAINING_OUTPUTS,
    TrialCounts,
    scripts,
    small_run_flags,
    snapshot,
    temporary_files,
)

# Seconds that a process may take, on a slow machine as well.
PROCESS_TIMEOUT = 300


def run_forked(function, kill_after=None, timeout=PROCESS_TIMEOUT):
    """Run a function in a process forked from this one.

    Args:
        function: Returns an exit status, or `None` for 0.
        kill_after: Seconds after which the process is killed; `None`: it is not killed.
        timeout: Seconds after which the process counts as hanging; it is aborted then, and prints
            where it hangs.

    Returns:
        A tuple of the status, as of `os.waitstatus_to_exitcode`, and the text that it printed.
    """
    with tempfile.TemporaryFile("w+", errors="replace") as printed:
        sys.stdout.flush()
        process = os.fork()
        if process == 0:
            status = 70
            try:
                os.dup2(printed.fileno(), 1)
                os.dup2(printed.fileno(), 2)
                faulthandler.enable(2)
                status = function() or 0
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(status)
        if kill_after is not None:
            time.sleep(kill_after)
            os.kill(process, signal.SIGKILL)
        status = wait_or_abort(process, timeout)
        printed.seek(0)
        return os.waitstatus_to_exitcode(status), printed.read()


def wait_or_abort(process, timeout):
    """Wait for a forked process, abort it after `timeout` seconds; its status of `os.waitpid`."""
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        done, status = os.waitpid(process, os.WNOHANG)
        if done:
            return status
        time.sleep(0.01)
    os.kill(process, signal.SIGABRT)
    return os.waitpid(process, 0)[1]


def check_success(what, status, printed):
    """Raise a `RuntimeError` if a process that nothing disturbed has failed."""
    if status:
        raise RuntimeError(f"{what} ended with {status}: {printed[-2000:]}")


class FileStepCounter:
    """Counts what this process does to the files of a folder, and can kill it at one such step.

    Args:
        folder: Path of the folder.
        last_step: The number of the step, from 1, before which the process is killed; `None`: it
            is not killed.

    Attributes:
        n_steps: The number of steps so far.
    """

    EVENTS = {"open", "os.rename", "os.remove", "os.mkdir", "shutil.rmtree"}

    def __init__(self, folder, last_step=None):
        self.folder, self.last_step, self.n_steps = str(folder), last_step, 0
        sys.addaudithook(self.record)

    def record(self, event, args):
        """Count an event, as `sys.addaudithook` reports it."""
        if event in self.EVENTS and args and str(args[0]).startswith(self.folder):
            self.n_steps += 1
            if self.n_steps == self.last_step:
                os.kill(os.getpid(), signal.SIGKILL)


def invalid_input_trials(args, workspace):
    """Call both scripts with invalid input: one line, status 2, and nothing written."""
    from pyimagesearch.torture import invalid_inputs

    tables = {"train": invalid_inputs.TRAINING_INPUTS, "find": invalid_inputs.DETECTION_INPUTS}
    all_counts = []
    for script, table in tables.items():
        counts = TrialCounts(f"invalid input to {script}")
        for number, (name, (make_flags, message)) in enumerate(table.items()):
            folder = workspace / f"{script}-{number}"
            out = folder / "out"
            shutil.copytree(workspace / "trained", out)
            before, errors = snapshot(out), io.StringIO()
            flags = small_run_flags(script, workspace, out)
            flags += ["--source", "digits"] if script == "train" else []
            flags += make_flags(folder)
            with contextlib.redirect_stderr(errors), contextlib.redirect_stdout(io.StringIO()):
                status = scripts()[script](flags)
            lines = errors.getvalue().splitlines()
            one_line = status == 2 and len(lines) == 1 and lines[0].startswith("error: ")
            counts.count(
                name,
                None if one_line and message in lines[0] else f"status {status}, {lines[-1:]}",
                executed=(folder / "executed").exists(),
                traceback="Traceback" in errors.getvalue(),
                half_written=snapshot(out) != before,
            )
        all_counts.append(counts)
    return all_counts


def kill_trials(args, workspace):
    """Kill both scripts in turns at a random moment and at a random step of their writing.

    Each is forked from a process that has imported TensorFlow and done nothing else with it, so
    that it is killed at work and not while it imports.
    """
    rng = random.Random(args.seed)
    return [kill_script(script, args.kills, rng, workspace) for script in scripts()]


def kill_script(script, n_kills, rng, workspace):
    """Kill a script `n_kills` times, checking after each kill what it has left."""
    out, n_steps_file = workspace / f"killed-{script}", workspace / "n_steps"
    shutil.copytree(workspace / "trained", out)

    def run(seed=1, last_step=None):
        steps = FileStepCounter(out, last_step)
        status = scripts()[script](small_run_flags(script, workspace, out, seed))
        n_steps_file.write_text(str(steps.n_steps))
        return status

    started = time.monotonic()
    check_success(script, *run_forked(run))
    seconds, n_steps = time.monotonic() - started, int(n_steps_file.read_text())

    counts, progress = TrialCounts(f"kill -9 of {script}"), Progress(f"kills of {script}")
    progress(0, n_kills)
    while counts.times < n_kills:
        seed, step, moment = rng.randrange(2, 1000), None, None
        if counts.times % 2:
            step = rng.randint(1, n_steps)
            when = f"at step {step} of {n_steps}"
        else:
            moment = rng.uniform(0, seconds)
            when = f"after {moment:.2f} of {seconds:.2f} s"
        status, printed = run_forked(functools.partial(run, seed, step), moment)
        if status == 0:
            continue  # It was done before it could be killed.
        n_broken, complaints = run_forked(functools.partial(count_broken_outputs, out))
        n_temporary = len(temporary_files(out))
        problem = complaints if n_broken else None
        if n_temporary > len(TRAINING_OUTPUTS) + len(DETECTION_OUTPUTS):
            # Each run removes what a killed one has left, so that there is never more than one's.
            problem = f"{n_temporary} temporary files"
        if status != -signal.SIGKILL:
            problem = f"ended with {status}: {printed}"
        counts.count(when, problem, half_written=n_broken)
        progress(counts.times, n_kills)

    status, printed = run_forked(run)
    if status or temporary_files(out):
        counts.failures.append(
            f"{counts.what}: the run after the last kill ended with {status}: {printed}; "
            f"temporary files {temporary_files(out)}"
        )
    return counts


def count_broken_outputs(out):
    """Open every result in a folder; print which are broken, and return how many.

    Broken is a file that can't be read, and a pair of files that stem from two runs.

    Args:
        out: Folder with some or all of `TRAINING_OUTPUTS` and `DETECTION_OUTPUTS`.
    """
    n_broken = 0
    for check in (check_dataset, check_model, check_pictures, check_report):
        try:
            check(out)
        except Exception as error:
            print(repr(error))
            n_broken += 1
    return n_broken


def check_dataset(out):
    """Check the images, their manifest, and that the settings are those of the same run."""
    from pyimagesearch.data import dataset_files
    from pyimagesearch.storage import files

    settings = files.load_json(out / "a.json")
    if not (out / "images.pickle").exists():
        return
    images = dataset_files.load_images(out / "images.pickle")
    dataset_files.load_manifest(out / "images.csv", len(images))
    if settings and settings["fingerprint"] != dataset_files.fingerprint(images):
        raise ValueError("settings of one run beside images of another")


def check_model(out):
    """Check the model with the files beside it."""
    from pyimagesearch.detection.trained_model import TrainedModel

    if (out / "a.model").exists():
        TrainedModel.load(out / "a.model", "local")


def check_pictures(out):
    """Check that all pictures can be decoded."""
    import cv2

    for path in out.glob("*.png"):
        if cv2.imread(str(path)) is None:
            raise ValueError(f"{path.name} can't be decoded")


def check_report(out):
    """Check that the report is of the same run as the table of scores."""
    from pyimagesearch.storage import files

    report = files.load_json(out / "report.json")
    if report and (out / "anomalies.csv").exists():
        n_rows = (out / "anomalies.csv").read_text().count("\n") - 1
        if report["n_images"] != n_rows:
            raise ValueError("a report of one run beside a table of another")


def full_disk_trials(args, workspace):
    """Limit the size of the result files, so that a write ends as it does on a full disk."""
    all_counts = []
    for script, names in (("train", TRAINING_OUTPUTS), ("find", DETECTION_OUTPUTS)):
        out = workspace / f"full-{script}"
        shutil.copytree(workspace / "trained", out)
        flags = small_run_flags(script, workspace, out)
        check_success(script, *run_forked(functools.partial(scripts()[script], flags)))
        before = snapshot(out)
        counts = TrialCounts(f"disk full under {script}")
        for name in names:
            size = len(before[name]) // 2
            flags = small_run_flags(script, workspace, out, seed=3)
            run = functools.partial(run_with_full_disk, scripts()[script], flags, out, size)
            status, printed = run_forked(run)
            one_line = printed.startswith("error: cannot write") and printed.count("\n") == 1
            counts.count(
                f"{size} bytes",
                None if status == 2 and one_line else f"status {status}: {printed}",
                traceback="Traceback" in printed,
                half_written=snapshot(out) != before,
            )
        all_counts.append(counts)
    return all_counts


def run_with_full_disk(main, flags, out, size):
    """Run a script whose files can't grow beyond `size` bytes once it opens a result to write it."""
    import resource

    def limit_size(event, args):
        # Files that libraries write elsewhere, or earlier, stay without a limit.
        is_result = event == "open" and str(args[0]).startswith(f"{out}/.")
        if is_result and args[2] & (os.O_WRONLY | os.O_RDWR):
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    sys.addaudithook(limit_size)
    return main(flags)


def concurrent_trials(args, workspace):
    """Run each script twice at the same time into one folder."""
    counts, out = TrialCounts("two runs into one folder"), workspace / "both"
    shutil.copytree(workspace / "trained", out)
    for number in range(max(1, args.kills // 10)):
        for script in scripts():
            status, printed = run_forked(
                functools.partial(run_twice_at_once, script, workspace, out, 2 * number)
            )
            n_broken, complaints = run_forked(functools.partial(count_broken_outputs, out))
            problem = complaints if n_broken else None
            if left := temporary_files(out):
                problem = f"temporary files {left}"
            if status:
                problem = f"ended with {status}: {printed}"
            counts.count(script, problem, half_written=n_broken)
    return [counts]


def run_twice_at_once(script, workspace, out, seed):
    """Run a script in this process and in one forked from it; the status of whichever failed."""
    other = os.fork()
    is_other = other == 0
    status = scripts()[script](small_run_flags(script, workspace, out, seed + is_other))
    if is_other:
        os._exit(status)
    return status or os.waitstatus_to_exitcode(wait_or_abort(other, PROCESS_TIMEOUT))

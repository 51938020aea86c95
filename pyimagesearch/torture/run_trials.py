"""Trials of whole runs: invalid inputs, kills, full disks, two at once."""

import contextlib
import faulthandler
import os
import random
import shutil
import signal
import sys
import tempfile
import time

from pyimagesearch.torture.trials import (
    FOUND,
    TRAINED,
    TrialCounts,
    flags_of,
    scripts,
    snapshot,
    temporary_files,
)

# Seconds that any process of these may take, on a slow machine as well.
PROCESS_TIMEOUT = 300


def run_forked(function, kill_after=None, patience=PROCESS_TIMEOUT):
    """Run a function in a process of its own, forked from this one.

    Args:
        function: Returns an exit status, or `None`.
        kill_after: Seconds after which the process is killed, if it is not done by then.
        patience: Seconds after which it is taken to hang, and made to say where.

    Returns:
        A tuple of the status as of `os.waitstatus_to_exitcode` and the text that it printed.
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
        status = wait_or_abort(process, patience)
        printed.seek(0)
        return os.waitstatus_to_exitcode(status), printed.read()


def wait_or_abort(process, patience):
    """Wait for a forked process, and abort it after so many seconds; the status of `os.waitpid`."""
    until = time.monotonic() + patience
    while time.monotonic() < until:
        done, status = os.waitpid(process, os.WNOHANG)
        if done:
            return status
        time.sleep(0.01)
    os.kill(process, signal.SIGABRT)
    return os.waitpid(process, 0)[1]


class FileStepCounter:
    """Counts what a process does to files in a folder, and can kill it at one such step.

    Args:
        folder: Which folder.
        last: The number of the step that is not done any more; `None`: all are.
    """

    EVENTS = {"open", "os.rename", "os.remove", "os.mkdir", "shutil.rmtree"}

    def __init__(self, folder, last=None):
        self.folder, self.last, self.done = str(folder), last, 0
        sys.addaudithook(self.note)

    def note(self, event, args):
        if event in self.EVENTS and args and str(args[0]).startswith(self.folder):
            self.done += 1
            if self.done == self.last:
                os.kill(os.getpid(), signal.SIGKILL)


def invalid_input_trials(args, place, narrator):
    """Call the scripts with what people get wrong: one line, status 2, nothing written."""
    import io

    from pyimagesearch.torture import invalid_inputs

    main, tallies = scripts(), []
    tables = {"train": invalid_inputs.TRAINING_INPUTS, "find": invalid_inputs.DETECTION_INPUTS}
    for script, table in tables.items():
        tally = TrialCounts(f"wrong input to {script}")
        for number, (name, (make, words)) in enumerate(table.items()):
            work = place / f"{script}-{number}"
            out = work / "out"
            shutil.copytree(place / "trained", out)
            before, told = snapshot(out), io.StringIO()
            flags = flags_of(script, place, out)
            # The table speaks of the bundled digits.
            flags = [*flags, "--source", "digits"] if script == "train" else flags
            flags = [*flags, *make(work)]
            with contextlib.redirect_stderr(told), contextlib.redirect_stdout(io.StringIO()):
                status = main[script](flags)
            lines = told.getvalue().splitlines()
            fine = status == 2 and len(lines) == 1 and lines[0].startswith("error: ")
            tally.count(
                name,
                None if fine and words in lines[0] else f"status {status}, {lines[-1:]}",
                executed=(work / "executed").exists(),
                traceback="Traceback" in told.getvalue(),
                half_written=snapshot(out) != before,
            )
        tallies.append(tally)
    return tallies


def kill_trials(args, place, narrator):
    """Kill both scripts at random moments and at random steps; then look at what they left.

    Forked from a process that has imported TensorFlow already and done nothing else with it, so
    that the kills fall into the work and not into the import.
    """
    rng, main, tallies = random.Random(args.seed), scripts(), []
    for script in main:
        out = place / f"killed-{script}"
        shutil.copytree(place / "trained", out)
        wanted = place / "steps"

        def run(last=None, seed=1, script=script, out=out, wanted=wanted):
            steps = FileStepCounter(out, last)
            status = main[script](flags_of(script, place, out, seed))
            wanted.write_text(str(steps.done))
            return status

        started = time.monotonic()
        status, printed = run_forked(run)
        seconds, n_steps = time.monotonic() - started, int(wanted.read_text())
        if status:
            raise RuntimeError(f"a run that nobody killed ended with {status}: {printed}")
        tally = TrialCounts(f"kill -9 of {script}")
        killed = 0
        narrator.progress(f"kills of {script}", 0, args.kills)
        while killed < args.kills:
            seed = rng.randrange(2, 1000)
            if killed % 2:
                how = f"at step {rng.randint(1, n_steps)} of {n_steps}"
                last = int(how.split()[2])
                status, printed = run_forked(lambda run=run, last=last, seed=seed: run(last, seed))
            else:
                moment = rng.uniform(0, seconds)
                how = f"after {moment:.2f} of {seconds:.2f} s"
                status, printed = run_forked(lambda run=run, seed=seed: run(None, seed), moment)
            if status == 0:  # It was faster this time.
                continue
            killed += 1
            problem = None if status == -signal.SIGKILL else f"ended with {status}: {printed}"
            verdict, found = run_forked(lambda out=out: count_broken_outputs(out))
            hidden = len(temporary_files(out))
            # The next run takes away what this one has left: never more than one run's.
            if hidden > len(TRAINED) + len(FOUND):
                problem = f"{hidden} temporary files"
            narrator.progress(f"kills of {script}", killed, args.kills)
            tally.count(how, problem or (found if verdict else None), half_written=verdict)
        status, printed = run_forked(run)
        left = temporary_files(out)
        tally.count("a run in peace", printed if status else str(left) if left else None)
        tally.times, tally.as_promised = tally.times - 1, tally.as_promised - (not (status or left))
        tallies.append(tally)
    return tallies


def count_broken_outputs(out):
    """Open everything in a folder of results; 1, with a complaint, if anything is not whole."""
    import cv2

    from pyimagesearch.data import dataset_files
    from pyimagesearch.storage import files, model_files

    try:
        images = None
        if (out / "images.pickle").exists():
            images = dataset_files.load_images(out / "images.pickle")
            dataset_files.load_manifest(out / "images.csv", len(images))
        about = files.load_json(out / "a.json")
        if (
            about
            and images is not None
            and about["fingerprint"] != dataset_files.fingerprint(images)
        ):
            raise ValueError("settings of one run beside images of another")
        if (out / "a.model").exists():
            shape = model_files.load_model(out / "a.model").input_shape[1:]
            model_files.load_reference(out / "a.npz", "local", shape)
        for path in out.glob("*.png"):
            if cv2.imread(str(path)) is None:
                raise ValueError(f"{path.name} can't be decoded")
        report = files.load_json(out / "report.json")
        if (out / "anomalies.csv").exists():
            rows = (out / "anomalies.csv").read_text().count("\n") - 1
            if report and report["n_images"] != rows:
                raise ValueError("a report of one run beside a table of another")
    except Exception as fault:
        print(repr(fault))
        return 1
    return 0


def full_disk_trials(args, place, narrator):
    """Let no file of the results grow beyond a size, which ends a write as a full disk does."""
    import resource

    main, tallies = scripts(), []
    for script, names in (("train", TRAINED), ("find", FOUND)):
        out = place / f"full-{script}"
        shutil.copytree(place / "trained", out)
        run_forked(lambda script=script, out=out: main[script](flags_of(script, place, out)))
        before = snapshot(out)
        tally = TrialCounts(f"disk full under {script}")
        for name in names:
            size = len(before[name]) // 2

            def run(size=size, script=script, out=out):
                def fill(event, found):
                    # From the first result on; what libraries keep elsewhere is not meant, nor what
                    # is only read.
                    if (
                        event == "open"
                        and str(found[0]).startswith(f"{out}/.")
                        and found[2] & (os.O_WRONLY | os.O_RDWR)
                    ):
                        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

                sys.addaudithook(fill)
                return main[script](flags_of(script, place, out, seed=3))

            status, printed = run_forked(run)
            one_line = printed.startswith("error: cannot write") and printed.count("\n") == 1
            tally.count(
                f"{size} bytes",
                None if status == 2 and one_line else f"status {status}: {printed}",
                traceback="Traceback" in printed,
                half_written=snapshot(out) != before,
            )
        tallies.append(tally)
    return tallies


def concurrent_trials(args, place, narrator):
    """Train twice at the same time into one folder, and find twice."""
    main, tally = scripts(), TrialCounts("two runs into one folder")
    out = place / "both"
    shutil.copytree(place / "trained", out)
    for number in range(max(1, args.kills // 10)):
        for script in main:

            def both(script=script, number=number):
                def run(seed):
                    return main[script](flags_of(script, place, out, seed))

                other = os.fork()
                status = run(2 * number + (other == 0))
                if other == 0:
                    os._exit(status)
                return status or os.waitstatus_to_exitcode(wait_or_abort(other, PROCESS_TIMEOUT))

            status, printed = run_forked(both)
            verdict, found = run_forked(lambda: count_broken_outputs(out))
            hidden = temporary_files(out)
            problem = printed if status else found if verdict else str(hidden) if hidden else None
            tally.count(script, problem, half_written=verdict)
    return [tally]

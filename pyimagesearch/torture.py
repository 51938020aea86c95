"""What do the scripts withstand? It is tried, with real files and real processes, and counted.

python -m pyimagesearch.torture
"""

import contextlib
import itertools
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from pyimagesearch import InputError, atomic, commandline, forking
from pyimagesearch.benchmark_common import add_output, save_and_print
from pyimagesearch.silence import quiet_tensorflow

FIELDS = ("what was tried", "times", "as promised", "executed", "tracebacks", "half-written")
# What no file may make the program do.
FORBIDDEN = {"os.system", "os.exec", "os.fork", "os.posix_spawn", "subprocess.Popen", "pty.spawn"}
FORBIDDEN |= {"socket.connect", "os.spawn", "os.forkpty", "ctypes.dlopen"}
# What both scripts write, those of the first being what the second reads.
TRAINED = ("images.pickle", "images.csv", "a.model", "a.json", "a.npz", "vis.png", "plot.png")
FOUND = ("anomalies.png", "errors.png", "anomalies.csv", "report.json", "report.html")


@dataclass
class TrialCounts:
    """How one kind of trial went.

    Attributes:
        what: What was tried.
        times, as_promised, executed, tracebacks, half_written: How often.
        notes: What went wrong, one line each.
    """

    what: str
    times: int = 0
    as_promised: int = 0
    executed: int = 0
    tracebacks: int = 0
    half_written: int = 0
    notes: list[str] = field(default_factory=list)

    def count(self, name, problem=None, executed=False, traceback=False, half_written=False):
        """Count one trial; all is well where there is no problem."""
        self.times += 1
        self.executed += bool(executed)
        self.tracebacks += bool(traceback)
        self.half_written += bool(half_written)
        if problem or executed or traceback or half_written:
            self.notes.append(f"{self.what}: {name}: {problem}")
        else:
            self.as_promised += 1

    def row(self):
        """The numbers, as text in the order of `FIELDS`."""
        counts = (self.times, self.as_promised, self.executed, self.tracebacks, self.half_written)
        return self.what, *map(str, counts)


class AuditHook:
    """Notes what Python is asked to do while it is on: see `sys.addaudithook`."""

    def __init__(self):
        self.on, self.seen = False, []
        sys.addaudithook(self.note)

    def note(self, event, args):
        if self.on and event in FORBIDDEN:
            self.seen.append(event)

    def call(self, function):
        """Call a function; return what it complained of, and what it was seen to do."""
        self.on, self.seen = True, []
        try:
            function()
            complaint = None
        except BaseException as fault:
            complaint = fault
        finally:
            self.on = False
        return complaint, self.seen


def loaders():
    """Suffix -> function that reads a file of that suffix as the scripts do."""
    from pyimagesearch import datasets, folders, persistence, pipeline

    def image(path):
        folders.find_readable([path])

    return {
        ".pickle": persistence.load_images,
        ".model": persistence.load_model,
        ".npz": lambda path: datasets.load(str(path)),
        ".npy": datasets.load_npy,
        ".csv": lambda path: datasets.load_files(*persistence.load_manifest(path)),
        ".json": lambda path: pipeline.parse_calibration(persistence.load_json(path), "mse", path),
        **dict.fromkeys((".png", ".jpg", ".bmp"), image),
    }


def malicious_file_trials(args, place, narrator):
    """Load every hostile file that there is a recipe for; each has to be refused."""
    from pyimagesearch import hostile, hostile_models

    mark = place / "executed"
    leave = f"touch {mark}"
    model = (place / "trained" / "a.model").read_bytes()
    made = [
        ("pickles", ".pickle", name, make(leave))
        for name, make in hostile.MALICIOUS_PICKLES.items()
    ]
    made += [
        ("models", ".model", n, make(model, leave))
        for n, make in hostile_models.MALICIOUS_MODELS.items()
    ]
    others = "arrays, images, tables, settings"
    made += [
        (others, suffix, n, make(leave)) for (suffix, n), make in hostile.MALICIOUS_FILES.items()
    ]
    load, watch, tallies = loaders(), AuditHook(), {}
    for kind, suffix, name, content in made:
        path = place / f"hostile{suffix}"
        path.write_bytes(content)
        complaint, seen = watch.call(lambda read=load[suffix], path=path: read(path))
        tallies.setdefault(kind, TrialCounts(f"hostile {kind}")).count(
            name,
            None if isinstance(complaint, InputError) else f"accepted, or {complaint!r}",
            executed=mark.exists() or seen,
            traceback=complaint is not None and not isinstance(complaint, InputError),
        )
        mark.unlink(missing_ok=True)
    return list(tallies.values())


def scripts():
    """Name -> `main` of both scripts, which lie beside the package."""
    sys.path.insert(0, str(Path(__file__).parent.parent))
    import find_anomalies
    import train_unsupervised_autoencoder

    return {"train": train_unsupervised_autoencoder.main, "find": find_anomalies.main}


def flags_of(script, place, out, seed=1):
    """The flags of a small run that writes to the folder `out`."""
    if script == "find":
        trained = place / "trained"
        files = ["-d", trained / "images.pickle", "-m", trained / "a.model", "--output", out]
        return [*map(str, files), "--quiet"]
    files = ["-d", out / "images.pickle", "-m", out / "a.model", "-v", out / "vis.png"]
    files += ["-p", out / "plot.png", "--source", place / "tiny.npz", "--seed", seed]
    small = ["--contam", "0.1", "--epochs", "1", "--filters", "4", "--latent-dim", "2", "--quiet"]
    return [*map(str, files), *small]


def snapshot(folder):
    """Every file in a folder with its bytes, but for the state of an unfinished training."""
    files = [path for path in sorted(folder.iterdir()) if path.is_file()]
    return {path.name: path.read_bytes() for path in files if path.suffix != ".resume"}


def temporary_files(folder):
    """Names of the files in a folder that were being written by somebody."""
    return [path.name for path in folder.iterdir() if path.match(".*.tmp*")]


def invalid_input_trials(args, place, narrator):
    """Call the scripts with what people get wrong: one line, status 2, nothing written."""
    import io

    from pyimagesearch import mistakes

    main, tallies = scripts(), []
    tables = {"train": mistakes.TRAINING_INPUTS, "find": mistakes.DETECTION_INPUTS}
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
            steps = forking.FileStepCounter(out, last)
            status = main[script](flags_of(script, place, out, seed))
            wanted.write_text(str(steps.done))
            return status

        started = time.monotonic()
        status, printed = forking.run_forked(run)
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
                status, printed = forking.run_forked(
                    lambda run=run, last=last, seed=seed: run(last, seed)
                )
            else:
                moment = rng.uniform(0, seconds)
                how = f"after {moment:.2f} of {seconds:.2f} s"
                status, printed = forking.run_forked(
                    lambda run=run, seed=seed: run(None, seed), moment
                )
            if status == 0:  # It was faster this time.
                continue
            killed += 1
            problem = None if status == -signal.SIGKILL else f"ended with {status}: {printed}"
            verdict, found = forking.run_forked(lambda out=out: count_broken_outputs(out))
            hidden = len(temporary_files(out))
            # The next run takes away what this one has left: never more than one run's.
            if hidden > len(TRAINED) + len(FOUND):
                problem = f"{hidden} temporary files"
            narrator.progress(f"kills of {script}", killed, args.kills)
            tally.count(how, problem or (found if verdict else None), half_written=verdict)
        status, printed = forking.run_forked(run)
        left = temporary_files(out)
        tally.count("a run in peace", printed if status else str(left) if left else None)
        tally.times, tally.as_promised = tally.times - 1, tally.as_promised - (not (status or left))
        tallies.append(tally)
    return tallies


def count_broken_outputs(out):
    """Open everything in a folder of results; 1, with a complaint, if anything is not whole."""
    import cv2

    from pyimagesearch import persistence

    try:
        images = None
        if (out / "images.pickle").exists():
            images = persistence.load_images(out / "images.pickle")
            persistence.load_manifest(out / "images.csv", len(images))
        about = persistence.load_json(out / "a.json")
        if about and images is not None and about["fingerprint"] != persistence.fingerprint(images):
            raise ValueError("settings of one run beside images of another")
        if (out / "a.model").exists():
            shape = persistence.load_model(out / "a.model").input_shape[1:]
            persistence.load_reference(out / "a.npz", "local", shape)
        for path in out.glob("*.png"):
            if cv2.imread(str(path)) is None:
                raise ValueError(f"{path.name} can't be decoded")
        report = persistence.load_json(out / "report.json")
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
        forking.run_forked(
            lambda script=script, out=out: main[script](flags_of(script, place, out))
        )
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

            status, printed = forking.run_forked(run)
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
                return status or os.waitstatus_to_exitcode(
                    forking.wait_or_abort(other, forking.PROCESS_TIMEOUT)
                )

            status, printed = forking.run_forked(both)
            verdict, found = forking.run_forked(lambda: count_broken_outputs(out))
            hidden = temporary_files(out)
            problem = printed if status else found if verdict else str(hidden) if hidden else None
            tally.count(script, problem, half_written=verdict)
    return [tally]


def mutated(rng, data):
    """Bytes with a few of them changed, cut out, doubled or put in."""
    data = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        place = rng.randrange(len(data) + 1)
        kind = rng.randrange(6)
        if kind == 0 and place < len(data):
            data[place] ^= 1 << rng.randrange(8)
        elif kind == 1 and place < len(data):
            data[place] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, ord("."), ord("R"), ord("c")))
        elif kind == 2:
            del data[place : place + rng.choice((1, 4, 64))]
        elif kind == 3:
            data[place:place] = data[place : place + rng.choice((1, 4, 64))]
        elif kind == 4:
            data[place:place] = rng.randbytes(rng.choice((1, 4, 8)))
        else:
            data[place : place + 8] = rng.choice((b"\xff" * 8, bytes(8), b"\x00" * 7 + b"\x7f"))
    return bytes(data[: rng.randrange(len(data) + 1)] if rng.random() < 0.1 else data)


def mutation_trials(args, place, narrator):
    """Load files that were sound until some bytes were changed, for so many seconds."""
    import pickle

    import numpy as np

    from pyimagesearch import crafting, persistence

    trained, rng = place / "trained", random.Random(args.seed)
    model = (trained / "a.model").read_bytes()
    images = np.linspace(0, 1, 3 * 5 * 4, dtype=np.float32).reshape(3, 5, 4)

    def changed(suffix, data):
        return suffix, mutated(rng, data)

    def part_of_model(name):
        members = crafting.zip_members(model)
        members[name] = mutated(rng, members[name])
        return ".model", crafting.zip_archive(members.items())

    kinds = {
        "pickles": lambda: changed(".pickle", pickle.dumps(images, rng.randrange(6))),
        "archives of models": lambda: changed(".model", model),
        "descriptions of models": lambda: part_of_model("config.json"),
        "weights of models": lambda: part_of_model("model.weights.h5"),
        "archives of arrays": lambda: changed(".npz", crafting.mnist_like()),
        "arrays": lambda: changed(".npy", crafting.npy_header((1, 1, 1))),
        "images": lambda: (lambda suffix: changed(suffix, crafting.encoded_image(suffix)))(
            rng.choice((".png", ".jpg", ".bmp"))
        ),
        "tables": lambda: changed(".csv", (trained / "images.csv").read_bytes()),
        "settings": lambda: changed(".json", (trained / "a.json").read_bytes()),
    }
    load, watch, tallies = loaders(), AuditHook(), []
    load[".npz"] = merge_counts(
        load[".npz"], lambda p: persistence.load_reference(p, "local", (8, 8, 1))
    )
    for kind, make in kinds.items():
        tally = TrialCounts(f"broken {kind}")
        until = time.monotonic() + args.seconds / len(kinds)
        while time.monotonic() < until:
            suffix, data = make()
            path = place / f"fuzz{suffix}"
            path.write_bytes(data)
            complaint, seen = watch.call(lambda path=path: load[path.suffix](path))
            fault = complaint is not None and not isinstance(complaint, InputError)
            if fault or seen:
                keep(path, Path(args.output), kind)
            tally.count(repr(complaint), "fault" if fault else None, seen, fault)
        narrator.say(f"{tally.what}: {tally.times:,}")
        tallies.append(tally)
    return tallies


def keep(path, folder, kind):
    """Copy a file that has done harm to a folder, under a name that nothing there has yet."""
    for number in itertools.count():
        with contextlib.suppress(FileExistsError):
            with Path(folder, f"{number}-{kind}{path.suffix}").open("xb") as file:
                file.write(path.read_bytes())
            return


def merge_counts(one, other):
    """A function that calls two, the second whatever the first has complained of."""

    def call(path):
        with contextlib.suppress(InputError):
            one(path)
        other(path)

    return call


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

    from pyimagesearch import crafting

    rng = np.random.default_rng(0)
    classes = np.repeat([1, 3], [40, 20])
    x = rng.integers(0, 99, (60, 28, 28), np.uint8) + 9 * classes[:, None, None].astype(np.uint8)
    (place / "tiny.npz").write_bytes(crafting.mnist_like(x_train=x, y_train=classes))
    (place / "trained").mkdir()
    main = scripts()
    for script in ("train", "find"):
        status, printed = forking.run_forked(
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
    status, printed = forking.run_forked(run, patience=forking.PROCESS_TIMEOUT + args.seconds)
    if status:
        raise RuntimeError(f"{part} ended with {status}: {printed[-2000:]}")
    return [TrialCounts(**fields) for fields in json.loads(results.read_text())]


def parser():
    """The flags of `python -m pyimagesearch.torture`."""
    root = commandline.Parser(
        prog="-m pyimagesearch.torture",
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
    count = commandline.bounded_number(int, at_least=1)
    add(
        "--kills", type=count, default=50, metavar="N", help="of each script (default: %(default)s)"
    )
    add(
        "--seconds",
        type=commandline.bounded_number(float, above=0),
        default=60,
        metavar="S",
        help="of fuzzing (default: %(default)s)",
    )
    add(
        "--seed",
        type=commandline.bounded_number(int, at_least=0),
        default=42,
        metavar="N",
        help="of moments and mutations (default: %(default)s)",
    )
    add_output(root, "output/torture")
    return root


@commandline.exit_status
def main(argv=None):
    """Try everything that the flags ask for, save the table and print it."""
    args = parser().parse_args(argv)
    narrator = commandline.Narrator()
    if not hasattr(os, "fork"):
        raise InputError("expected a system that can fork processes, found none: take Linux")

    # Imported here, so that --help and a wrong flag are answered at once.
    with quiet_tensorflow():
        import tensorflow  # noqa: F401

        from pyimagesearch import metrics, pipeline  # noqa: F401

    path = Path(args.output, "torture.csv")
    atomic.check_writable(path)
    tallies = []
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder).resolve()
        prepare(place)
        for part in args.only:
            narrator.say(f"{part}...")
            tallies += run_part(part, args, place, narrator)
    save_and_print(path, [FIELDS, *(tally.row() for tally in tallies)], narrator)
    if notes := [note for tally in tallies for note in tally.notes]:
        raise AssertionError("\n".join(notes))


if __name__ == "__main__":
    sys.exit(main())

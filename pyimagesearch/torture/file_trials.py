"""Trials of files: malicious ones, and broken ones (fuzzing)."""

import contextlib
import random
import sys
import time
from pathlib import Path

from pyimagesearch import InputError
from pyimagesearch.torture.trials import TrialCounts, keep

# What no file may make the program do.
FORBIDDEN = {"os.system", "os.exec", "os.fork", "os.posix_spawn", "subprocess.Popen", "pty.spawn"}
FORBIDDEN |= {"socket.connect", "os.spawn", "os.forkpty", "ctypes.dlopen"}


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
    from pyimagesearch.data import dataset_files, datasets, image_files, image_folders, sources
    from pyimagesearch.detection import trained_model
    from pyimagesearch.storage import files, model_files

    def image(path):
        image_files.find_readable([path])

    return {
        ".pickle": dataset_files.load_images,
        ".model": model_files.load_model,
        ".npz": lambda path: datasets.load(str(path)),
        ".npy": sources.load_npy,
        ".csv": lambda path: image_folders.load_files(*dataset_files.load_manifest(path)),
        ".json": lambda path: trained_model.parse_calibration(files.load_json(path), "mse", path),
        **dict.fromkeys((".png", ".jpg", ".bmp"), image),
    }


def malicious_file_trials(args, place, narrator):
    """Load every hostile file that there is a recipe for; each has to be refused."""
    from pyimagesearch.torture import malicious_files, malicious_models

    mark = place / "executed"
    leave = f"touch {mark}"
    model = (place / "trained" / "a.model").read_bytes()
    made = [
        ("pickles", ".pickle", name, make(leave))
        for name, make in malicious_files.MALICIOUS_PICKLES.items()
    ]
    made += [
        ("models", ".model", n, make(model, leave))
        for n, make in malicious_models.MALICIOUS_MODELS.items()
    ]
    others = "arrays, images, tables, settings"
    made += [
        (others, suffix, n, make(leave))
        for (suffix, n), make in malicious_files.MALICIOUS_FILES.items()
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

    from pyimagesearch.storage import model_files
    from pyimagesearch.torture import malicious_files

    trained, rng = place / "trained", random.Random(args.seed)
    model = (trained / "a.model").read_bytes()
    images = np.linspace(0, 1, 3 * 5 * 4, dtype=np.float32).reshape(3, 5, 4)

    def changed(suffix, data):
        return suffix, mutated(rng, data)

    def part_of_model(name):
        members = malicious_files.zip_members(model)
        members[name] = mutated(rng, members[name])
        return ".model", malicious_files.zip_archive(members.items())

    kinds = {
        "pickles": lambda: changed(".pickle", pickle.dumps(images, rng.randrange(6))),
        "archives of models": lambda: changed(".model", model),
        "descriptions of models": lambda: part_of_model("config.json"),
        "weights of models": lambda: part_of_model("model.weights.h5"),
        "archives of arrays": lambda: changed(".npz", malicious_files.mnist_like()),
        "arrays": lambda: changed(".npy", malicious_files.npy_header((1, 1, 1))),
        "images": lambda: (lambda suffix: changed(suffix, malicious_files.encoded_image(suffix)))(
            rng.choice((".png", ".jpg", ".bmp"))
        ),
        "tables": lambda: changed(".csv", (trained / "images.csv").read_bytes()),
        "settings": lambda: changed(".json", (trained / "a.json").read_bytes()),
    }
    load, watch, tallies = loaders(), AuditHook(), []
    load[".npz"] = merge_counts(
        load[".npz"], lambda p: model_files.load_reference(p, "local", (8, 8, 1))
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


def merge_counts(one, other):
    """A function that calls two, the second whatever the first has complained of."""

    def call(path):
        with contextlib.suppress(InputError):
            one(path)
        other(path)

    return call

"""Trials of single files: malicious ones, crafted ones beside a model, and mutated ones (fuzzing)."""

import contextlib
import functools
import json
import pickle
import random
import shutil
import sys
import time
from pathlib import Path

from pyimagesearch import InputError
from pyimagesearch.torture.measuring import Usage, limit_memory
from pyimagesearch.torture.trials import TrialCounts, keep_copy, small_run_flags

# What no file may make Python do: see the table of audit events in its documentation.
FORBIDDEN_EVENTS = {
    "ctypes.dlopen",
    "os.exec",
    "os.fork",
    "os.forkpty",
    "os.posix_spawn",
    "os.spawn",
    "os.system",
    "pty.spawn",
    "socket.connect",
    "subprocess.Popen",
}


class AuditHook:
    """Records the forbidden audit events of a call; see `sys.addaudithook`.

    Attributes:
        active: Whether events are being recorded.
        events: Names of the forbidden events of the last call.
    """

    def __init__(self):
        self.active, self.events = False, []
        sys.addaudithook(self.record)

    def record(self, event, args):
        """Record an event, as `sys.addaudithook` reports it."""
        if self.active and event in FORBIDDEN_EVENTS:
            self.events.append(event)

    def call(self, function):
        """Call a function without arguments.

        Returns:
            A tuple of the exception that it raised, or `None`, and the list of its events.
        """
        self.active, self.events = True, []
        try:
            function()
            return None, self.events
        except BaseException as error:
            return error, self.events
        finally:
            self.active = False


def try_file(counts, name, hook, function, must_refuse=False):
    """Count how a call that reads one file ends: in time, in memory, and as an `InputError` if at all.

    Args:
        counts: A `TrialCounts`.
        name: What to call the trial among the failures.
        hook: An `AuditHook`.
        function: The call, without arguments.
        must_refuse: Whether it has to end in an `InputError`.

    Returns:
        Whether it ended as promised.
    """
    before = counts.as_promised
    with Usage() as usage:
        error, events = hook.call(function)
    refused = isinstance(error, InputError) and "\n" not in str(error)
    fault = error is not None and not refused
    problem = f"ended in {error!r}" if fault else "not refused" if not refused else None
    counts.count(
        name,
        problem if fault or must_refuse else None,
        executed=bool(events),
        traceback=fault,
        over_memory=usage.over_memory(error),
        over_time=usage.over_time,
    )
    return counts.as_promised > before


def loaders(trained=None):
    """Suffix -> function that reads a file of that suffix as the scripts do.

    Args:
        trained: Folder of the results of a training, in whose settings models are to fit.
    """
    from pyimagesearch.data import dataset_files, datasets, image_files, image_folders, sources
    from pyimagesearch.detection import trained_model
    from pyimagesearch.storage import files

    def load_image(path):
        image_files.check_files([path])

    settings = files.load_json(trained / "a.json") if trained else {}
    return {
        ".pickle": dataset_files.load_images,
        ".model": lambda path: trained_model.load_network(path, settings),
        ".npz": lambda path: datasets.load(str(path)),
        ".npy": sources.load_npy,
        ".csv": lambda path: image_folders.load_files(*dataset_files.load_manifest(path)),
        ".json": lambda path: trained_model.parse_calibration(files.load_json(path), "mse", path),
        **dict.fromkeys((".png", ".jpg", ".bmp"), load_image),
    }


def malicious_contents(model, command):
    """Every malicious file that there is a recipe for.

    Args:
        model: The bytes of an intact model.
        command: The shell command that the files try to run.

    Yields:
        Tuples of the kind of file, its suffix, the name of its recipe and its bytes.
    """
    from pyimagesearch.torture import malicious_files, malicious_models

    for name, make in malicious_files.MALICIOUS_PICKLES.items():
        yield "pickles", ".pickle", name, make(command)
    for name, make in malicious_models.MALICIOUS_MODELS.items():
        yield "models", ".model", name, make(model)
    for name, make in malicious_models.MALICIOUS_DESCRIPTIONS.items():
        yield "descriptions in models", ".model", name, make(model, command)
    for name, change in malicious_models.MALICIOUS_WEIGHTS.items():
        yield "weights", ".model", name, malicious_models.with_weights(model, change)
    for (suffix, name), make in malicious_files.MALICIOUS_FILES.items():
        yield "arrays, images, tables, settings", suffix, name, make(command)


def malicious_file_trials(args, workspace):
    """Load every malicious file: each must be refused with an `InputError`, and run nothing.

    Descriptions of layers are not read, so that models with malicious ones may load as well.
    """
    limit_memory()
    canary = workspace / "executed"
    trained = workspace / "trained"
    model = (trained / "a.model").read_bytes()
    load, hook, counts = loaders(trained), AuditHook(), {}
    warm_up(trained)

    def load_and_look(path):
        try:
            load[path.suffix](path)
        finally:
            hook.events += ["canary"] * canary.exists()

    for kind, suffix, name, content in malicious_contents(model, f"touch {canary}"):
        path = workspace / f"malicious{suffix}"
        path.write_bytes(content)
        kind_counts = counts.setdefault(kind, TrialCounts(f"malicious {kind}"))
        must_refuse = kind != "descriptions in models"
        try_file(kind_counts, name, hook, functools.partial(load_and_look, path), must_refuse)
        canary.unlink(missing_ok=True)
    return [*counts.values(), *crafted_file_trials(hook, workspace)]


def warm_up(trained):
    """Load a sound model once, so that what libraries set up for the first time is not measured."""
    from pyimagesearch.detection.trained_model import TrainedModel

    TrainedModel.load(trained / "a.model", "local")


def crafted_file_trials(hook, workspace):
    """Load a model beside settings and references with one thing wrong, and go on from checkpoints.

    Each must be read, or refused with an `InputError`.
    """
    from pyimagesearch.detection.trained_model import TrainedModel
    from pyimagesearch.torture import crafted_files
    from pyimagesearch.training.checkpoint import checkpoint_path, read_checkpoint

    trained, folder = workspace / "trained", workspace / "crafted"
    settings = json.loads((trained / "a.json").read_text())
    checkpoint = checkpoint_path(trained / "a.model")
    resume(workspace, trained)
    contents = {
        "settings": [
            (name, "a.json", crafted_files.json_bytes(content))
            for name, content in crafted_files.wrong_values(settings)
        ],
        "references": [
            (name, "a.npz", content)
            for name, content in crafted_files.wrong_arrays((trained / "a.npz").read_bytes(), 7)
        ],
    }
    contents["checkpoints"] = [
        (name, checkpoint.name, content)
        for name, content in crafted_files.wrong_arrays(read_checkpoint(checkpoint), of_each=1)
    ]
    load = dict.fromkeys(contents, lambda: TrainedModel.load(folder / "a.model", "local"))
    load["checkpoints"] = functools.partial(resume, workspace, folder)
    all_counts = []
    for kind, files in contents.items():
        counts = TrialCounts(f"crafted {kind}")
        for name, file_name, content in files:
            shutil.copytree(trained, folder)
            Path(folder, file_name).write_bytes(content)
            try_file(counts, name, hook, load[kind])
            shutil.rmtree(folder)
        all_counts.append(counts)
    return all_counts


def resume(workspace, folder):
    """Go on from the checkpoint in a folder as training does; without one, train and leave one."""
    from pyimagesearch.cli import training_arguments
    from pyimagesearch.data import dataset_files
    from pyimagesearch.runtime.distribution import Cluster
    from pyimagesearch.training import checkpoint
    from pyimagesearch.training.train import train

    flags = small_run_flags("train", workspace, folder)
    args = training_arguments.training_parser().parse_args(flags)
    recipe = training_arguments.recipe_from_args(args)
    images = dataset_files.load_images(folder / "images.pickle")
    settings = checkpoint.checkpoint_settings(
        recipe, dataset_files.fingerprint(images), args.seed, args.precision, args.backbone_weights
    )
    path = checkpoint.checkpoint_path(args.model)
    state = checkpoint.load_checkpoint(path, settings, Cluster())
    save = None if state else functools.partial(checkpoint.save_checkpoint, path, settings)
    train(images, recipe, seed=args.seed, checkpoint=state, on_checkpoint=save)


def mutate(rng, data):
    """Bytes with a few of them flipped, overwritten, deleted, repeated or inserted at random."""
    data = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        start = rng.randrange(len(data) + 1)
        kind = rng.randrange(6)
        if kind == 0 and start < len(data):
            data[start] ^= 1 << rng.randrange(8)
        elif kind == 1 and start < len(data):
            data[start] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, ord("."), ord("R"), ord("c")))
        elif kind == 2:
            del data[start : start + rng.choice((1, 4, 64))]
        elif kind == 3:
            data[start:start] = data[start : start + rng.choice((1, 4, 64))]
        elif kind == 4:
            data[start:start] = rng.randbytes(rng.choice((1, 4, 8)))
        else:
            data[start : start + 8] = rng.choice((b"\xff" * 8, bytes(8), b"\x00" * 7 + b"\x7f"))
    return bytes(data[: rng.randrange(len(data) + 1)] if rng.random() < 0.1 else data)


def mutators(rng, trained):
    """Ways to mutate intact files.

    Args:
        rng: A `random.Random`.
        trained: Folder of the results of a training.

    Returns:
        A dict from the kind of file to a function that returns a suffix and mutated bytes.
    """
    import numpy as np

    from pyimagesearch.torture import malicious_files

    model = (trained / "a.model").read_bytes()
    images = np.linspace(0, 1, 3 * 5 * 4, dtype=np.float32).reshape(3, 5, 4)

    def mutate_member(name):
        members = malicious_files.zip_members(model)
        members[name] = mutate(rng, members[name])
        return ".model", malicious_files.zip_archive(members.items())

    def mutate_image():
        suffix = rng.choice((".png", ".jpg", ".bmp"))
        return suffix, mutate(rng, malicious_files.encoded_image(suffix))

    return {
        "pickles": lambda: (".pickle", mutate(rng, pickle.dumps(images, rng.randrange(6)))),
        "models": lambda: (".model", mutate(rng, model)),
        "configs of models": lambda: mutate_member("config.json"),
        "weights of models": lambda: mutate_member("model.weights.h5"),
        ".npz files": lambda: (".npz", mutate(rng, malicious_files.mnist_like())),
        ".npy files": lambda: (".npy", mutate(rng, malicious_files.npy_header((1, 1, 1)))),
        "images": mutate_image,
        "tables": lambda: (".csv", mutate(rng, (trained / "images.csv").read_bytes())),
        "settings": lambda: (".json", mutate(rng, (trained / "a.json").read_bytes())),
    }


def mutation_trials(args, workspace):
    """Load mutated files for some seconds: each must be read, or refused with an `InputError`."""
    from pyimagesearch.storage import model_files

    limit_memory()
    load, hook, all_counts = loaders(workspace / "trained"), AuditHook(), []
    warm_up(workspace / "trained")
    load_source = load[".npz"]

    def load_npz(path):
        """Read a file both as a source of images and as the reference file of a model."""
        with contextlib.suppress(InputError):
            load_source(path)
        model_files.load_reference(path, "local", model_files.reference_bytes((8, 8, 1)))

    load[".npz"] = load_npz
    kinds = mutators(random.Random(args.seed), workspace / "trained")
    for kind, make in kinds.items():
        counts = TrialCounts(f"mutated {kind}")
        end = time.monotonic() + args.seconds / len(kinds)
        while time.monotonic() < end:
            suffix, data = make()
            path = workspace / f"mutated{suffix}"
            path.write_bytes(data)
            name = f"{counts.times}{suffix}"
            if not try_file(counts, name, hook, functools.partial(load[suffix], path)):
                keep_copy(path, Path(args.output), counts.what)
        all_counts.append(counts)
    return all_counts

"""The checkpoint of a training: a hidden file beside its model."""

import hashlib
import io
import json
from pathlib import Path

import numpy as np

from pyimagesearch import InputError
from pyimagesearch.storage import ownership
from pyimagesearch.storage.atomic import Transaction
from pyimagesearch.storage.files import first_line, load_arrays, open_for_reading


def checkpoint_path(model):
    """Path of the checkpoint of a training: beside its model, hidden."""
    return Path(model).with_name(f".{Path(model).name}.resume")


def checkpoint_settings(recipe, fingerprint, seed, precision, weights=None):
    """All that decides what a training leads to: the same can be resumed, nothing else.

    Args:
        recipe, seed, precision: As for `train.train`.
        fingerprint: Of the images, as `dataset_files.fingerprint` returns it.
        weights: Path of a file of the backbone's weights that was named; `None` if none was.

    Returns:
        A dict for JSON.

    Raises:
        InputError: If that file can't be read.
    """
    settings = {"seed": seed, "precision": precision, "fingerprint of the images": fingerprint}
    if weights is not None:
        with open_for_reading(weights) as file:
            settings["SHA-256 of the weights"] = hashlib.file_digest(file, "sha256").hexdigest()
    return {**recipe.as_dict(), **settings}


def save_checkpoint(path, settings, state):
    """Write a checkpoint, whole or not at all.

    Args:
        path: Where to.
        settings: As `checkpoint_settings` returns them: a dict for JSON.
        state: As `Trainer.state_dict` returns it: a dict of arrays by name, none of them called
            `settings`.

    Raises:
        InputError: If it can't be written.
    """
    text = np.frombuffer(json.dumps(settings).encode(), np.uint8)
    with Transaction() as transaction:
        temporary = transaction.stage(path)
        with temporary.open("wb") as file:
            np.savez(file, settings=text, **state)
        ownership.mark_zip(temporary)


def load_checkpoint(path, settings, cluster):
    """Read a checkpoint in the chief process, for all processes.

    Args:
        path: Path of the checkpoint; other processes than the chief don't look there.
        settings: As `checkpoint_settings` returns them, of the training that is to go on.
        cluster: A `distribution.Cluster`.

    Returns:
        The state that `save_checkpoint` wrote; `None` if there is no checkpoint.

    Raises:
        InputError: If the checkpoint is broken, or has other settings.
    """
    data = cluster.broadcast(read_checkpoint(path) if cluster.is_chief else b"")
    return parse_checkpoint(data, path, settings) if data else None


def read_checkpoint(path):
    """The bytes of a checkpoint; none if there is no such file."""
    if not Path(path).exists():
        return b""
    with open_for_reading(path) as file:
        return file.read()


def parse_checkpoint(data, path, settings):
    """Read the state from the bytes of a checkpoint.

    Args:
        data: As `read_checkpoint` returns them.
        path: Path of the checkpoint, for messages.
        settings: The settings that it has to have.

    Returns:
        The state that `save_checkpoint` wrote, to the bit.

    Raises:
        InputError: If the data are broken, or the settings are others.

    Example:
        >>> import tempfile
        >>> folder = tempfile.TemporaryDirectory()
        >>> path = checkpoint_path(Path(folder.name, "a.model"))
        >>> save_checkpoint(path, {"seed": 1}, {"loss": np.array([0.5])})
        >>> parse_checkpoint(read_checkpoint(path), path, {"seed": 1})["loss"].tolist()
        [0.5]
        >>> parse_checkpoint(read_checkpoint(path), "a.resume", {"seed": 2})
        Traceback (most recent call last):
        ...
        pyimagesearch.InputError: expected the settings of the training in a.resume, received seed 2 where it has 1: give the same, or leave --resume out to start from scratch
        >>> folder.cleanup()
    """
    try:
        # `save_checkpoint` packs nothing: no checkpoint unpacks to more than it takes on disk.
        state = load_arrays(io.BytesIO(data), list, len(data))
        saved = json.loads(state.pop("settings").tobytes())
        current = json.loads(json.dumps(settings))
        names = sorted({*saved, *current})
        differing = [name for name in names if saved.get(name) != current.get(name)]
    except Exception as fault:
        # Whatever a broken archive raises: there are too many kinds to list.
        raise InputError(
            f"expected a whole checkpoint at {path}, found a broken one ({first_line(fault)}): leave "
            "--resume out to start from scratch"
        ) from None
    if differing:
        differences = ", ".join(
            f"{name} {current.get(name)} where it has {saved.get(name)}" for name in differing
        )
        raise InputError(
            f"expected the settings of the training in {path}, received {differences}: give the "
            "same, or leave --resume out to start from scratch"
        )
    return state


def check_state(state, expected):
    """See that a state has what a trainer's has: the same names, dtypes and shapes.

    Args:
        state: Dict of arrays by name, as `parse_checkpoint` returns it.
        expected: The state of the trainer as it is now, whose `loss` and `val_loss` are shorter.

    Raises:
        InputError: If one is missing or of another dtype or shape, or if a loss is no number.

    Example:
        >>> check_state({"loss": np.zeros(2)}, {"loss": np.zeros(0)})
        >>> check_state({"loss": np.array("x")}, {"loss": np.zeros(0), "seconds": np.array(0.5)})
        Traceback (most recent call last):
        ...
        pyimagesearch.InputError: expected a checkpoint of this training, found another in loss, seconds: ...
    """
    of_epochs = [state[name] for name in ("loss", "val_loss") if name in state]
    wrong = sorted({*state} ^ {*expected})
    for name in {*state} & {*expected}:
        found, wanted = state[name], expected[name]
        if name in ("loss", "val_loss"):
            fits = found.ndim == 1 and found.dtype == np.float64 and np.isfinite(found).all()
            fits = fits and len(found) in (len(of_epochs[0]), 0) and of_epochs[0].size > 0
        else:
            fits = found.shape == wanted.shape and found.dtype == wanted.dtype
        if not fits:
            wrong.append(name)
    if wrong:
        listed = ", ".join(name[:100] for name in sorted(wrong)[:3])
        raise InputError(
            f"expected a checkpoint of this training, found another in {listed}: leave --resume out "
            "to start from scratch"
        )

"""The checkpoint of an unfinished training."""

import dataclasses
import io
import json
from pathlib import Path

import numpy as np

from pyimagesearch import InputError
from pyimagesearch.storage import ownership
from pyimagesearch.storage.atomic import Transaction
from pyimagesearch.storage.files import check_unpacked_sizes, open_for_reading


def checkpoint_path(model):
    """Where the state of an unfinished training lies: beside its model, hidden."""
    return Path(model).with_name(f".{Path(model).name}.resume")


def save_checkpoint(path, settings, state):
    """Write how far a training has got, whole or not at all, so that it can be resumed.

    Args:
        path: Where to.
        settings: What it was started with: a dict for JSON.
        state: A dict of arrays by name; none is called `settings`.
    """
    text = np.frombuffer(json.dumps(settings).encode(), np.uint8)
    with Transaction() as transaction:
        temporary = transaction.stage(path)
        with temporary.open("wb") as file:
            np.savez(file, settings=text, **state)
        ownership.mark_zip(temporary)


def read_checkpoint(path):
    """The bytes that `save_checkpoint` wrote; none where there is no such file."""
    if not Path(path).exists():
        return b""
    with open_for_reading(path) as file:
        return file.read()


def parse_checkpoint(data, path, settings):
    """Check that a training can go on where another has ended.

    Args:
        data: What `read_checkpoint` returned.
        path: What to call it in messages.
        settings: What the training is started with now.

    Returns:
        The dict of arrays that was saved, to the bit.

    Raises:
        InputError: If the data are broken, or the settings are others.

    Example:
        >>> import tempfile
        >>> folder = tempfile.TemporaryDirectory()
        >>> path = checkpoint_path(Path(folder.name, "a.model"))
        >>> save_checkpoint(path, {"seed": 1}, {"loss": np.array([0.5])})
        >>> parse_checkpoint(read_checkpoint(path), path, {"seed": 1})["loss"].tolist()
        [0.5]
        >>> parse_checkpoint(read_checkpoint(path), "it", {"seed": 2})
        Traceback (most recent call last):
        ...
        pyimagesearch.InputError: expected the settings of the training that it shall go on with, found seed 1 then and 2 now: give the same, or leave --resume out to begin anew
        >>> folder.cleanup()
    """
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            check_unpacked_sizes(archive, archive.files)
            state = dict(archive)
        then = json.loads(state.pop("settings").tobytes())
        now = json.loads(json.dumps(settings))
        names = {*then, *now}
    except Exception as fault:
        # Whatever a broken archive trips over: there are too many kinds to list.
        raise InputError(
            f"{path} is not the whole state of a training ({fault}): leave --resume out to begin "
            "anew"
        ) from None
    others = sorted(name for name in names if then.get(name) != now.get(name))
    if others:
        found = ", ".join(
            f"{name} {then.get(name)} then and {now.get(name)} now" for name in others
        )
        raise InputError(
            f"expected the settings of the training that it shall go on with, found {found}: give "
            "the same, or leave --resume out to begin anew"
        )
    return state


def training_settings(recipe, fingerprint, *, loss, corrupt, seed, precision):
    """All that decides what a training leads to: it can be gone on with by the same alone.

    Args:
        recipe, loss, corrupt, seed, precision: As for `train`.
        fingerprint: Of the images, as `dataset_files.fingerprint` returns it.

    Returns:
        A dict for JSON.
    """
    settings = {"loss": loss, "corrupt": corrupt, "seed": seed, "precision": precision}
    return {**dataclasses.asdict(recipe), **settings, "fingerprint of the images": fingerprint}


def load_checkpoint(path, settings, cluster):
    """Where a training that was cut off can go on.

    Args:
        path: Where `save_checkpoint` has written; only the chief looks.
        settings: What `training_settings` returns.
        cluster: A `distribution.Cluster`.

    Returns:
        What `trainer.fit_autoencoder` takes as a state; `None` where there is none.

    Raises:
        InputError: If it belongs to other settings or other images.
    """
    data = cluster.broadcast(read_checkpoint(path) if cluster.is_chief else b"")
    return parse_checkpoint(data, path, settings) if data else None

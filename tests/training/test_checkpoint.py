import numpy as np
import pytest

from pyimagesearch import InputError
from pyimagesearch.runtime.distribution import Cluster
from pyimagesearch.training import checkpoint
from pyimagesearch.training.recipes import make_recipe


def test_checkpoint_comes_back_to_the_bit(tmp_path, rng):
    path = checkpoint.checkpoint_path(tmp_path / "a.model")
    settings = {"epochs": 3, "lr": 0.1, "corrupt": ("noise", 0.5), "filters": (8, 4)}
    assert checkpoint.load_checkpoint(path, settings, Cluster()) is None
    state = {
        "loss": rng.random(3),
        "weights": np.array([0, 0.5, 1]),
        "variable/0": rng.random((2, 3)),
    }
    checkpoint.save_checkpoint(path, settings, state)
    again = checkpoint.load_checkpoint(path, settings, Cluster())
    assert again.keys() == state.keys()
    for name, array in state.items():
        np.testing.assert_array_equal(again[name], array)
        assert again[name].dtype == array.dtype


def test_checkpoint_with_other_settings_is_refused_with_what_differs(tmp_path):
    path = checkpoint.checkpoint_path(tmp_path / "a.model")
    checkpoint.save_checkpoint(path, {"epochs": 3, "seed": 1, "loss": "mse"}, {})
    data = checkpoint.read_checkpoint(path)
    with pytest.raises(InputError, match="epochs 5 where it has 3, seed 2 where it has 1:"):
        checkpoint.parse_checkpoint(data, path, {"epochs": 5, "seed": 2, "loss": "mse"})


def test_settings_name_all_that_decides_what_a_training_leads_to():
    arguments = {"recipe": make_recipe(), "fingerprint": "a1", "seed": 3, "precision": "float32"}
    settings = checkpoint.checkpoint_settings(**arguments)
    assert settings == {
        **make_recipe().as_dict(),
        "fingerprint of the images": "a1",
        "seed": 3,
        "precision": "float32",
    }
    changes = {"recipe": make_recipe("shapes"), "fingerprint": "b2", "seed": 4, "precision": "bf16"}
    for name, other in changes.items():
        assert checkpoint.checkpoint_settings(**{**arguments, name: other}) != settings, name


def test_checkpoint_of_other_weights_of_the_backbone_is_refused(tmp_path):
    recipe, settings = make_recipe("photos"), []
    for content in (b"one", b"two"):
        (tmp_path / "a.h5").write_bytes(content)  # the same name says nothing
        settings.append(checkpoint.checkpoint_settings(recipe, "", 0, "float32", tmp_path / "a.h5"))
    path = checkpoint.checkpoint_path(tmp_path / "a.model")
    checkpoint.save_checkpoint(path, settings[0], {})
    data = checkpoint.read_checkpoint(path)
    assert checkpoint.parse_checkpoint(data, path, settings[0]) == {}
    none_named = checkpoint.checkpoint_settings(recipe, "", 0, "float32")
    for others in (settings[1], none_named):
        with pytest.raises(InputError, match="SHA-256 of the weights .* where it has"):
            checkpoint.parse_checkpoint(data, path, others)


@pytest.mark.parametrize("end", [0.1, 0.5, 0.99])
def test_broken_checkpoint_is_refused(tmp_path, end):
    path = checkpoint.checkpoint_path(tmp_path / "a.model")
    checkpoint.save_checkpoint(path, {}, {"loss": np.zeros(1000)})
    data = checkpoint.read_checkpoint(path)
    with pytest.raises(InputError, match="expected a whole checkpoint"):
        checkpoint.parse_checkpoint(data[: int(end * len(data))], path, {})


@pytest.mark.parametrize("settings", [np.array([{}], object), np.frombuffer(b"[1]", np.uint8)])
def test_checkpoint_with_a_pickle_or_without_settings_is_refused(tmp_path, settings):
    path = tmp_path / "evil.resume"
    with path.open("wb") as file:
        np.savez(file, settings=settings)
    with pytest.raises(InputError, match="expected a whole checkpoint"):
        checkpoint.parse_checkpoint(checkpoint.read_checkpoint(path), path, {})


def test_checkpoint_that_unpacks_to_more_than_it_takes_on_disk_is_refused(tmp_path):
    path = tmp_path / "evil.resume"
    with path.open("wb") as file:
        np.savez_compressed(file, settings=np.frombuffer(b"{}", np.uint8), weights=np.zeros(10_000))
    with pytest.raises(InputError, match="would unpack to 80,258 bytes"):
        checkpoint.parse_checkpoint(checkpoint.read_checkpoint(path), path, {})


STATE = {
    "loss": np.array([0.5, 0.25]),
    "val_loss": np.array([0.75, 0.5]),
    "seconds": np.array(1.5),
    "weights": np.ones(3, np.float32),
}


@pytest.mark.parametrize(
    "changes",
    [
        {"loss": np.zeros(0), "val_loss": np.zeros(0)},
        {"loss": np.array([0.5, np.nan])},
        {"loss": np.float32([0.5, 0.25])},
        {"loss": np.array([[0.5, 0.25]] * 2)},
        {"val_loss": np.array([0.75])},
        {"weights": np.ones(4, np.float32)},
        {"weights": np.ones(3)},
        {"seconds": np.array([1.5])},
        {"more": np.array(1)},
    ],
)
def test_state_that_no_trainer_has_left_is_refused_by_what_is_wrong(changes):
    expected = {**STATE, "loss": np.zeros(0), "val_loss": np.zeros(0)}
    checkpoint.check_state(STATE, expected)
    checkpoint.check_state({**STATE, "val_loss": np.zeros(0)}, expected)
    checkpoint.check_state({**STATE, "loss": np.ones(1), "val_loss": np.ones(1)}, expected)
    message = f"another in {', '.join(changes)}: leave --resume out"
    with pytest.raises(InputError, match=message):
        checkpoint.check_state({**STATE, **changes}, expected)
    if "seconds" in changes:
        del expected["weights"], expected["seconds"], expected["val_loss"]
        with pytest.raises(InputError, match="another in seconds, val_loss, weights: leave"):
            checkpoint.check_state(STATE, expected)
        del expected["loss"]
        with pytest.raises(InputError, match="another in loss, seconds, val_loss: leave"):
            checkpoint.check_state(STATE, expected)

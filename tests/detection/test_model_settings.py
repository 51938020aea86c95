import contextlib

import pytest

from pyimagesearch import InputError
from pyimagesearch.detection.model_settings import FIELDS, REQUIRED, check_settings, get

SOUND = {
    "command": {"dataset": "a.pickle", "loss": "mse", "valid_label": [1, "cat"]},
    "recipe": {"arch": "conv", "trim": 0.05},
    "source": "digits",
    "image_shape": [28, 28, 1],
    "fingerprint": "0f",
    "names": "f0",
    "recommended_score": "mse",
    "versions": {"keras": "3"},
    "training": {"loss": [0.5, 1], "val_loss": []},
    "scores": {},
    "preprocessing": None,
    "trained_on": {"is_gray": True},
}


def changed(field, value):
    """Sound settings, but for one field."""
    *parents, last = field.split(".")
    copy = {**SOUND, **{key: dict(SOUND[key]) for key in SOUND if isinstance(SOUND[key], dict)}}
    place = copy[parents[0]] if parents else copy
    place[last] = value
    return copy


def test_sound_settings_those_of_earlier_versions_and_none_pass():
    for settings in (SOUND, {}, {"command": {}}, changed("command.valid_label", None)):
        check_settings(settings, "a.json")
    assert all(get(SOUND, field) is not None or field == "preprocessing" for field in FIELDS)


@pytest.mark.parametrize("field", FIELDS)
def test_field_of_another_type_is_refused_by_its_name(field):
    messages = []
    for value in (None, True, 3, 1e400, "text", [], [[1]], ["text"], {}, {"a": 1}):
        with contextlib.suppress(InputError):
            check_settings(changed(field, value), "a.json")
            continue
        with pytest.raises(InputError) as caught:
            check_settings(changed(field, value), "a.json")
        messages.append(str(caught.value))
    assert len(messages) >= 5
    assert all(f"a.json is not as training writes it ({field}" in message for message in messages)


@pytest.mark.parametrize("field", [other for others in REQUIRED.values() for other in others])
def test_field_that_another_needs_is_required(field):
    parent, name = field.split(".")
    settings = changed(field, 0)
    del settings[parent][name]
    with pytest.raises(InputError, match=field):
        check_settings(settings, "a.json")

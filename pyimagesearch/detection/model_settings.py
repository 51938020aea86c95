"""The settings beside a model: what of them is used later, checked once, when they are read."""

import sys

from pyimagesearch import InputError


def is_number(value):
    """Whether a value is a finite number and no truth value.

    Example:
        >>> [is_number(value) for value in (7, 0.5, True, float("nan"), 10**400)]
        [True, True, False, False, False]
    """
    return type(value) in (int, float) and abs(value) <= sys.float_info.max


def is_list_of(check):
    """Make a check of lists of at most a million values."""
    return lambda value: (
        isinstance(value, list) and len(value) <= 1_000_000 and all(map(check, value))
    )


def is_text(value):
    """Whether a value is text."""
    return isinstance(value, str)


def is_object(value):
    """Whether a value is an object of JSON."""
    return isinstance(value, dict)


def is_class_name(value):
    """Whether a value is the name or the number of a class."""
    return type(value) in (int, str)


def or_null(check):
    """Make a check that null passes too."""
    return lambda value: value is None or check(value)


# Fields that are read later -> what they have to be, if they are there. A field may be missing in
# the settings of an earlier version, but not those that `REQUIRED` names.
FIELDS = {
    "command": is_object,
    "command.dataset": or_null(is_text),
    "command.loss": is_text,
    "command.valid_label": or_null(is_list_of(is_class_name)),
    "recipe": is_object,
    "recipe.arch": is_text,
    "recipe.trim": is_number,
    "source": is_text,
    "image_shape": is_list_of(lambda value: type(value) is int),
    "fingerprint": is_text,
    "names": or_null(is_text),
    "recommended_score": is_text,
    "versions": is_object,
    "training": is_object,
    "training.loss": is_list_of(is_number),
    "training.val_loss": is_list_of(is_number),
    "scores": is_object,
    "preprocessing": or_null(is_object),
    "trained_on": or_null(is_object),
}
# Field -> fields without which it can't be understood.
REQUIRED = {"training": ("training.loss", "training.val_loss", "recipe.trim", "command.loss")}


def check_settings(settings, name):
    """See that the settings beside a model are such as training writes, in all that is used of them.

    Args:
        settings: The JSON object; empty for a model without settings.
        name: The name of the file, for the message.

    Raises:
        InputError: If a field has another type, or is missing.

    Example:
        >>> check_settings({"source": "digits"}, "a.json")
        >>> check_settings({"source": 7}, "a.json")
        Traceback (most recent call last):
        ...
        pyimagesearch.InputError: a.json is not as training writes it (source): train again
    """
    for field, check in FIELDS.items():
        value = get(settings, field)
        if value is not MISSING and not check(value):
            refuse(name, field)
    for field, others in REQUIRED.items():
        if get(settings, field) is not MISSING:
            for other in others:
                if get(settings, other) is MISSING:
                    refuse(name, other)


MISSING = object()


def get(settings, field):
    """The value of a field such as `command.loss`; `MISSING` if it is not there."""
    for key in field.split("."):
        if not isinstance(settings, dict) or key not in settings:
            return MISSING
        settings = settings[key]
    return settings


def refuse(name, field):
    """Refuse settings for one of their fields."""
    raise InputError(f"{name} is not as training writes it ({field}): train again")

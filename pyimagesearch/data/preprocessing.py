"""Preprocessing: image files are read for a model as those were that it was trained on."""

import dataclasses

from pyimagesearch import InputError
from pyimagesearch.data import image_quality, resizing
from pyimagesearch.data.image_files import ImageFiles
from pyimagesearch.data.image_folders import Reading


def reading_for(image_shape, preprocessing=None):
    """How image files are read for a model.

    Args:
        image_shape: Its `(height, width, depth)`; `None` for the images' own.
        preprocessing: What its settings say of the image files that it was trained on, a dict;
            `None` of a model of arrays.

    Returns:
        An `image_folders.Reading`.

    Raises:
        InputError: If the settings are not as training writes them.
    """
    reading = Reading()
    if image_shape is not None:
        reading = Reading(tuple(image_shape[:2]), image_shape[2] == 1)
    if preprocessing is None:
        return reading
    try:
        aspect_ratio, maximum = preprocessing["aspect_ratio"], preprocessing["maximum"]
        background = tuple(preprocessing["background"])
        is_valid = (
            aspect_ratio in resizing.ASPECT_RATIOS
            and type(maximum) is int
            and 255 <= maximum <= 65535
            and len(background) == 3
            and all(type(value) is int and 0 <= value <= 255 for value in background)
        )
    except (KeyError, TypeError):
        is_valid = False
    if not is_valid:
        raise InputError(
            "expected the preprocessing in the settings of the model as training writes it, found "
            "another: train again"
        )
    return dataclasses.replace(
        reading, aspect_ratio=aspect_ratio, background=background, maximum=maximum
    )


def differences(images, trained_on):
    """Say how image files differ from those that a model was trained on.

    Args:
        images: The images of a dataset; those that are no files have no differences.
        trained_on: What the settings of the model say of these, a dict with `is_gray`, `is_deep`
            and `aspect`; `None` where it is not known.

    Returns:
        A list of lines of text.
    """
    if not isinstance(images, ImageFiles) or not isinstance(trained_on, dict):
        return []
    now, found = images.facts, []
    if trained_on.get("is_gray") != now["is_gray"]:
        kinds = {True: "gray images", False: "images in color"}
        found.append(
            f"the model was trained on {kinds[bool(trained_on.get('is_gray'))]}, and these are "
            f"{kinds[now['is_gray']]}"
        )
    if trained_on.get("is_deep") != now["is_deep"]:
        kinds = {True: "images of more than 8 bits", False: "images of 8 bits"}
        found.append(
            f"the model was trained on {kinds[bool(trained_on.get('is_deep'))]}, and these are "
            f"{kinds[now['is_deep']]}"
        )
    aspect = trained_on.get("aspect")
    if isinstance(aspect, int | float) and aspect > 0:
        ratio = now["aspect"] / aspect
        if max(ratio, 1 / ratio) > image_quality.ODD_ASPECT:
            found.append(
                f"the model was trained on images whose ratio of width to height is {aspect:.2f}, "
                f"and that of these is {now['aspect']:.2f}"
            )
    return found

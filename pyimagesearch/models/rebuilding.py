"""Networks of pixels, rebuilt from the settings beside a model: a few names and bounded numbers."""

import itertools
import math
from types import SimpleNamespace

import numpy as np

from pyimagesearch import InputError
from pyimagesearch.models import architectures
from pyimagesearch.models.denseautoencoder import DenseAutoencoder
from pyimagesearch.models.normalization import MAX_NUMBERS, Normalization

# Height, width or depth of an image, at most.
MAX_SIDE = 2**16
# Outputs of a layer for one image, at most: 32 channels of 1024x1024 pixels.
MAX_OUTPUTS = 2**25
# Layers from the image to the code, at most: so many halve the largest side to one pixel.
MAX_LAYERS = 16
# The keys of a stored recipe that every model has.
STORED_KEYS = ("arch", "filters", "latent_dim", "batch_norm")


def rebuild(recipe, image_shape, max_bytes, name):
    """Build the network of a recipe as it is stored, with weights and normalization to be replaced.

    Args:
        recipe: The JSON object `recipe` of the settings beside a model.
        image_shape: The JSON value `image_shape`.
        max_bytes: Size of the archive of the weights, which no sound network exceeds.
        name: Name of the settings file in messages.

    Returns:
        A Keras model as `architectures.build` returns it.

    Raises:
        InputError: If a value is not as training writes it, or if the network would have more
            weights than there are in the archive.

    Example:
        >>> recipe = {"arch": "conv", "filters": [4], "latent_dim": 2, "batch_norm": False}
        >>> rebuild(recipe, [8, 8, 1], 10_000, "a.json").count_params()
        547
    """
    try:
        settings, image_shape = _checked(recipe, image_shape)
    except ValueError as fault:
        raise InputError(
            f"{name} does not describe a network as training does ({fault}): train again"
        ) from None
    if 4 * count_weights(settings, image_shape) > max_bytes:
        raise InputError(
            f"{name} describes another network than was saved, one of more weights: train again"
        )
    model = architectures.build(settings, image_shape, 0, _placeholder(settings, image_shape))
    if layer := _oversized_layer(model):
        raise InputError(
            f"{name} describes a network of layers too large for any image: {layer.name} makes "
            f"{layer.output.shape[1:]} numbers: train again"
        )
    return model


def _checked(recipe, image_shape):
    """The settings of a network, with their types and ranges checked."""
    if missing := [key for key in STORED_KEYS if key not in recipe]:
        raise ValueError(f"no {missing[0]}")
    settings = SimpleNamespace(
        arch=recipe["arch"],
        filters=recipe["filters"],
        latent_dim=recipe["latent_dim"],
        batch_norm=recipe["batch_norm"],
        # Older models have neither: their networks were bare.
        center=recipe.get("centred", False),
        normalize_contrast=recipe.get("even_contrast", False),
        momentum=0.99,  # only training needs it
    )
    if settings.arch not in tuple(architectures.BUILDERS):
        raise ValueError(f"arch {str(settings.arch)[:100]}")
    sizes = settings.filters, image_shape
    if not all(type(size) in (list, tuple) and all(map(_is_size, size)) for size in sizes):
        raise ValueError("sizes that are no whole numbers")
    if not 1 <= len(settings.filters) <= MAX_LAYERS:
        raise ValueError(f"{len(settings.filters)} filters")
    if len(image_shape) != 3 or max(image_shape) > MAX_SIDE:
        raise ValueError(f"image_shape {str(image_shape)[:100]}")
    without_code = settings.latent_dim is None and not _is_dense(settings)
    if not (without_code or _is_size(settings.latent_dim)):
        raise ValueError(f"latent_dim {str(settings.latent_dim)[:100]}")
    flags = settings.batch_norm, settings.center, settings.normalize_contrast
    if not all(type(flag) is bool for flag in flags):
        raise ValueError("a flag that is neither true nor false")
    return settings, tuple(image_shape)


def _is_size(value):
    """Whether a JSON value is a whole number from 1 up, and no larger than any array may be."""
    return type(value) is int and 1 <= value < 2**31


def _is_dense(settings):
    """Whether a network has dense layers alone."""
    return architectures.BUILDERS[settings.arch] is DenseAutoencoder


def count_weights(settings, image_shape):
    """Count the numbers of the weights of a network, before it is built.

    Args:
        settings: An object with the attributes `arch`, `filters`, `latent_dim` and `batch_norm` of
            a `recipes.Recipe`.
        image_shape: `(height, width, depth)`.

    Returns:
        An int, as `count_params` of the Keras model.

    Example:
        >>> settings = SimpleNamespace(arch="dense", filters=[2], latent_dim=1, batch_norm=False)
        >>> count_weights(settings, (1, 1, 3))  # 3-2-1-2-3: 16 between the layers, and 8 biases
        24
    """
    height, width, depth = image_shape
    filters, code = settings.filters, settings.latent_dim
    if _is_dense(settings):
        widths = [math.prod(image_shape), *filters]
        layers = itertools.pairwise([*widths, code, *reversed(widths)])
        count = sum(before * after + after for before, after in layers)
    else:
        layers = itertools.pairwise([depth, *filters, *reversed(filters), depth])
        count = sum(3 * 3 * before * after + after for before, after in layers)
        if code is not None:
            halvings = 2 ** len(filters)
            volume = -(-height // halvings) * -(-width // halvings) * filters[-1]
            count += volume * code + code + code * volume + volume
    if settings.batch_norm:
        # There and back: a scale, an offset, a mean and a variance of each channel.
        count += 2 * 4 * sum(filters)
    return count


def _placeholder(settings, image_shape):
    """A normalization of the right shapes, the numbers of which are to be replaced."""
    if not settings.center:
        return None
    per_pixel = math.prod(image_shape) <= MAX_NUMBERS
    mean = np.zeros(image_shape if per_pixel else image_shape[-1:])
    return Normalization(mean, 1.0, 1.0 if settings.normalize_contrast else None)


def _oversized_layer(model):
    """The first layer that makes more than `MAX_OUTPUTS` numbers of one image, or `None`."""
    for layer in _layers(model):
        for tensor in layer.output if isinstance(layer.output, list) else [layer.output]:
            if math.prod(size or 1 for size in tensor.shape) > MAX_OUTPUTS:
                return layer
    return None


def _layers(model):
    """All layers of a model, including those of models in it."""
    import keras

    for layer in model.layers:
        yield layer
        if isinstance(layer, keras.Model):
            yield from _layers(layer)

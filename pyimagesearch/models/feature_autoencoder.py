"""Linear autoencoder of the feature maps of a frozen backbone (deep feature reconstruction)."""

import contextlib
import math
from typing import NamedTuple

import keras

from pyimagesearch import InputError
from pyimagesearch.models import backbone as backbones
from pyimagesearch.models.architectures import PRECISION_POLICIES

# Sides in pixels of what the backbone sees: smaller images are enlarged, larger ones refused,
# since what is learned of each place grows with the places.
MIN_SIDE, MAX_SIDE = 96, 512
# Numbers of the latent code, at most.
MAX_CODE_LENGTH = 64
# Channels of a stage, at most, by the stages of `backbones.STRIDES`: a covariance of them is
# learned at each place. Wider stages are projected onto their principal components.
MAX_CHANNELS = (64, 64, 128, 192)
# The parts of a model, by the names of its layers.
FEATURES = tuple(f"features_{stride}" for stride in backbones.STRIDES)
DECODERS = tuple(f"decoder_{stride}" for stride in backbones.STRIDES)


def build(
    image_shape, backbone=backbones.DEFAULT, code_length=8, weights=None, precision="float32"
):
    """Build a backbone and, on top of it, an autoencoder of its features.

    The feature maps of four stages, standardized, are the volume that is reconstructed. The encoder
    maps the last stage, which shows the whole image, to a short latent code; the decoder maps the
    code to every place of every stage. Both are linear, and are fitted in closed form by
    `training.feature_training`. (Deep feature reconstruction: Yang, Shi and Qi, "DFR", 2020.)

    Args:
        image_shape: `(height, width, depth)` of the images; a depth of 1 or 3.
        backbone: One of `backbone.NAMES`.
        code_length: Length of the latent code.
        weights: Of the backbone, as for `backbone.build`.
        precision: A key of `PRECISION_POLICIES`, for the backbone; what is fitted to its features
            computes in float32.

    Returns:
        A `keras.Model` named `feature_autoencoder` from images, float32 `(N, height, width, depth)`
        in [0, 1], to a list of float32 tensors: the standardized features of the four stages, each
        `(N, h, w, C)`; their reconstructions, of the same shapes; and the embedding of the
        backbone, `(N, E)`.

    Raises:
        InputError: If the images are too large or have other channels, or as `backbone.build`.

    Example:
        >>> model = build((64, 96, 1), weights=False)
        >>> [tuple(output.shape[1:]) for output in model.outputs[:4]]
        [(12, 18, 24), (12, 18, 40), (6, 9, 112), (3, 5, 192)]
    """
    *size, depth = image_shape
    if depth not in (1, 3):
        raise InputError(
            f"expected images of 1 or 3 channels for --recipe photos, received {depth}: take "
            "--recipe robust"
        )
    if max(size) > MAX_SIDE:
        raise InputError(
            f"expected images of at most {MAX_SIDE} x {MAX_SIDE} pixels for --recipe photos, "
            f"received {size[0]} x {size[1]}: reduce them, folders with --image-size 256"
        )
    seen = network_size(size)
    if math.prod(seen) > MAX_SIDE**2:
        raise InputError(
            f"expected images that are at most {MAX_SIDE**2 // MIN_SIDE**2} times as long as wide for "
            f"--recipe photos, received {size[0]} x {size[1]}: cut them, or take --recipe robust"
        )
    images = keras.Input(image_shape, name="image")
    x = images
    if depth == 1:
        x = keras.layers.Concatenate(name="rgb")([x, x, x])
    if seen != tuple(size):
        x = keras.layers.Resizing(*seen, interpolation="bilinear", name="enlarged")(x)
    with _dtype_policy(PRECISION_POLICIES[precision]):
        network = backbones.build(backbone, *seen, weights)
    *maps, embedding = network(x)
    # The finest stage is taken at the places of the next one, each a mean of its neighborhood.
    maps[0] = keras.layers.AveragePooling2D(3, strides=1, padding="same", name="mean_3")(maps[0])
    maps[0] = keras.layers.AveragePooling2D(2, padding="same", name="mean_2")(maps[0])
    features = [
        keras.layers.Conv2D(min(x.shape[-1], most), 1, name=name)(x)
        for x, most, name in zip(maps, MAX_CHANNELS, FEATURES, strict=True)
    ]
    flat = keras.layers.Flatten(name="volume")(features[-1])
    code = keras.layers.Dense(code_length, name="encoder")(flat)
    reconstructions = []
    for x, name in zip(features, DECODERS, strict=True):
        _, height, width, channels = x.shape
        decoded = keras.layers.Dense(height * width * channels, name=name)(code)
        shape = (height, width, channels)
        reconstructions.append(keras.layers.Reshape(shape, name=f"{name}_map")(decoded))
    return keras.Model(images, [*features, *reconstructions, embedding], name="feature_autoencoder")


def rebuild(recipe, image_shape, precision="float32"):
    """Build the network of a recipe as it is stored, with random weights.

    Args:
        recipe: A dict; only its `backbone` and its `latent_dim` are used.
        image_shape: A sequence of `height, width, depth`.
        precision: As for `build`.

    Returns:
        What `build` returns.

    Raises:
        InputError: If one of these is not as training writes it.
    """
    backbone, code_length = recipe.get("backbone"), recipe.get("latent_dim")
    sides = image_shape if isinstance(image_shape, list | tuple) else ()
    if (
        backbone not in backbones.NAMES
        or type(code_length) is not int
        or not 1 <= code_length <= MAX_CODE_LENGTH
        or len(sides) != 3
        or not all(type(side) is int and 1 <= side <= MAX_SIDE for side in sides)
    ):
        raise InputError(
            "expected beside the model the backbone, the latent_dim and the image_shape that "
            f"training writes, found {backbone!r}, {code_length!r}, {image_shape!r}: train again"
        )
    return build(tuple(image_shape), backbone, code_length, False, precision)


@contextlib.contextmanager
def _dtype_policy(name):
    """Within this context, layers are made with a policy of Keras by its name."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def network_size(size):
    """Height and width at which the backbone sees images of such a size.

    Example:
        >>> network_size((32, 48)), network_size((256, 256))
        ((96, 144), (256, 256))
    """
    scale = max(1.0, MIN_SIDE / min(size))
    return tuple(round(side * scale) for side in size)


def is_feature_autoencoder(model):
    """Whether a Keras model is one of `build`."""
    return {"backbone", *FEATURES, *DECODERS} <= {layer.name for layer in model.layers}


class Outputs(NamedTuple):
    """What a model of `build` makes of a batch of images.

    Attributes:
        features: Four float32 tensors `(B, h, w, C)`, standardized.
        reconstructions: Four more, of the same shapes.
        embedding: float32 tensor `(B, E)`.
    """

    features: list
    reconstructions: list
    embedding: object

    @classmethod
    def of(cls, model, images):
        """Run a batch of images through a model of `build`, without training."""
        *maps, embedding = (keras.ops.cast(x, "float32") for x in model(images, training=False))
        return cls(maps[:4], maps[4:], embedding)


def extractor(model):
    """The part of a model that needs no fitting, which its training runs once on each image.

    Args:
        model: A model of `build`.

    Returns:
        A `keras.Model` from the same images to a list: the feature maps of the four stages as the
        backbone has them, `(N, h, w, C)`, and the embedding `(N, E)`.
    """
    maps = [model.get_layer(name).input for name in FEATURES]
    return keras.Model(model.input, [*maps, model.outputs[-1]])

"""Which networks are there to choose from, and in which precision do they calculate?"""

import keras

from pyimagesearch.centring import contrast_normalization
from pyimagesearch.convautoencoder import ConvAutoencoder
from pyimagesearch.denseautoencoder import DenseAutoencoder

# The widths of their layers are settings and stand in `recipes.ARCHITECTURES`.
BUILDERS = {
    "conv": ConvAutoencoder,
    "cnn": ConvAutoencoder,
    "dense": DenseAutoencoder,
    "dense-deep": DenseAutoencoder,
}

# What --precision calls it -> what Keras does. The weights are float32 in either.
PRECISION_POLICIES = {"float32": "float32", "bf16": "mixed_bfloat16"}


def build(recipe, image_shape, seed=None, centre=None):
    """Build the autoencoder that a recipe describes.

    Args:
        recipe: A `recipes.Recipe`.
        image_shape: `(height, width, depth)` of the images.
        seed: Of the initial weights.
        centre: A `centring.Normalization` of the images to come, or `None`.

    Returns:
        A Keras model from `(N, height, width, depth)` to the same.

    Example:
        >>> from pyimagesearch.recipes import make_recipe
        >>> build(make_recipe("robust", "cnn"), (28, 28, 1)).output_shape
        (None, 28, 28, 1)
    """
    height, width, depth = image_shape
    encoder, decoder, autoencoder = BUILDERS[recipe.arch].build(
        width,
        height,
        depth,
        recipe.filters,
        recipe.latent_dim,
        recipe.batch_norm,
        recipe.momentum,
        seed,
        centre,
    )
    if centre is not None and centre.norm is not None:
        image = keras.Input(image_shape, name="image")
        evened = contrast_normalization(image_shape, centre.norm)(image)
        autoencoder = keras.Model(image, decoder(encoder(evened)), name="autoencoder")
    return autoencoder


def clone_with_precision(autoencoder, precision="float32"):
    """A copy of a network with the same weights, which may calculate in another precision.

    Its variables are its own: copy within the scope of a strategy to have them on all its devices.

    Args:
        autoencoder: Keras model from `(N, H, W, C)` to the same.
        precision: A key of `PRECISION_POLICIES`. The last layer calculates in float32 whatever it says:
            pixels in steps of 1/256 would drown small errors.

    Returns:
        A Keras model of the same layers.

    Example:
        >>> from pyimagesearch.recipes import make_recipe
        >>> network = clone_with_precision(build(make_recipe(), (28, 28, 1)), "bf16")
        >>> network.layers[1].layers[1].compute_dtype, network.compute_dtype
        ('bfloat16', 'float32')
    """
    last = autoencoder
    while isinstance(last, keras.Model):
        last = last.layers[-1]

    def copy(layer):
        policy = "float32" if layer is last else PRECISION_POLICIES[precision]
        return type(layer).from_config({**layer.get_config(), "dtype": policy})

    model = keras.models.clone_model(autoencoder, clone_function=copy, recursive=True)
    model.set_weights(autoencoder.get_weights())
    return model

"""Which networks are there to choose from?"""

from pyimagesearch.convautoencoder import ConvAutoencoder
from pyimagesearch.denseautoencoder import DenseAutoencoder

# The widths of their layers are settings and stand in `recipes.ARCHITECTURES`.
BUILDERS = {
    "conv": ConvAutoencoder,
    "cnn": ConvAutoencoder,
    "dense": DenseAutoencoder,
    "dense-deep": DenseAutoencoder,
}


def build(recipe, image_shape, seed=None):
    """Build the autoencoder that a recipe describes.

    Args:
        recipe: A `recipes.Recipe`.
        image_shape: `(height, width, depth)` of the images.
        seed: Of the initial weights.

    Returns:
        A Keras model from `(N, height, width, depth)` to the same.

    Example:
        >>> from pyimagesearch.recipes import recipe
        >>> build(recipe("robust", "cnn"), (28, 28, 1)).output_shape
        (None, 28, 28, 1)
    """
    height, width, depth = image_shape
    _, _, autoencoder = BUILDERS[recipe.arch].build(
        width,
        height,
        depth,
        recipe.filters,
        recipe.latent_dim,
        recipe.batch_norm,
        recipe.momentum,
        seed,
    )
    return autoencoder

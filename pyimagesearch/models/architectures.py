"""Architectures by name: an autoencoder with the normalization of images around it."""

import keras

from pyimagesearch import InputError
from pyimagesearch.convautoencoder import ConvAutoencoder
from pyimagesearch.models.denseautoencoder import DenseAutoencoder
from pyimagesearch.models.normalization import contrast_normalization, standardize, to_pixels

# The widths of their layers are settings and stand in `recipes.ARCHITECTURES`.
BUILDERS = {
    "conv": ConvAutoencoder,
    "cnn": ConvAutoencoder,
    "dense": DenseAutoencoder,
    "dense-deep": DenseAutoencoder,
}

# Values of --precision -> Keras's policies. The weights are float32 in either.
PRECISION_POLICIES = {"float32": "float32", "bf16": "mixed_bfloat16"}


def build(recipe, image_shape, seed=None, normalization=None):
    """Build the autoencoder of a recipe.

    Args:
        recipe: A `recipes.Recipe`.
        image_shape: `(height, width, depth)` of the images.
        seed: Seed of the initial weights. `None` draws from Keras's global generator.
        normalization: A `normalization.Normalization`, composed around the bare network of
            `BUILDERS` by `add_normalization`. `None`, as in the tutorial, leaves it bare: the
            network then has to learn the mean image.

    Returns:
        A Keras model `autoencoder` from `(N, height, width, depth)` to the same, of the layers
        `image`, `contrast` (where contrast is normalized), `encoder` and `decoder`.

    Example:
        >>> from pyimagesearch.training.recipes import make_recipe
        >>> build(make_recipe("robust", "cnn"), (28, 28, 1)).output_shape
        (None, 28, 28, 1)
    """
    height, width, depth = image_shape
    encoder, decoder, autoencoder = BUILDERS[recipe.arch].build(
        width, height, depth, recipe.filters, recipe.latent_dim, recipe.batch_norm, seed
    )
    for layer in (*encoder.layers, *decoder.layers):
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = recipe.momentum
    if normalization is None:
        return autoencoder
    return add_normalization(encoder, decoder, normalization)


def add_normalization(encoder, decoder, normalization):
    """Compose the normalization of images around a bare encoder and decoder.

    The encoder standardizes its input; the decoder undoes this before its sigmoid; and where
    contrast is normalized, a model `contrast` comes before both.

    Args:
        encoder: Keras model from `(N, H, W, C)` to the latent code.
        decoder: Keras model from the latent code to `(N, H, W, C)`; its last layer is a sigmoid.
        normalization: A `normalization.Normalization`.

    Returns:
        A Keras model `autoencoder` from `(N, H, W, C)` to the same. It shares the layers, and with
        them the weights, of the bare networks.

    Example:
        >>> import numpy as np
        >>> from pyimagesearch.models.normalization import Normalization
        >>> encoder, decoder, _ = ConvAutoencoder.build(8, 8, 1)
        >>> normalization = Normalization(np.full((8, 8, 1), 0.5), deviation=0.2)
        >>> composed = add_normalization(encoder, decoder, normalization)
        >>> composed.get_layer("encoder").layers[1].name
        'standardised'
    """
    image, code = encoder.input, decoder.input
    x = apply_layers(encoder.layers[1:], standardize(image, normalization))
    encoder = keras.Model(image, x, name="encoder")
    # The bare decoder ends in its sigmoid, which has to come after the mean is added.
    x = apply_layers(decoder.layers[1:-1], code)
    decoder = keras.Model(code, to_pixels(x, normalization), name="decoder")

    x = image = keras.Input(image.shape[1:], name="image")
    if normalization.norm is not None:
        x = contrast_normalization(image.shape[1:], normalization.norm)(image)
    return keras.Model(image, decoder(encoder(x)), name="autoencoder")


def apply_layers(layers, x):
    """Apply layers one after the other to a Keras tensor."""
    for layer in layers:
        x = layer(x)
    return x


class Autoencoder:
    """The parts of an autoencoder: image -> `preprocess` -> `encoder` -> `decoder`.

    What an autoencoder reconstructs are preprocessed images: the images themselves unless contrast
    is normalized.

    Args:
        model: Keras model from `(N, H, W, C)` to the same, as `build` returns it or another.

    Attributes:
        model: The same.
        image_shape: `(H, W, C)`.
        preprocess: Function from float tensors `(N, H, W, C)` to the same.
        normalizes_contrast: Whether `preprocess` changes the images.
        encoder, decoder: Keras models to the latent code and back; `None` in a network that has
            no parts of these names.
        code_length: Length of a latent code; `None` where there is none that is a row of numbers.

    Example:
        >>> from pyimagesearch.training.recipes import make_recipe
        >>> Autoencoder(build(make_recipe("robust"), (28, 28, 1))).code_length
        8
    """

    def __init__(self, model):
        layers = {layer.name: layer for layer in model.layers}
        self.model = model
        self.image_shape = model.input_shape[1:]
        self.normalizes_contrast = "contrast" in layers
        self.preprocess = layers.get("contrast", lambda images: images)
        self.encoder, self.decoder = layers.get("encoder"), layers.get("decoder")
        self.code_length = None
        if self.encoder is not None and self.decoder is not None:
            shape = self.encoder.output_shape
            self.code_length = shape[1] if len(shape) == 2 else None

    def reconstruct(self, preprocessed, training=False):
        """Reconstruct preprocessed images, float tensor `(N, H, W, C)`, in their own range."""
        if not self.normalizes_contrast:
            return self.model(preprocessed, training=training)
        return self.decoder(self.encoder(preprocessed, training=training), training=training)

    def forward(self, images, with_codes=False):
        """Run images through the whole network.

        Args:
            images: Float tensor `(N, H, W, C)` in [0, 1].
            with_codes: Whether the latent codes are returned too.

        Returns:
            A triple: the preprocessed images, their reconstructions, both `(N, H, W, C)`, and
            their latent codes, float32 `(N, K)`, or `None`.

        Raises:
            InputError: If codes are asked for and there are none that are rows of numbers.
        """
        preprocessed = self.preprocess(images)
        if not with_codes:
            return preprocessed, self.reconstruct(preprocessed), None
        if self.code_length is None:
            raise InputError(
                "expected a latent code that is a row of numbers, which this score needs, found none "
                "in the network: take --score mse, or train another --arch"
            )
        codes = self.encoder(preprocessed, training=False)
        return preprocessed, self.decoder(codes, training=False), keras.ops.cast(codes, "float32")


def clone_with_precision(autoencoder, precision="float32"):
    """Copy a network with its weights, to compute in the same or another precision.

    The copy has variables of its own: clone within the scope of a strategy to have them on all its
    devices.

    Args:
        autoencoder: Keras model from `(N, H, W, C)` to the same.
        precision: A key of `PRECISION_POLICIES`. The last layer and the normalization of contrast
            compute in float32 at any precision: pixels in steps of 1/256 would drown small errors.

    Returns:
        A Keras model of the same layers.

    Example:
        >>> from pyimagesearch.training.recipes import make_recipe
        >>> network = clone_with_precision(build(make_recipe(), (28, 28, 1)), "bf16")
        >>> network.layers[1].layers[1].compute_dtype, network.compute_dtype
        ('bfloat16', 'float32')
    """
    last = autoencoder
    while isinstance(last, keras.Model):
        last = last.layers[-1]
    of_pixels = [last]
    for part in autoencoder.layers:
        if part.name == "contrast":
            of_pixels += part.layers

    def copy(layer):
        policy = "float32" if layer in of_pixels else PRECISION_POLICIES[precision]
        return type(layer).from_config({**layer.get_config(), "dtype": policy})

    model = keras.models.clone_model(autoencoder, clone_function=copy, recursive=True)
    model.set_weights(autoencoder.get_weights())
    return model

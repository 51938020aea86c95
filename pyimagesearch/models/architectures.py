"""Networks by name, from a recipe: an autoencoder between preprocessing and pixels."""

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

# What --precision calls it -> what Keras does. The weights are float32 in either.
PRECISION_POLICIES = {"float32": "float32", "bf16": "mixed_bfloat16"}


def build(recipe, image_shape, seed=None, normalization=None):
    """Build the autoencoder that a recipe describes.

    Around the bare network of `BUILDERS` go, where there is a normalization, the layers that
    standardize what the encoder sees and that undo this before the decoder's sigmoid; and, where
    contrast is normalized, a model `contrast` in front of all.

    Args:
        recipe: A `recipes.Recipe`.
        image_shape: `(height, width, depth)` of the images.
        seed: Of the initial weights.
        normalization: A `normalization.Normalization` of the images to come; `None`, as in the
            tutorial: the network learns by itself what they look like on average.

    Returns:
        A Keras model from `(N, height, width, depth)` to the same.

    Example:
        >>> from pyimagesearch.training.recipes import make_recipe
        >>> build(make_recipe("robust", "cnn"), (28, 28, 1)).output_shape
        (None, 28, 28, 1)
    """
    height, width, depth = image_shape
    encoder, decoder, _ = BUILDERS[recipe.arch].build(
        width, height, depth, recipe.filters, recipe.latent_dim, recipe.batch_norm, seed
    )
    for layer in (*encoder.layers, *decoder.layers):
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = recipe.momentum
    if normalization is not None:
        image, code = encoder.input, decoder.input
        standardized = apply_layers(encoder.layers[1:], standardize(image, normalization))
        encoder = keras.Model(image, standardized, name="encoder")
        # The last layer is the sigmoid, which has to come after the mean is put back.
        unbounded = apply_layers(decoder.layers[1:-1], code)
        decoder = keras.Model(code, to_pixels(unbounded, normalization), name="decoder")
    image = preprocessed = keras.Input(image_shape, name="image")
    if normalization is not None and normalization.norm is not None:
        preprocessed = contrast_normalization(image_shape, normalization.norm)(image)
    return keras.Model(image, decoder(encoder(preprocessed)), name="autoencoder")


def apply_layers(layers, x):
    """Apply layers one after the other to a Keras tensor."""
    for layer in layers:
        x = layer(x)
    return x


class Autoencoder:
    """The parts of an autoencoder: images -> `preprocess` -> `encoder` -> `decoder`.

    What an autoencoder reconstructs are the preprocessed images, which are the images themselves
    unless contrast is normalized.

    Args:
        model: Keras model from `(N, H, W, C)` to the same, as `build` returns it or from
            elsewhere.

    Attributes:
        model: The same.
        image_shape: `(H, W, C)`.
        preprocess: Function from float tensors `(N, H, W, C)` to the same.
        normalizes_contrast: Whether `preprocess` changes the images.
        encoder, decoder: Keras models to the latent code and back; `None` in a network from
            elsewhere that has no parts of these names.
        code_length: Numbers in a code; `None` where there is no code that is a row of numbers.

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

    def reconstruct_with_codes(self, preprocessed):
        """Reconstruct preprocessed images and tell their codes.

        Returns:
            A tuple of the reconstructions, `(N, H, W, C)`, and the codes, float32 `(N, K)`.

        Raises:
            InputError: If there is no code that is a row of numbers.
        """
        if self.code_length is None:
            raise InputError(
                "this score looks at the latent code of an image, and this network has none that "
                "is a row of numbers: take --score mse, or train another --arch"
            )
        codes = self.encoder(preprocessed, training=False)
        return self.decoder(codes, training=False), keras.ops.cast(codes, "float32")


def clone_with_precision(autoencoder, precision="float32"):
    """Copy a network with its weights, to calculate in the same or another precision.

    Its variables are its own: clone within the scope of a strategy to have them on all its devices.

    Args:
        autoencoder: Keras model from `(N, H, W, C)` to the same.
        precision: A key of `PRECISION_POLICIES`. The last layer calculates in float32 at any
            precision: pixels in steps of 1/256 would drown small errors.

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

    def copy(layer):
        policy = "float32" if layer is last else PRECISION_POLICIES[precision]
        return type(layer).from_config({**layer.get_config(), "dtype": policy})

    model = keras.models.clone_model(autoencoder, clone_function=copy, recursive=True)
    model.set_weights(autoencoder.get_weights())
    return model


def forward_fn(network, needs_codes=False):
    """Make the forward pass of an autoencoder.

    Args:
        network: An `Autoencoder`.
        needs_codes: Whether the code is asked for.

    Returns:
        A function from images to a triple: the preprocessed images `(N, H, W, C)`, their
        reconstructions of that shape, and their codes `(N, K)` or `None`.
    """

    def forward(images):
        preprocessed = network.preprocess(images)
        if needs_codes:
            return preprocessed, *network.reconstruct_with_codes(preprocessed)
        return preprocessed, network.model(images, training=False), None

    return forward

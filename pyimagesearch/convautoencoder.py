"""The convolutional autoencoder of the PyImageSearch tutorial."""

import keras
import numpy as np
from keras import layers

from pyimagesearch import InputError


class ConvAutoencoder:
    """A convolutional autoencoder: from image to latent code and back."""

    @staticmethod
    def build(
        width,
        height,
        depth,
        filters=(32, 64),
        latentDim=16,
        batchNorm=True,
        seed=None,
    ):
        """Build the encoder, the decoder and the autoencoder that joins them.

        Each entry of `filters` adds a 3x3 convolution of stride 2, a LeakyReLU and batch
        normalization; a linear dense layer makes the latent code. The decoder mirrors this with
        transposed convolutions and crops what rounding up an odd size has added, so that the output
        has exactly the shape of the input. (A. Rosebrock, "Anomaly detection with Keras,
        TensorFlow, and Deep Learning", PyImageSearch 2020.)

        Args:
            width: Width of the images in pixels, at least 1.
            height: Height of the images in pixels, at least 1.
            depth: Number of channels, at least 1.
            filters: Number of filters of each convolution, from the image to the code.
            latentDim: Length of the latent code, at least 1. `None` leaves the dense layers out:
                the code is then the last volume of the encoder, `(rows, columns, filters[-1])`.
            batchNorm: Whether batch normalization follows each convolution.
            seed: Seed of the initial weights. `None` draws from Keras's global generator, so
                that `keras.utils.set_random_seed` works as usual.

        Returns:
            A tuple `(encoder, decoder, autoencoder)` of Keras models: from images
            `(N, height, width, depth)` to codes `(N, latentDim)`, from codes to images, and from
            images to images. These are float32 in [0, 1].

        Raises:
            InputError: If a size is not a positive whole number or `filters` is empty.

        Example:
            >>> encoder, decoder, autoencoder = ConvAutoencoder.build(45, 33, 3)
            >>> encoder.output_shape, autoencoder.output_shape
            ((None, 16), (None, 33, 45, 3))
        """
        check_sizes(width=width, height=height, depth=depth, filters=filters)
        if latentDim is not None:
            check_sizes(latentDim=latentDim)
        if not filters:
            raise InputError("expected at least one convolution in filters, received none")

        rng = None if seed is None else np.random.default_rng(seed)

        def initializer():
            # One seed each: with equal seeds, layers of equal shape would start out equal.
            layer_seed = None if rng is None else int(rng.integers(2**31))
            return keras.initializers.GlorotUniform(layer_seed)

        def activate(x):
            x = layers.LeakyReLU(negative_slope=0.2)(x)
            return layers.BatchNormalization()(x) if batchNorm else x

        # The encoder: CONV => RELU => BN for each entry of filters, then the latent code.
        image = x = keras.Input((height, width, depth), name="image")
        halved = []  # (height, width) before each convolution
        for f in filters:
            halved.append(x.shape[1:3])
            x = layers.Conv2D(f, 3, strides=2, padding="same", kernel_initializer=initializer())(x)
            x = activate(x)
        volume = x.shape[1:]
        if latentDim is not None:
            x = layers.Flatten()(x)
            x = layers.Dense(latentDim, kernel_initializer=initializer(), name="code")(x)
        encoder = keras.Model(image, x, name="encoder")

        # The decoder: the same in reverse.
        latent = x = keras.Input(x.shape[1:], name="latent")
        if latentDim is not None:
            x = layers.Dense(int(np.prod(volume)), kernel_initializer=initializer())(x)
            x = layers.Reshape(volume)(x)
        for f, (rows, columns) in zip(reversed(filters), reversed(halved), strict=True):
            x = layers.Conv2DTranspose(
                f, 3, strides=2, padding="same", kernel_initializer=initializer()
            )(x)
            surplus = (x.shape[1] - rows, x.shape[2] - columns)
            if any(surplus):
                x = layers.Cropping2D(((0, surplus[0]), (0, surplus[1])))(x)
            x = activate(x)
        x = layers.Conv2DTranspose(depth, 3, padding="same", kernel_initializer=initializer())(x)
        # Pixels in float32 at any precision: steps of 1/256 would drown small errors.
        x = layers.Activation("sigmoid", dtype="float32", name="pixels")(x)
        decoder = keras.Model(latent, x, name="decoder")

        autoencoder = keras.Model(image, decoder(encoder(image)), name="autoencoder")
        return encoder, decoder, autoencoder


def check_sizes(**sizes):
    """Raise an `InputError` for a size, or a sequence of sizes, that is no whole number from 1 up."""
    for name, size in sizes.items():
        for value in np.ravel(np.asarray(size, object)):
            if not isinstance(value, int | np.integer) or value < 1:
                raise InputError(f"expected {name} as a whole number from 1 up, received {value!r}")

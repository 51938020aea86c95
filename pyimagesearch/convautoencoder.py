"""The convolutional autoencoder: images in, the same images out, through a narrow code."""

import keras
import numpy as np
from keras import layers

from pyimagesearch import InputError


class ConvAutoencoder:
    """A convolutional autoencoder, with a dense code or without."""

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

        Each entry of `filters` adds a 3x3 convolution of stride 2, a LeakyReLU and, if asked for,
        batch normalization; a linear dense layer makes the code. The decoder mirrors that with
        transposed convolutions and crops what rounding up an odd size has added, so that the
        output has exactly the input's shape. The layout is that of the PyImageSearch tutorial
        "Anomaly detection with Keras, TensorFlow, and Deep Learning" (A. Rosebrock, 2020).

        Args:
            width: Width of the images in pixels, at least 1.
            height: Height of the images in pixels, at least 1.
            depth: Number of channels, at least 1.
            filters: Width of each convolution, from the image towards the code.
            latentDim: Length of the code, at least 1. `None` leaves the dense layers out: the
                code is then the last volume of the encoder, `(rows, columns, filters[-1])`.
            batchNorm: Whether batch normalization follows each convolution.
            seed: Seed of the initial weights. `None` draws from Keras's global generator, so
                that `keras.utils.set_random_seed` works as usual.

        Returns:
            A tuple `(encoder, decoder, autoencoder)` of Keras models:
            `(N, height, width, depth)` to the code, `(N, latentDim)`; back; and both in one.
            The autoencoder's output is float32 in [0, 1].

        Raises:
            InputError: If a size is not a positive whole number or `filters` is empty.

        Example:
            >>> encoder, decoder, autoencoder = ConvAutoencoder.build(45, 33, 3)
            >>> encoder.output_shape, autoencoder.output_shape
            ((None, 16), (None, 33, 45, 3))
        """
        named = {"width": width, "height": height, "depth": depth}
        if latentDim is not None:
            named["latentDim"] = latentDim
        for name, value in [*named.items(), *(("filters", f) for f in filters)]:
            if not isinstance(value, int | np.integer) or value < 1:
                raise InputError(f"expected {name} as a whole number from 1 up, received {value!r}")
        if not filters:
            raise InputError("expected at least one convolution in filters, received none")

        rng = None if seed is None else np.random.default_rng(seed)

        def weights():
            # One seed each: equal seeds would make layers of equal shape start out equal.
            return keras.initializers.GlorotUniform(
                seed=None if rng is None else int(rng.integers(2**31))
            )

        def activate(x):
            x = layers.LeakyReLU(negative_slope=0.2)(x)
            return layers.BatchNormalization()(x) if batchNorm else x

        # The encoder; `sizes` remembers (height, width) before each halving.
        sizes = []
        image = keras.Input((height, width, depth), name="image")
        x = image
        for f in filters:
            sizes.append(x.shape[1:3])
            x = layers.Conv2D(f, 3, strides=2, padding="same", kernel_initializer=weights())(x)
            x = activate(x)
        volume = x.shape[1:]
        if latentDim is not None:
            x = layers.Flatten()(x)
            x = layers.Dense(latentDim, kernel_initializer=weights(), name="code")(x)
        encoder = keras.Model(image, x, name="encoder")

        # The decoder, the same way back.
        latent = x = keras.Input(x.shape[1:], name="latent")
        if latentDim is not None:
            x = layers.Dense(int(np.prod(volume)), kernel_initializer=weights())(x)
            x = layers.Reshape(volume)(x)
        for f, (rows, columns) in zip(reversed(filters), reversed(sizes), strict=True):
            x = layers.Conv2DTranspose(
                f, 3, strides=2, padding="same", kernel_initializer=weights()
            )(x)
            surplus = (x.shape[1] - rows, x.shape[2] - columns)
            if any(surplus):
                x = layers.Cropping2D(((0, surplus[0]), (0, surplus[1])))(x)
            x = activate(x)
        x = layers.Conv2DTranspose(depth, 3, padding="same", kernel_initializer=weights())(x)
        # Pixels in float32 at any precision: steps of 1/256 would drown small errors.
        x = layers.Activation("sigmoid", dtype="float32", name="pixels")(x)
        decoder = keras.Model(latent, x, name="decoder")

        autoencoder = keras.Model(image, decoder(encoder(image)), name="autoencoder")
        return encoder, decoder, autoencoder

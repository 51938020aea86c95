"""The dense autoencoder: from image to latent code and back through fully connected layers."""

import keras
import numpy as np
from keras import layers

from pyimagesearch.convautoencoder import check_sizes


class DenseAutoencoder:
    """An autoencoder of dense layers."""

    @staticmethod
    def build(
        width,
        height,
        depth,
        units=(128, 64),
        latentDim=16,
        batchNorm=False,
        seed=None,
    ):
        """Build the encoder, the decoder and the autoencoder that joins them.

        The image is flattened and goes through dense layers with ReLU to a linear latent code, and
        the same way back to a sigmoid. With the default settings, an image of 28x28x1 goes
        784-128-64-16-64-128-784. (G. E. Hinton and R. R. Salakhutdinov, "Reducing the
        dimensionality of data with neural networks", Science 2006.)

        Args:
            width: Width of the images in pixels, at least 1.
            height: Height of the images in pixels, at least 1.
            depth: Number of channels, at least 1.
            units: Width of each layer, from the image to the code.
            latentDim: Length of the latent code, at least 1.
            batchNorm: Whether batch normalization follows each layer but the code and the last.
            seed: Seed of the initial weights. `None` draws from Keras's global generator.

        Returns:
            A tuple `(encoder, decoder, autoencoder)` of Keras models: from images
            `(N, height, width, depth)` to codes `(N, latentDim)`, from codes to images, and from
            images to images. These are float32 in [0, 1].

        Raises:
            InputError: If a size is not a positive whole number.

        Example:
            >>> encoder, _, autoencoder = DenseAutoencoder.build(45, 33, 3)
            >>> encoder.output_shape, autoencoder.output_shape
            ((None, 16), (None, 33, 45, 3))
        """
        check_sizes(width=width, height=height, depth=depth, units=units, latentDim=latentDim)
        rng = None if seed is None else np.random.default_rng(seed)

        def dense(size, **settings):
            # One seed each: with equal seeds, layers of equal shape would start out equal.
            layer_seed = None if rng is None else int(rng.integers(2**31))
            initializer = keras.initializers.GlorotUniform(seed=layer_seed)
            return layers.Dense(size, kernel_initializer=initializer, **settings)

        def hidden(x, size):
            x = dense(size, activation="relu")(x)
            return layers.BatchNormalization()(x) if batchNorm else x

        image = keras.Input((height, width, depth), name="image")
        x = layers.Flatten()(image)
        for size in units:
            x = hidden(x, size)
        encoder = keras.Model(image, dense(latentDim, name="code")(x), name="encoder")

        latent = x = keras.Input((latentDim,), name="latent")
        for size in reversed(units):
            x = hidden(x, size)
        x = dense(height * width * depth)(x)
        x = layers.Reshape((height, width, depth))(x)
        # Pixels in float32 at any precision: steps of 1/256 would drown small errors.
        x = layers.Activation("sigmoid", dtype="float32", name="pixels")(x)
        decoder = keras.Model(latent, x, name="decoder")
        return encoder, decoder, keras.Model(image, decoder(encoder(image)), name="autoencoder")

"""With which settings is a network built and trained, unless a flag says otherwise?

Standard library only, so that the command line can show the defaults without loading TensorFlow.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Recipe:
    """Settings of one training.

    Attributes:
        filters: Widths of the convolutions, from the image towards the code.
        latent_dim: Length of the code.
        batch_norm: Whether batch normalisation follows each convolution.
        momentum: Of batch normalisation's moving averages.
        epochs: Passes over the training images.
        min_steps: Small sets are passed over more often, until there are as many steps as this.
        batch_size: Images per step.
        learning_rate: Of Adam, at its highest.
        schedule: How the learning rate goes on: a key of `training.SCHEDULES`.
        trim: Share of the images that training ignores as suspects, in [0, 1).
    """

    filters: tuple[int, ...]
    latent_dim: int
    batch_norm: bool
    momentum: float
    epochs: int
    min_steps: int
    batch_size: int
    learning_rate: float
    schedule: str
    trim: float


RECIPES = {
    # Chosen on pairs of MNIST digits of which the normal one is not 1, and on scikit-learn's
    # digits; the tutorial's 1s and 3s were looked at once, afterwards.
    "robust": Recipe(
        filters=(8, 16),
        latent_dim=8,
        batch_norm=False,
        momentum=0.9,
        epochs=10,
        min_steps=500,
        batch_size=32,
        learning_rate=4e-3,
        schedule="cosine",
        trim=0.05,
    ),
    # What the 2020 tutorial did. Its `decay=lr / epochs` is Keras's inverse time decay by step.
    "tutorial": Recipe(
        filters=(32, 64),
        latent_dim=16,
        batch_norm=True,
        momentum=0.99,
        epochs=20,
        min_steps=0,
        batch_size=32,
        learning_rate=1e-3,
        schedule="inverse-time",
        trim=0.0,
    ),
}

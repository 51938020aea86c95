"""Learning rate schedules."""

import keras


def cosine(rate, steps, epochs):
    """Warm-up over a twentieth of the steps, then half a cosine down to 0.

    (Loshchilov and Hutter, "SGDR: Stochastic gradient descent with warm restarts", ICLR 2017,
    without the restarts.)
    """
    warm_up = max(1, steps // 20)
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=rate / (warm_up + 1),
        warmup_target=rate,
        warmup_steps=warm_up,
        decay_steps=max(1, steps - warm_up),
    )


def inverse_time(rate, steps, epochs):
    """What Keras 2's `Adam(lr, decay=lr / epochs)` did, which Keras 3 ignores."""
    return keras.optimizers.schedules.InverseTimeDecay(
        rate, decay_steps=1, decay_rate=rate / epochs
    )


# Name -> function from the highest rate, the number of steps and of epochs to a Keras schedule.
SCHEDULES = {"cosine": cosine, "inverse-time": inverse_time}

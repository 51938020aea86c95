"""Fitting a network although some of the training images are outliers."""


def __getattr__(name):
    """Find `History` where detectors that an earlier version has pickled look for it."""
    if name == "History":
        from pyimagesearch.training.trainer import History

        return History
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

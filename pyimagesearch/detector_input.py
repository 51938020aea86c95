"""What the scikit-learn detector takes as `X`: images, rows, tables, and paths of image files."""

import math
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.preprocessing import MinMaxScaler
from sklearn.utils import _safe_indexing, check_array
from sklearn.utils.validation import validate_data

from pyimagesearch import InputError
from pyimagesearch.data import arrays, named_files
from pyimagesearch.data.image_folders import Reading
from pyimagesearch.data.preprocessing import reading_for
from pyimagesearch.training.recipes import PHOTO_SIZE

# Images in 0 to 255 have at least one pixel as bright as this.
MIN_BRIGHTEST_PIXEL = 64


@dataclass(frozen=True)
class FitInput:
    """What `fit` is given, in the common form.

    Attributes:
        images: The images that count, as `ImageInputMixin._images` returns them.
        groups: Likewise.
        used: int array `(n,)`: which images of `X` these are, ascending.
        weights: float64 array `(n,)` in (0, 1]: how much each counts; `None`: all the same.
        ignored: The other images of `X`, with a weight of 0; `None`: there are none.
    """

    images: Any
    groups: np.ndarray | None
    used: np.ndarray
    weights: np.ndarray | None = None
    ignored: Any = None

    def in_order(self, scores, others):
        """The scores of the images that count and of those that don't, in the order of `X`."""
        merged = np.empty(len(scores) + len(others))
        merged[self.used] = scores
        merged[np.setdiff1d(np.arange(len(merged)), self.used)] = others
        return merged


class ImageInputMixin:
    """Brings `X` into the common form, and notes in `fit` what its form is.

    The attributes are described with those of `detector.AutoencoderDetector`, which sets the
    parameters `image_shape` and `recipe`.
    """

    def _fit_input(self, X, sample_weight):
        """Check what `fit` is given, and set the attributes of the form of the images that count.

        Images with a weight of 0 make no difference to that form, but must be images like the
        others: they are scored too.
        """
        if sample_weight is None:
            images, groups = self._images(X, fitting=True)
            return FitInput(images, groups, np.arange(len(images)))
        paths, opened = named_files.as_paths(X), None
        if paths is not None:
            X = paths
            if any(Path(path).is_dir() for path in paths):
                # Only then is it known how many images there are.
                opened = self._images(paths, fitting=True)
                X = self.names_
        elif not hasattr(X, "shape"):
            X = np.asarray(X)
        weights = check_sample_weight(sample_weight, X)
        used, unused = np.flatnonzero(weights), np.flatnonzero(weights == 0)
        weights = relative_weights(weights[used])
        if weights is not None and self.recipe == "photos":
            raise InputError(
                "expected one sample_weight for all images that count with recipe='photos', besides "
                f"0, received {len(np.unique(weights))} different ones: leave images out by 0, or "
                "take recipe='robust'"
            )
        if not len(unused):
            images, groups = opened or self._images(X, fitting=True)
            return FitInput(images, groups, used, weights)
        images, groups = self._images(_safe_indexing(X, used), fitting=True)
        ignored, _ = self._images(_safe_indexing(X, unused))
        if paths is not None:
            self.names_ = [str(Path(path)) for path in X]
        return FitInput(images, groups, used, weights, ignored)

    def _images(self, X, fitting=False):
        """Check `X` and bring it into the common form.

        Returns:
            A pair: the images, float32 `(N, H, W, C)`, or files that are read as such; and groups of
            duplicates as for `train`, or `None`.
        """
        if (paths := named_files.as_paths(X)) is not None:
            return self._files(paths, fitting)
        return self._array_images(X, fitting), None

    def _files(self, paths, fitting):
        """Open image files, and set the attributes of their form in `fit`; return as `_images`."""
        if fitting:
            size, channels = PHOTO_SIZE if self.recipe == "photos" else None, None
            if self.image_shape is not None:
                size, channels = tuple(self.image_shape[:2]), (*self.image_shape, 1)[2]
            reading = Reading(size, channels and channels == 1)
        elif self.scaler_ is not None:
            raise InputError("expected a table, as in fit, received paths of images")
        else:
            reading = reading_for(self.image_shape_, self.preprocessing_)
        source = named_files.open_files(paths, reading, self._progress_bar("file"))
        images = source.images
        if fitting:
            self.names_, self.preprocessing_ = source.names, images.preprocessing
            self.image_shape_, self.n_features_in_ = images.shape[1:], math.prod(images.shape[1:])
            self.pixel_maximum_, self.scaler_ = 1, None
            vars(self).pop("feature_names_in_", None)
        return images, source.quality.first

    def _array_images(self, X, fitting):
        """Bring an array into the common form: float32 `(N, H, W, C)`."""
        rows = self._rows(X, fitting)
        if self.scaler_ is not None:
            # New values beyond those in `fit` stay beyond [0, 1].
            return self.scaler_.transform(rows).reshape(-1, *self.image_shape_).astype(np.float32)
        images = rows.reshape(-1, *self.image_shape_)
        if not fitting and self.pixel_maximum_ == 1 and images.dtype.kind == "f":
            return _beyond_unit(images)
        maximum = arrays.pixel_maximum(images, "X")
        if fitting:
            if maximum == 255 and images.dtype != np.uint8 and images.max() < MIN_BRIGHTEST_PIXEL:
                raise InputError(
                    f"expected pixels in [0, 1] or in 0 to 255 in X, received {images.min():g} to "
                    f"{images.max():g}: divide them by the value of white"
                )
            self.pixel_maximum_ = maximum
        elif maximum > self.pixel_maximum_:
            raise InputError(
                f"expected pixels in [0, 1], as in fit, received up to {images.max():g}: divide "
                "them by 255"
            )
        return arrays.to_unit(images, self.pixel_maximum_)

    def _rows(self, X, fitting):
        """Check `X`, and set the attributes of its form in `fit`; return one row for each image."""
        shape = self.image_shape
        known = shape if fitting or self.scaler_ is not None else self.image_shape_
        expected = known and (*known, 1)[:3]
        # A table is left as it is: its columns may have names.
        array = X if hasattr(X, "ndim") else np.asarray(X)
        if _is_one_image(array.shape, expected):
            raise InputError(
                f"expected images (N, H, W) or (N, H, W, C), received {array.shape}: one image? give "
                "images[None]"
            )
        if array.ndim in (3, 4):
            received = (*array.shape[1:], 1)[:3]
            if expected is not None and received != expected:
                raise InputError(
                    f"expected images of shape {expected}, received {received}: resize them"
                )
            shape = received
            X = np.asarray(X).reshape(len(X), math.prod(shape))
        # This sets or checks `n_features_in_` and `feature_names_in_`, among other things.
        X = validate_data(self, X, reset=fitting)
        if fitting:
            self.scaler_ = MinMaxScaler().fit(X) if shape is None else None
            self.pixel_maximum_ = self.names_ = self.preprocessing_ = None
            self.image_shape_ = (*(shape or (1, X.shape[1])), 1)[:3]
            if math.prod(self.image_shape_) != X.shape[1]:
                raise InputError(
                    f"expected rows of {math.prod(self.image_shape_)} numbers, for image_shape="
                    f"{self.image_shape}, received rows of {X.shape[1]}"
                )
        return X


def check_sample_weight(sample_weight, X):
    """Check the weights of the images of `X`.

    Args:
        sample_weight: One number for each image, or one for all.
        X: A sequence or array of N images.

    Returns:
        float64 array `(N,)`, at least 0 and not all 0.

    Raises:
        InputError: If there are not N numbers, if one is below 0, or if all are 0.
        ValueError: If one is no finite number.

    Example:
        >>> check_sample_weight([1, 0.5], X=[[0.0], [1.0]]).tolist()
        [1.0, 0.5]
    """
    n = X.shape[0] if getattr(X, "shape", ()) else len(X)
    if isinstance(sample_weight, Real):
        sample_weight = [sample_weight] * n
    weights = check_array(
        sample_weight,
        dtype=np.float64,
        ensure_2d=False,
        ensure_min_samples=0,
        input_name="sample_weight",
    )
    if weights.shape != (n,):
        raise InputError(
            f"expected a sample_weight for each of {n:,} images, shape ({n},), received shape "
            f"{weights.shape}"
        )
    if n and weights.min() < 0:
        raise InputError(f"expected each sample_weight from 0, received {weights.min():g}")
    if n and not weights.any():
        raise InputError("expected a sample_weight above 0 for some image, received zero for all")
    return weights


def relative_weights(weights):
    """Weights, above 0, as parts of the highest one; `None` if all are equal.

    Example:
        >>> relative_weights(np.array([1.0, 4.0])).tolist()
        [0.25, 1.0]
    """
    if not len(weights) or (weights == weights[0]).all():
        return None
    # None is so small that it would be lost as a float32.
    return np.maximum(weights / weights.max(), np.finfo(np.float32).tiny)


def _beyond_unit(images):
    """Check new images after a `fit` on [0, 1]; values a little beyond stay beyond, as in a table.

    A `MinMaxScaler` before the detector gives such values where new images are brighter or darker than
    those in `fit`. Clipped, they would not be odd.
    """
    low, high = images.min(), images.max()
    if low <= -1 or high >= 2:
        raise InputError(
            f"expected pixels in [0, 1], as in fit, or a little beyond, received {low:.9g} to "
            f"{high:.9g}: scale them as in fit, or clip them, as MinMaxScaler(clip=True) does"
        )
    tolerance = arrays.rounding(images.dtype)
    if low >= -tolerance and high <= 1 + tolerance:
        return arrays.to_unit(images, 1)
    return images.astype(np.float32)


def _is_one_image(shape, expected):
    """Whether an array of this shape looks like one image: of the expected shape, or of colors."""
    if expected is not None:
        return shape in (expected, expected[:2]) and shape[1:] != (math.prod(expected),)
    # A table has two axes; pictures of three or four columns have hardly ever been seen.
    return len(shape) == 3 and shape[2] in (3, 4) and min(shape[:2]) >= 8

"""What the scikit-learn detector takes as `X`: images, rows, tables, and paths of image files."""

import math

import numpy as np
from sklearn.preprocessing import MinMaxScaler
from sklearn.utils.validation import validate_data

from pyimagesearch import InputError
from pyimagesearch.data import arrays, named_files
from pyimagesearch.data.image_folders import Reading
from pyimagesearch.data.preprocessing import reading_for
from pyimagesearch.training.recipes import PHOTO_SIZE

# Images in 0 to 255 have at least one pixel as bright as this.
MIN_BRIGHTEST_PIXEL = 64


class ImageInputMixin:
    """Brings `X` into the common form, and notes in `fit` what its form is.

    The attributes are described with those of `detector.AutoencoderDetector`, which sets the
    parameters `image_shape` and `recipe`.
    """

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

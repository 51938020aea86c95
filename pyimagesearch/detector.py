"""How do those who import find odd images, the way scikit-learn's detectors are used?"""

import dataclasses
import math
import tempfile
from numbers import Integral, Real
from pathlib import Path

import numpy as np
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.preprocessing import MinMaxScaler
from sklearn.utils import check_random_state, check_scalar
from sklearn.utils.validation import check_is_fitted, validate_data

from pyimagesearch import InputError
from pyimagesearch.data import arrays
from pyimagesearch.detection import calibration, scores, thresholds, trained_model
from pyimagesearch.runtime.quiet import quiet_retracing
from pyimagesearch.storage import model_files
from pyimagesearch.training import losses
from pyimagesearch.training.recipes import ARCHITECTURES, RECIPES, make_recipe
from pyimagesearch.training.train import train

# Pixels that go to 255 reach at least this somewhere in a whole set of images.
DARKEST_WHITE = 64


class AutoencoderDetector(OutlierMixin, BaseEstimator):
    """An autoencoder as one of scikit-learn's outlier detectors.

    It trains, scores and sets its threshold as the two scripts do: with the same images and
    `random_state` as their `--seed`, the scores are the same. The conventions are scikit-learn's:
    in `score_samples` and `decision_function` **lower** means more abnormal, and `predict` gives
    -1 for outliers and 1 for inliers. `anomaly_score` has the direction of the rest of this
    package: the higher, the more anomalous.

    `X` may be

    - images, `(N, H, W)` or `(N, H, W, C)`, in [0, 1] or in 0 to 255. Which of the two it is, is
      seen in `fit` and kept;
    - the same images, each as a row: `(N, H * W * C)`, with `image_shape`. Pipelines and
      `load_digits().data / 16` have them so;
    - any other table of numbers, `(N, features)`, without `image_shape`. Each feature is brought
      to [0, 1] by its smallest and largest value in `fit` (values beyond, in images to come, stay
      beyond: they can't be reconstructed, and so are found), and a row is taken for an image one
      pixel high. Where not set otherwise, the network is then a dense one, to which it doesn't
      matter which feature stands beside which, with a code of half as many numbers as there are
      features at most.

    Args:
        recipe: A key of `recipes.RECIPES`: the settings that are not given here.
        arch: A key of `recipes.ARCHITECTURES`; `None`: the recipe's own for images,
            `"dense"` for tables.
        filters: Widths of the layers, from the image towards the code: a sequence of whole
            numbers. `None`, here and below: as the recipe says.
        latent_dim: Length of the code.
        batch_norm: Whether batch normalisation follows each layer.
        epochs: Passes over the images. Where not given, small sets get more than the recipe says.
        batch_size: Images per step.
        learning_rate: Of Adam, at its highest.
        trim: Share of the images that training ignores as suspects, in [0, 1).
        loss: A key of `losses.LOSSES`.
        scored_by: A key of `scores.SCORES`: what images are judged by. Not called `score`, which is
            a method in scikit-learn.
        contamination: Share of the images given to `fit` that are outliers, in (0, 0.5]; or
            `"auto"`: what stands out from the bulk of their scores, which may be none at all (see
            `thresholds.fdr_controlled`).
        image_shape: `(H, W)` or `(H, W, C)` of images given as rows.
        random_state: Of everything random: a whole number, a `numpy.random.RandomState`, or
            `None`, with which no two fits are the same.

    Attributes:
        model_: Keras model from `(N, H, W, C)` to the same.
        offset_: What separates outliers from inliers in `score_samples`.
        history_: A `trainer.History`.
        reference_: What the score has learnt about normal images: a dict of arrays, may be empty.
        image_shape_: `(H, W, C)` of the images that the model takes.
        n_features_in_: Pixels of an image, all channels, or features of a row.
        feature_names_in_: Names of the features, of a table that has them.
        white_: Value for white in the images given to `fit`, 1 or 255; `None` for tables.
        scaler_: Fitted `MinMaxScaler` for tables; `None` for images.

    Fitted detectors can be pickled, with joblib too. Unpickling runs what a pickle says, like
    everywhere: open your own only.

    Example:
        >>> from sklearn.datasets import load_digits
        >>> digits = load_digits()
        >>> rows = digits.data[digits.target == 0] / 16
        >>> rows[7] = rows[7][::-1].reshape(8, 8).T.ravel()
        >>> detector = AutoencoderDetector(
        ...     filters=(8,), epochs=30, contamination=0.01, image_shape=(8, 8), random_state=0
        ... )
        >>> detector.fit(rows).model_.input_shape
        (None, 8, 8, 1)
        >>> (detector.decision_function(rows) < 0).sum().item()
        2
    """

    def __init__(
        self,
        *,
        recipe="robust",
        arch=None,
        filters=None,
        latent_dim=None,
        batch_norm=None,
        epochs=None,
        batch_size=None,
        learning_rate=None,
        trim=None,
        loss="mse",
        scored_by="mse",
        contamination=0.01,
        image_shape=None,
        random_state=None,
    ):
        self.recipe = recipe
        self.arch = arch
        self.filters = filters
        self.latent_dim = latent_dim
        self.batch_norm = batch_norm
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.trim = trim
        self.loss = loss
        self.scored_by = scored_by
        self.contamination = contamination
        self.image_shape = image_shape
        self.random_state = random_state

    def fit(self, X, y=None):
        """Train on images of which some few do not belong, and set the threshold.

        Args:
            X: See the class.
            y: Not used: there are no labels.

        Returns:
            The detector itself.

        Raises:
            ValueError: If `X` is not of a form that is listed there, or a parameter has no
                meaning.
        """
        self._check_parameters()
        images = self._images(X, fitting=True)
        generator = check_random_state(self.random_state)
        # A whole number is the seed itself, so that the scripts give the same with `--seed`.
        given = isinstance(self.random_state, Integral)
        seed = int(self.random_state if given else generator.randint(2**31 - 1))
        with quiet_retracing():
            fitted = train(images, self._chosen_recipe(), loss=self.loss, seed=seed)
            self.reference_ = calibration.fit_reference(fitted, images, self.scored_by, seed)
        self.model_ = fitted.autoencoder
        self.history_ = fitted.history
        scores = self._score(images)
        if self.contamination == "auto":
            threshold = thresholds.fdr_controlled(True, scores)
        else:
            threshold = thresholds.quantile(1 - self.contamination, scores)
        self.offset_ = -threshold
        return self

    def anomaly_score(self, X):
        """How odd each image is: the opposite of `score_samples`.

        Args:
            X: As for `fit`, of the same size.

        Returns:
            float64 array `(N,)`, at least 0; the higher, the more anomalous.
        """
        check_is_fitted(self, "model_")
        return self._score(self._images(X))

    def score_samples(self, X):
        """How ordinary each image is.

        Args:
            X: As for `fit`, of the same size.

        Returns:
            float64 array `(N,)`, at most 0; the lower, the more abnormal.
        """
        return -self.anomaly_score(X)

    def decision_function(self, X):
        """`score_samples` less `offset_`: below 0 for outliers.

        Args:
            X: As for `fit`, of the same size.

        Returns:
            float64 array `(N,)`.
        """
        return self.score_samples(X) - self.offset_

    def predict(self, X):
        """Whether each image belongs.

        Args:
            X: As for `fit`, of the same size.

        Returns:
            int array `(N,)`: 1 for inliers, -1 for outliers.
        """
        return np.where(self.decision_function(X) < 0, -1, 1)

    def _score(self, images):
        model = trained_model.TrainedModel(
            self.model_, self.scored_by, {}, self.reference_, None, {}
        )
        with quiet_retracing():
            return model.score_images(images).astype(np.float64)

    def _check_parameters(self):
        for name, table in (
            ("recipe", RECIPES),
            ("arch", (None, *ARCHITECTURES)),
            ("loss", losses.LOSSES),
            ("scored_by", scores.SCORES),
        ):
            if getattr(self, name) not in tuple(table):
                raise InputError(
                    f"expected {name} to be one of {', '.join(map(repr, table))}, received "
                    f"{getattr(self, name)!r}"
                )
        for name in ("latent_dim", "epochs", "batch_size"):
            if getattr(self, name) is not None:
                check_scalar(getattr(self, name), name, Integral, min_val=1)
        for name, highest, bounds in (
            ("learning_rate", None, "neither"),
            ("trim", 1, "left"),
            ("contamination", 0.5, "right"),
        ):
            value = getattr(self, name)
            if value != ("auto" if name == "contamination" else None):
                check_scalar(
                    value, name, Real, min_val=0, max_val=highest, include_boundaries=bounds
                )
        if self.image_shape is not None and len(self.image_shape) not in (2, 3):
            raise InputError(
                f"expected image_shape as (H, W) or (H, W, C), received {self.image_shape}"
            )

    def _chosen_recipe(self):
        table = self.scaler_ is not None
        chosen = make_recipe(
            self.recipe,
            self.arch or ("dense" if table else None),
            filters=None if self.filters is None else tuple(self.filters),
            latent_dim=self.latent_dim,
            batch_norm=self.batch_norm,
            epochs=self.epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            trim=self.trim,
        )
        if table and self.latent_dim is None and chosen.latent_dim:
            # A code as long as the row could repeat it, outliers and all.
            narrow = max(1, min(chosen.latent_dim, self.n_features_in_ // 2))
            chosen = dataclasses.replace(chosen, latent_dim=narrow)
        return chosen

    def _images(self, X, fitting=False):
        """Check `X` and bring it into the common form: float32 `(N, H, W, C)`."""
        shape = self.image_shape
        # A table is left as it is: its columns may have names.
        if (X if hasattr(X, "ndim") else np.asarray(X)).ndim in (3, 4):
            X = np.asarray(X)
            found = (*X.shape[1:], 1)[:3]
            wanted = shape if fitting else self.image_shape_
            if wanted is not None and found != (*wanted, 1)[:3]:
                raise InputError(
                    f"expected images of shape {(*wanted, 1)[:3]}, found {found}: bring them to "
                    "one size"
                )
            shape = found
            X = X.reshape(len(X), math.prod(found))
        # Among other things this sees to `n_features_in_` and `feature_names_in_`.
        X = validate_data(self, X, reset=fitting)
        if fitting:
            self.scaler_ = MinMaxScaler().fit(X) if shape is None else None
            self.white_ = None
            self.image_shape_ = (*(shape or (1, X.shape[1])), 1)[:3]
            if math.prod(self.image_shape_) != X.shape[1]:
                raise InputError(
                    f"expected rows of {math.prod(self.image_shape_)} numbers, for image_shape="
                    f"{self.image_shape}, found {X.shape[1]}"
                )
        if self.scaler_ is not None:
            return arrays.to_unit(self.scaler_.transform(X).reshape(-1, *self.image_shape_), 1)
        images = X.reshape(-1, *self.image_shape_)
        white = arrays.pixel_maximum(images, "X")
        if fitting:
            if white == 255 and images.dtype != np.uint8 and images.max() < DARKEST_WHITE:
                raise InputError(
                    f"expected pixels in [0, 1] or in 0 to 255 in X, found {images.min():g} to "
                    f"{images.max():g}: divide them by the value for white"
                )
            self.white_ = white
        elif white > self.white_:
            raise InputError(
                f"expected pixels in [0, 1], as in fit, found them up to {images.max():g}: "
                "divide them by 255"
            )
        return arrays.to_unit(images, self.white_)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags

    def __getstate__(self):
        state = dict(super().__getstate__())
        if "model_" in state:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder, "model.keras")
                model_files.save_model(path, state["model_"])
                state["model_"] = path.read_bytes()
        return state

    def __setstate__(self, state):
        state = dict(state)
        if "model_" in state:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder, "model.keras")
                path.write_bytes(state["model_"])
                state["model_"] = model_files.load_model(path)
        super().__setstate__(state)

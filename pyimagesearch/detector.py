"""An autoencoder as a scikit-learn outlier detector."""

import dataclasses
from numbers import Integral

import numpy as np
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from pyimagesearch import InputError
from pyimagesearch.detector_input import ImageInputMixin
from pyimagesearch.detector_parameters import check_parameters
from pyimagesearch.detector_pickling import PicklingMixin
from pyimagesearch.runtime.quiet import quiet_retracing, quiet_tensorflow
from pyimagesearch.training.recipes import make_recipe, recommended_score

with quiet_tensorflow():
    from keras.utils import Progbar

    from pyimagesearch.detection import calibration, thresholds, trained_model
    from pyimagesearch.training.train import train


class AutoencoderDetector(ImageInputMixin, PicklingMixin, OutlierMixin, BaseEstimator):
    """An autoencoder as one of scikit-learn's outlier detectors.

    It trains, scores and sets its threshold as the two scripts do: with the same images, and their
    `--seed` as `random_state`, the scores are the same.

    The methods follow scikit-learn: in `score_samples` and `decision_function` **lower** means more
    abnormal, and `predict` returns -1 for outliers and 1 for inliers. The attributes
    `decision_scores_` and `threshold_`, and the method `anomaly_score`, follow PyOD and the rest of
    this package: **higher** means more anomalous.

    `X` is one of

    - images, `(N, H, W)` or `(N, H, W, C)`, in [0, 1] or in 0 to 255. `fit` finds out which of the
      two. After [0, 1], new images may lie beyond, between -1 and 2, as a `MinMaxScaler` in a pipeline
      leaves them: they stay as they are and so score high;
    - the same images as rows, `(N, H * W * C)`, with `image_shape`, as in pipelines and
      `load_digits().data / 16`;
    - the path of a folder of images, or a list of paths of image files and folders. They are read
      when they are needed and resized to `image_shape`; without it, to 256x256 for recipe photos,
      else to 28x28 unless all have one size;
    - any other table of numbers, `(N, features)`, without `image_shape`. Each feature is scaled to
      [0, 1] by its smallest and largest value in `fit`. New values beyond these stay beyond [0, 1],
      where they cannot be reconstructed and so score high. A row is treated as an image one pixel
      high. The default network is then a dense one, which does not depend on the order of the
      features, with a latent code of at most half as many numbers as there are features.

    Args:
        recipe: A key of `recipes.RECIPES`: the settings that are not named here.
        arch: A key of `recipes.ARCHITECTURES`. `None`: that of the recipe for images, `"dense"` for
            tables.
        filters: Widths of the layers, from the image to the code: a sequence of whole numbers.
            `None`, here and below: as in the recipe.
        latent_dim: Length of the latent code.
        batch_norm: Whether batch normalization follows each layer.
        epochs: Passes over the images. `None`: as in the recipe, and more for small sets.
        batch_size: Images per step.
        learning_rate: Highest learning rate of Adam.
        trim: Share of the images' weight that training takes from likely outliers, in [0, 1).
        loss: A key of `losses.LOSSES`.
        scored_by: The anomaly score: a key of `scores.SCORES`, of recipe photos one of
            `feature_scores.NAMES`, or `"auto"`, the one that the recipe recommends. It is not called
            `score`, which is a method in scikit-learn.
        contamination: Share of outliers among the images in `fit`, in (0, 0.5]; or `"auto"`: as many
            as stand out from the bulk of the scores, which may be none (see
            `thresholds.fdr_controlled`).
        image_shape: `(H, W)`, of gray images, or `(H, W, C)`, of images that come as rows or as files.
        random_state: Seed of everything random: a whole number, a `numpy.random.RandomState`, or
            `None`, by which no two fits are the same.
        verbose: 0 for silence; 1 for progress bars, in notebooks too; 2 for a line after each.
            `False` and `True` are 0 and 1.

    Attributes:
        decision_scores_: float64 array `(N,)`: the anomaly scores of the training images, at least
            0; the higher, the more anomalous.
        threshold_: Anomaly scores above it are outliers.
        offset_: `-threshold_`: what `decision_function` subtracts from `score_samples`.
        model_: Keras model from `(N, H, W, C)` to the same.
        score_name_: The anomaly score that is used.
        history_: A `trainer.History`.
        reference_: What `calibration.fit_reference` returned for the score: a dict of arrays; may be
            empty.
        image_shape_: `(H, W, C)` of the images that the model takes.
        n_features_in_: Number of pixels of an image, over all channels, or of features of a row.
        feature_names_in_: Names of the features, of a table that has them.
        pixel_maximum_: Value of white in the images in `fit`, 1 or 255; `None` for tables.
        scaler_: Fitted `MinMaxScaler` for tables; `None` for images.
        names_: Paths of the images in `fit`, if they came as files; else `None`.
        preprocessing_: How these files became images, besides size and channels: a dict; else `None`.

    Fitted detectors can be pickled, also by joblib. Unpickling runs what a pickle contains, as
    everywhere: open only your own. Detectors pickled by an earlier version load too; those from
    before `decision_scores_` lack it.

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
        >>> (detector.decision_scores_ > detector.threshold_).sum().item()
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
        scored_by="auto",
        contamination=0.01,
        image_shape=None,
        random_state=None,
        verbose=0,
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
        self.verbose = verbose

    def fit(self, X, y=None, *, sample_weight=None):
        """Train on images of which a few may be outliers, and set the threshold.

        Args:
            X: Images or a table, as described for the class.
            y: Not used; there are no labels.
            sample_weight: Float array `(N,)`, at least 0: how many times each image counts, in the
                losses, in what is trimmed, in the means and covariances of the reference and in the
                threshold. Only their ratios matter. An image of weight 0 is scored, and has no
                other effect. Of recipe photos, all others have one weight. `None`: all count once.

        Returns:
            The detector itself.

        Raises:
            ValueError: If `X` or a parameter is not as described for the class.
        """
        check_parameters(self)
        given = self._fit_input(X, sample_weight)
        images, weights = given.images, given.weights
        generator = check_random_state(self.random_state)
        # A whole number is the seed itself, by which the scripts give the same results.
        is_seed = isinstance(self.random_state, Integral)
        seed = int(self.random_state if is_seed else generator.randint(2**31 - 1))
        with quiet_retracing():
            recipe = self._make_recipe()
            result = train(
                images,
                recipe,
                seed=seed,
                groups=given.groups,
                on_epoch=self._progress_bar("epoch"),
                on_batch=self._progress_bar("image"),
                frequency_weights=weights,
            )
            self.score_name_ = self.scored_by
            if self.scored_by == "auto":
                self.score_name_ = recommended_score(recipe)
            self.reference_ = calibration.fit_reference(
                result, images, self.score_name_, seed, weights
            )
        self.model_ = result.autoencoder
        outliers = given.used[result.history.outliers]
        self.history_ = dataclasses.replace(result.history, outliers=outliers)
        scores = self._score(images)
        if self.contamination == "auto":
            self.threshold_ = thresholds.fdr_controlled(True, scores, weights=weights)
        else:
            self.threshold_ = thresholds.quantile(1 - self.contamination, scores, weights=weights)
        self.offset_ = -self.threshold_
        self.decision_scores_ = scores
        if given.ignored is not None:
            self.decision_scores_ = given.in_order(scores, self._score(given.ignored))
        return self

    def anomaly_score(self, X):
        """How anomalous each image is: `-score_samples(X)`.

        Args:
            X: As for `fit`, of the same size.

        Returns:
            float64 array `(N,)`, at least 0; the higher, the more anomalous.
        """
        check_is_fitted(self, "model_")
        images, _ = self._images(X)
        return self._score(images)

    def score_samples(self, X):
        """How normal each image is.

        Args:
            X: As for `fit`, of the same size.

        Returns:
            float64 array `(N,)`, at most 0; the lower, the more abnormal.
        """
        return -self.anomaly_score(X)

    def decision_function(self, X):
        """`score_samples(X) - offset_`: below 0 for outliers.

        Args:
            X: As for `fit`, of the same size.

        Returns:
            float64 array `(N,)`; the lower, the more abnormal.
        """
        return self.score_samples(X) - self.offset_

    def predict(self, X):
        """Which images are outliers.

        Args:
            X: As for `fit`, of the same size.

        Returns:
            int array `(N,)`: 1 for inliers, -1 for outliers.
        """
        return np.where(self.decision_function(X) < 0, -1, 1)

    def _score(self, images):
        """Compute the anomaly scores of images in the common form."""
        model = trained_model.TrainedModel(
            self.model_, self.score_name_, {}, self.reference_, None, {}
        )
        show = self._progress_bar("image")
        on_batch = show and (lambda done: show(done, len(images)))
        with quiet_retracing():
            return model.score_images(images, on_batch=on_batch).astype(np.float64)

    def _progress_bar(self, unit):
        """Make a function `(done, total, **figures)` that shows progress; `None` to be silent."""
        if not self.verbose:
            return None
        bars = []

        def show(done, total, **figures):
            if not bars:
                bars.append(
                    Progbar(total, 20, self.verbose, 0.5, stateless_metrics=(), unit_name=unit)
                )
            values = [item for item in figures.items() if item[1] is not None]
            bars[0].update(done, values)

        return show

    def _make_recipe(self):
        """Make the recipe of the parameters, once `X` is known to hold images or a table."""
        is_table = self.scaler_ is not None
        if is_table and self.recipe == "photos":
            raise InputError(
                "expected images for recipe='photos', received a table: name their image_shape, or "
                "take recipe='robust'"
            )
        recipe = make_recipe(
            self.recipe,
            self.arch or ("dense" if is_table else None),
            filters=None if self.filters is None else tuple(self.filters),
            latent_dim=self.latent_dim,
            batch_norm=self.batch_norm,
            epochs=self.epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            trim=self.trim,
            loss=self.loss,
        )
        if is_table and self.latent_dim is None and recipe.latent_dim:
            # By a code as long as a row, outliers could be reconstructed as well as inliers.
            latent_dim = max(1, min(recipe.latent_dim, self.n_features_in_ // 2))
            recipe = dataclasses.replace(recipe, latent_dim=latent_dim)
        return recipe

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags

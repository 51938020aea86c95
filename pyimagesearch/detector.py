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

    Parameters
    ----------
    recipe : {"robust", "shapes", "tutorial", "photos"}, default="robust"
        The settings that are not named here: a key of `recipes.RECIPES`. Recipe photos has none of
        `arch`, `filters`, `batch_norm`, `batch_size` and `learning_rate`.
    arch : {"conv", "cnn", "dense", "dense-deep"}, default=None
        The architecture: a key of `recipes.ARCHITECTURES`. `None`: that of the recipe for images,
        `"dense"` for tables.
    filters : sequence of int, default=None
        Widths of the layers, from the image to the code, each at least 1. `None`, here and below: as
        in the recipe.
    latent_dim : int, default=None
        Length of the latent code, at least 1.
    batch_norm : bool, default=None
        Whether batch normalization follows each layer.
    epochs : int, default=None
        Passes over the images, at least 1. `None`: as in the recipe, and more for small sets.
    batch_size : int, default=None
        Images per step, at least 1.
    learning_rate : float, default=None
        Highest learning rate of Adam, above 0.
    trim : float, default=None
        Share of the images' weight that training takes from likely outliers, in [0, 1).
    loss : {"mse", "bce"}, default="mse"
        The loss: a key of `losses.LOSSES`.
    scored_by : str, default="auto"
        The anomaly score: a key of `scores.SCORES`, of recipe photos one of `feature_scores.NAMES`, or
        `"auto"`, the one that the recipe recommends. It is not called `score`, which is a method in
        scikit-learn.
    contamination : float or "auto", default=0.01
        Share of outliers among the images in `fit`, in (0, 0.5]; or `"auto"`: as many as stand out
        from the bulk of the scores, which may be none (see `thresholds.fdr_controlled`).
    image_shape : tuple of int, default=None
        `(H, W)`, of gray images, or `(H, W, C)`, of images that come as rows or as files; in pixels.
    random_state : int, RandomState instance or None, default=None
        Seed of everything random, from 0 to 2**32 - 1. By `None`, no two fits are the same.
    verbose : int or bool, default=0
        0 for silence; 1 for progress bars, in notebooks too; 2 for a line after each.

    Attributes
    ----------
    decision_scores_ : ndarray of shape (n_samples,), float64
        Anomaly scores of the images in `fit`, at least 0; the higher, the more anomalous.
    threshold_ : float
        Anomaly scores above it are outliers.
    offset_ : float
        `-threshold_`: what `decision_function` subtracts from `score_samples`.
    model_ : keras.Model
        The network, from `(N, H, W, C)` in [0, 1] to the same; of recipe photos, as
        `feature_autoencoder.build` returns it.
    score_name_ : str
        The anomaly score that is used, never `"auto"`.
    history_ : History
        What happened in training: a `trainer.History`. Its `outliers` are indices of images in `fit`,
        its `seconds` are seconds.
    reference_ : dict of str to ndarray
        What the score knows about normal images, as `calibration.fit_reference` returns it; may be
        empty.
    image_shape_ : tuple of int
        `(H, W, C)` of the images that the model takes, in pixels and channels.
    n_features_in_ : int
        Number of pixels of an image, over all channels, or of features of a row.
    feature_names_in_ : ndarray of shape (n_features_in_,), object
        Names of the features, of a table that has them; else it is not there.
    pixel_maximum_ : {1, 255} or None
        Value of white in the images in `fit`; `None` for tables.
    scaler_ : MinMaxScaler or None
        What scales the features of tables, fitted; `None` for images.
    names_ : list of str or None
        Paths of the images in `fit`, if they came as files.
    preprocessing_ : dict or None
        How these files became images, besides size and channels.

    See Also
    --------
    sklearn.ensemble.IsolationForest : Outliers of tables, by random splits.
    sklearn.decomposition.PCA : The linear autoencoder.

    Notes
    -----
    Fitted detectors can be pickled, also by joblib. Unpickling runs what a pickle contains, as
    everywhere: open only your own. Detectors pickled by an earlier version load too; those from
    before `decision_scores_` lack it.

    Examples
    --------
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

        Parameters
        ----------
        X : array-like, path or list of paths
            Images or a table, as described for the class.
        y : Ignored
            Not used; there are no labels.
        sample_weight : array-like of shape (n_samples,), default=None
            How many times each image counts, at least 0: in training, in the means and covariances
            of the reference, and in the threshold, above which lies at most the share
            `contamination` of the weight. Only ratios matter. An image of weight 0 is
            scored, and has no other effect. Of recipe photos, all others have one weight. `None`:
            each counts once.

        Returns
        -------
        self : AutoencoderDetector
            The detector itself.

        Raises
        ------
        ValueError
            If `X`, a weight or a parameter is not as described.
        TypeError
            If a parameter that is a number is of another type.
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

        Parameters
        ----------
        X : array-like, path or list of paths
            As for `fit`, of the same size.

        Returns
        -------
        scores : ndarray of shape (n_samples,), float64
            At least 0; the higher, the more anomalous.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError
            If `X` is unlike what `fit` was given.
        """
        check_is_fitted(self, "model_")
        images, _ = self._images(X)
        return self._score(images)

    def score_samples(self, X):
        """How normal each image is.

        Parameters
        ----------
        X : array-like, path or list of paths
            As for `fit`, of the same size.

        Returns
        -------
        scores : ndarray of shape (n_samples,), float64
            At most 0; the lower, the more abnormal.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError
            If `X` is unlike what `fit` was given.
        """
        return -self.anomaly_score(X)

    def decision_function(self, X):
        """`score_samples(X) - offset_`: below 0 for outliers.

        Parameters
        ----------
        X : array-like, path or list of paths
            As for `fit`, of the same size.

        Returns
        -------
        scores : ndarray of shape (n_samples,), float64
            The lower, the more abnormal.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError
            If `X` is unlike what `fit` was given.
        """
        return self.score_samples(X) - self.offset_

    def predict(self, X):
        """Which images are outliers.

        Parameters
        ----------
        X : array-like, path or list of paths
            As for `fit`, of the same size.

        Returns
        -------
        inliers : ndarray of shape (n_samples,), int
            1 for inliers, -1 for outliers.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError
            If `X` is unlike what `fit` was given.
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

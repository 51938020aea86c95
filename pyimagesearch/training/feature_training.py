"""Training of a feature autoencoder in rounds, and of what its scores know about normal images."""

import time
from dataclasses import dataclass
from functools import partial

import numpy as np
import tensorflow as tf

from pyimagesearch.data.batches import subsample
from pyimagesearch.detection import feature_scores, gaussians, scoring
from pyimagesearch.models.backbone import STRIDES
from pyimagesearch.models.feature_autoencoder import DECODERS, FEATURES
from pyimagesearch.training import feature_statistics as statistics
from pyimagesearch.training.checkpoint import check_state
from pyimagesearch.training.feature_extraction import BATCH_SIZE
from pyimagesearch.training.trainer import History

# Images that are learned from, at most: of more, some are drawn at random, and the others scored as
# new images are.
MAX_IMAGES = feature_scores.MAX_MEMBERS
# Robust deviations beyond which an image is left out of the next round, and a place of an image.
IMAGE_LIMIT, PLACE_LIMIT = 3.0, 3.5
# Images for each number of the latent code, at least, for it to be used: of fewer, the encoder, to
# which all contribute, would know each too well.
MIN_IMAGES_PER_NUMBER = 10
# Images whose anomaly maps determine the threshold for a single pixel, at most.
MAX_MAPS = 200


@dataclass(frozen=True)
class FeatureFit:
    """What one round has fitted.

    Attributes:
        reference: The arrays of `feature_scores.shapes`.
        weights: The weights of the fitted layers of the model, lists of two arrays by name.
        scores: float32 arrays `(n,)` by the names of the scores: of each training image, judged
            by the others.
        maps: float32 array `(m, h, w)`: anomaly maps of some of them, on the grid of places.
        outliers: bool array `(n,)`: the images that were left out.
    """

    reference: dict
    weights: dict
    scores: dict
    maps: np.ndarray
    outliers: np.ndarray


class FeatureTrainer:
    """Fits a feature autoencoder, and Gaussians of its residuals, to images some of them outliers.

    A round fits all in closed form: the encoder (principal components of the last stage), the
    decoder (least squares at each place), the Gaussians of the residuals at each place (as PaDiM
    does of features: Defard et al., 2021), and those of whole images. It then judges each image by
    all others, and leaves what is unusual out of the next round: places of images, and whole
    images. Whether a code is used, and how much a place has in common with the others, is chosen by
    the likelihood of images under what the others say of them. No label is needed.

    Args:
        features: A `feature_extraction.ImageFeatures`.
        recipe: A `recipes.FeatureRecipe`.
        seed: Of the choice of images where there are more than are looked at.

    Attributes:
        loss, val_loss: By round, mean squared errors of the reconstruction: of the images that
            were learned from, and of the same when each is reconstructed by what the others say.
        kept: bool array `(n,)`: the images that count in the next round.
        counted: uint8 array `(n, h, w)`: the places that count in it.
        uses_code: Whether the decoder uses the code; `None` before the first round, which decides.
        shares: What share of the covariance all places have in common, of each stage; likewise.
        colors: The arrays of the reference that make a picture of features; likewise.
        fitted: The `FeatureFit` of the last round; `None` before.
    """

    def __init__(self, features, recipe, seed):
        self._started = time.monotonic()
        self.features, self.recipe, self.seed = features, recipe, seed
        self.loss, self.val_loss, self.fitted = [], [], None
        self.uses_code, self.shares, self.colors = None, [None] * len(STRIDES), None
        self._threads = scoring.threads_for(features.cluster)
        self.kept = np.ones(features.n, bool)
        self.counted = np.ones((features.n, *features.shapes[0][:2]), np.uint8)

    def run_round(self):
        """Fit everything to what counts, judge each image by the others, and weight anew.

        Returns:
            A dict of figures: `loss`, `val_loss`, and `trimmed`, the share of images left out.
        """
        features, kept, seed = self.features, self.kept, self.seed
        kernel, bias = statistics.fit_encoder(features, kept, self.recipe.latent_dim, seed)
        codes = features.gather(
            lambda maps: tf.matmul(statistics.flatten(maps[-1]), kernel) + bias, (len(bias),)
        )
        regressors = np.concatenate([np.ones((features.n, 1), np.float32), codes], 1)
        coefficients, reference, leverage = self._fit_places(regressors)
        logs, errors = self._judge_places(coefficients, reference, regressors, leverage)
        few = subsample(np.flatnonzero(kept), seed, statistics.MAX_PLACE_IMAGES)
        reference |= statistics.fit_place_statistics(logs[few])
        for name, vectors, shares in (
            ("global", features.means, statistics.WHOLE_SHARES),
            ("quality", features.quality, (0.0,)),
        ):
            reference |= statistics.fit_vectors(name, vectors, kept, shares)
        reference |= self.colors
        reference |= self._members(leverage)
        evidence, maps = self._judge_images(reference, logs)
        median, deviation = statistics.robust_deviations(evidence[kept])
        reference["evidence_median"] = median
        reference["evidence_deviation"] = deviation + np.float32(1e-6)
        # The features are standardized: the error is the share of the variance that is not explained.
        alone = errors[kept] / np.square(1 - np.minimum(leverage[kept], 0.98))
        explained = np.clip(1 - alone.mean(keepdims=True), 0, 1).astype(np.float32)
        reference["explained"] = explained
        z = feature_scores.robust_z(evidence, reference)
        scores = feature_scores.scores_of(z, errors, explained)
        self.fitted = FeatureFit(
            reference,
            self._layer_weights(kernel, bias, coefficients),
            {name: np.asarray(score) for name, score in scores.items()},
            maps,
            ~kept,
        )
        self.loss.append(float(errors[kept].mean()))
        self.val_loss.append(float(alone.mean()))
        self._leave_out(logs[:, 0], z)
        return {
            "loss": self.loss[-1],
            "val_loss": self.val_loss[-1],
            "trimmed": float(1 - kept.mean()),
        }

    def _stage_weights(self, indices):
        """What counts of some images: four arrays `(B, h * w)`, one for each stage."""
        counted = tf.constant(self.counted[indices] * self.kept[indices, None, None], tf.float32)
        return [
            feature_scores.places_of_stage(counted, shape[:2]).numpy().reshape(len(indices), -1)
            for shape in self.features.shapes
        ]

    def _fit_places(self, regressors):
        """Fit decoder and Gaussians of all stages, with the code or without.

        Returns:
            A triple: the coefficients of each stage, `(P, C, K)`; the arrays of the reference;
            and the leverage of each image, `(n,)`.
        """
        sums, samples = statistics.accumulate(
            self.features, regressors, self._stage_weights, self.seed, self.kept
        )
        enough = self.kept.sum() >= MIN_IMAGES_PER_NUMBER * self.recipe.latent_dim
        if self.uses_code is None:
            widths = (1, regressors.shape[1]) if enough else (1,)
            k, self.shares = self._choose(sums, samples, regressors, widths)
            self.uses_code = k > 1
            self.colors = statistics.fit_colors(sums[1])
        self.uses_code = bool(self.uses_code and enough)
        k = regressors.shape[1] if self.uses_code else 1
        stages = self._by_stage(partial(statistics.fit_stage, k), sums, self.shares)
        coefficients, fitted = zip(*stages, strict=True)
        reference = {}
        for stride, of_stage in zip(STRIDES, fitted, strict=True):
            reference |= gaussians.as_arrays(of_stage, str(stride))
        return coefficients, reference, statistics.leverage_of(regressors[:, :k], self.kept)

    def _choose(self, sums, samples, regressors, widths):
        """Of some numbers of regressors, choose the likeliest, and the share of each stage for it."""
        best = None
        for k in widths:
            used = regressors[:, :k]
            leverage = statistics.leverage_of(used, self.kept)
            likelihoods_of = partial(statistics.share_likelihoods, used, leverage)
            likelihoods = np.array(self._by_stage(likelihoods_of, sums, samples))
            likelihoods = self.features.cluster.all_reduce_sum(likelihoods)
            highest = likelihoods.max(1).sum()
            if best is None or highest > best[0]:
                best = highest, k, likelihoods.argmax(1)
        return best[1], [statistics.PLACE_SHARES[i] for i in best[2]]

    def _by_stage(self, function, *arguments):
        """Call a function once for each stage, on threads: a list of the results."""
        stages = zip(*arguments, strict=True)
        return list(scoring.map_on_threads(lambda one: function(*one), stages, self._threads))

    def _judge_places(self, coefficients, reference, regressors, leverage):
        """Judge each place of each image by the other images.

        Returns:
            Two float32 arrays, in every worker: what `feature_scores.log_distances` returns, of all
            images, and the mean squared errors `(n,)`.
        """
        features = self.features
        height, width, _ = features.shapes[0]
        logs = np.zeros((features.n, 1 + len(STRIDES), height, width), np.float32)
        errors = np.zeros(features.n, np.float32)
        constants = {name: tf.constant(array) for name, array in reference.items()}
        for indices, maps in features.batches():
            kept = self.kept[indices].astype(np.float32)
            membership = feature_scores.Membership(
                tf.constant(self.counted[indices] * kept[:, None, None], tf.float32),
                tf.constant(kept),
                tf.constant(leverage[indices]),
                None,
            )
            residuals = [
                x - tf.reshape(tf.einsum("bk,pck->bpc", regressors[indices], a), x.shape)
                for x, a in zip(maps, coefficients, strict=True)
            ]
            logs[indices] = feature_scores.log_distances(residuals, constants, membership)
            errors[indices] = feature_scores.mean_squared_error(residuals)
        reduce = features.cluster.all_reduce_sum
        return reduce(logs), reduce(errors)

    def _members(self, leverage):
        """What the reference says of each image that it was fitted to, and the memory bank."""
        features, members = self.features, np.flatnonzero(self.kept)
        bank = subsample(members, self.seed, statistics.MAX_BANK_IMAGES)
        size = features.embedding.shape[1], feature_scores.SKETCH
        signs = np.random.default_rng([self.seed, 5]).choice([-1.0, 1.0], size)
        projection = signs.astype(np.float32)
        return {
            "bank": feature_scores.directions(tf.constant(features.embedding[bank])).numpy(),
            "sketch_projection": projection,
            "member_sketch": tf.matmul(features.embedding, projection).numpy()[members],
            "member_places": self.counted[members],
            "member_leverage": leverage[members],
            "member_in_bank": np.isin(members, bank).astype(np.float32),
        }

    def _judge_images(self, reference, logs):
        """Judge each image as a whole by the other images.

        Returns:
            The evidence, float32 array `(n, 4)`, and some anomaly maps `(m, h, w)`.
        """
        features, kept = self.features, self.kept.astype(np.float32)
        in_bank = np.zeros(features.n, np.float32)
        in_bank[np.flatnonzero(self.kept)] = reference["member_in_bank"]
        evidence = []
        # In small batches: to leave an image out takes a covariance of its own.
        for start in range(0, features.n, BATCH_SIZE):
            some = slice(start, start + BATCH_SIZE)
            places, _ = feature_scores.standardize_places(logs[some], reference)
            evidence.append(
                feature_scores.image_evidence(
                    places,
                    features.means[some],
                    features.quality[some],
                    features.embedding[some],
                    reference,
                    kept[some],
                    in_bank[some],
                )
            )
        few = subsample(np.flatnonzero(self.kept), self.seed, MAX_MAPS)
        _, maps = feature_scores.standardize_places(logs[few], reference)
        return np.concatenate(evidence), np.asarray(maps)

    def _leave_out(self, logs, z):
        """Choose what counts in the next round: images and places that are not too unusual."""
        trim = self.recipe.trim
        center, deviation = statistics.robust_deviations(logs[self.kept])
        unusual = (logs - statistics.smooth(center)) / (statistics.smooth(deviation) + 1e-3)
        limits = np.maximum(PLACE_LIMIT, np.quantile(unusual, 1 - trim, axis=0))
        self.counted = (unusual <= limits).astype(np.uint8)
        # The neighbors are no reason: rare kinds of usual images have few.
        highest = z[:, [0, 1, 3]].max(1)
        self.kept = highest <= max(IMAGE_LIMIT, np.quantile(highest, 1 - trim))

    def _layer_weights(self, kernel, bias, coefficients):
        """The weights of all layers that are fitted, lists of arrays by their names."""
        weights = {"encoder": [kernel, bias]}
        for name, (scale, offset) in zip(FEATURES, self.features.scale, strict=True):
            weights[name] = [scale[np.newaxis, np.newaxis], offset]
        for name, a in zip(DECODERS, coefficients, strict=True):
            rows = a.reshape(-1, a.shape[-1]).T
            weights[name] = [rows[1:], rows[0]]
        return weights

    def fit(self, checkpoint=None, on_checkpoint=None, on_epoch=None):
        """Run all rounds that are left; the arguments and the result are those of `Trainer.fit`."""
        if checkpoint is not None:
            self.load_state_dict(checkpoint)
        rounds = self.recipe.epochs
        if on_epoch is not None:
            on_epoch(len(self.loss), rounds)
        interrupted = False
        # A resumed training that is complete fits its last round again.
        first = min(len(self.loss), rounds - 1)
        del self.loss[first:], self.val_loss[first:]
        for number in range(first + 1, rounds + 1):
            try:
                state = self.state_dict()
                figures = self.run_round()
                # Of a single round there is nothing to resume.
                if on_checkpoint is not None and rounds > 1:
                    on_checkpoint(self.state_dict() if number < rounds else state)
                if on_epoch is not None:
                    on_epoch(number, rounds, learning_rate=None, **figures)
            except KeyboardInterrupt:
                if self.fitted is None:
                    raise
                interrupted = True
                break
        outliers = np.flatnonzero(self.fitted.outliers)
        return History(self.loss, self.val_loss, self.seconds, outliers, interrupted)

    @property
    def seconds(self):
        """How long the training has taken, all runs together."""
        return time.monotonic() - self._started

    def state_dict(self):
        """Copy all that later rounds depend on: a dict of arrays by name."""
        return {
            "loss": np.array(self.loss),
            "val_loss": np.array(self.val_loss),
            "seconds": np.array(self.seconds),
            "kept": self.kept,
            "counted": self.counted,
            "uses_code": np.array(int(self.uses_code or 0)),  # undecided before the first round,
            "shares": np.array(self.shares, float),  # when these are NaN
            **(self.colors or {}),
        }

    def load_state_dict(self, state):
        """Go back to where `state_dict` was called, in this process or in an earlier one.

        Raises:
            InputError: If it is not the state of such a training.
        """
        n_channels = self.features.shapes[1][2]
        colors = {
            "colors": np.zeros((n_channels, 3), np.float32),
            "colors_offset": np.zeros(3, np.float32),
        }
        check_state(state, {**self.state_dict(), **colors})
        self.kept, self.counted = state["kept"], state["counted"]
        self.loss, self.val_loss = state["loss"].tolist(), state["val_loss"].tolist()
        self.uses_code, self.shares = bool(state["uses_code"]), state["shares"].tolist()
        self.colors = {name: state[name] for name in colors}
        self._started = time.monotonic() - float(state["seconds"])

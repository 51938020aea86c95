"""Calibration of the anomaly scores: thresholds and references from the training images."""

import numpy as np

from pyimagesearch.data.batches import iterate_batches, subsample
from pyimagesearch.detection import feature_scores, fitting, scoring, thresholds
from pyimagesearch.detection.scores import SCORES
from pyimagesearch.models.architectures import Autoencoder

# Share of the pixels of held-out images that may lie above the threshold for a single pixel.
PIXEL_FALSE_ALARM_RATE = 0.001
# Images whose pixels determine that threshold, at most.
MAX_PIXEL_IMAGES = 500


def calibrate(result, images, seed=42):
    """Fit every score to the training images, and summarize what it makes of them.

    Args:
        result: A `train.TrainingResult`.
        images: The images that it was trained on, and held out.
        seed: Of the choice among more than `batches.MAX_CALIBRATION_IMAGES` images.

    Returns:
        Two dicts by score. The calibration, plain numbers for JSON: `trained` and `held_out`, each
        as `scoring.summarize` returns it, `threshold` and `pixel_threshold`. And the references, as
        `fitting.fit_references` returns them. Scores that need codes, where there are none, and
        scores for which there are too few images, are left out. Of features, the one reference of
        all scores is called `feature_scores.REFERENCE`.
    """
    if result.reference is not None:
        return calibrate_features(result)
    autoencoder = result.autoencoder
    trained, held_out = subsample(result.trained, seed), subsample(result.held_out, seed)
    # A network scores what it was trained on lower than any other images.
    typical = held_out if len(held_out) else trained
    has_codes = Autoencoder(autoencoder).code_length is not None
    usable = [score for score in SCORES if has_codes or not SCORES[score].needs_codes]
    references = {
        score: reference
        for score, reference in fit_references(result, images, usable, seed).items()
        if reference or SCORES[score].fit is None
    }
    pixel_thresholds = quantiles_of_maps(
        autoencoder, images, typical[:MAX_PIXEL_IMAGES], references
    )
    order = np.concatenate([trained, held_out])
    calibration = {}
    for score, scores in scoring.score_images_jointly(
        autoencoder, images, references, order
    ).items():
        trained_scores, held_out_scores = np.split(scores, [len(trained)])
        calibration[score] = {
            "trained": scoring.summarize(trained_scores),
            "held_out": scoring.summarize(held_out_scores),
            "threshold": thresholds.fdr_controlled(
                True, held_out_scores if len(held_out) else trained_scores
            ),
            "pixel_threshold": pixel_thresholds[score],
        }
    return calibration, {score: reference for score, reference in references.items() if reference}


def quantiles_of_maps(autoencoder, images, order, references):
    """By score, what few pixels of the anomaly maps of some images exceed: `PIXEL_FALSE_ALARM_RATE`."""
    # Several scores have the same maps: one of these is enough.
    first = {SCORES[score].anomaly_map: score for score in reversed(references)}
    score_batch = scoring.make_joint_scorer(
        autoencoder, {score: references[score] for score in first.values()}
    )
    maps = {score: [] for score in first.values()}
    for _, batch in iterate_batches(images, order, scoring.batch_size_for_maps(autoencoder)):
        for score, of_batch in score_batch(batch)[1].items():
            maps[score].append(of_batch.numpy())
    quantiles = {
        score: float(np.quantile(np.concatenate(parts), 1 - PIXEL_FALSE_ALARM_RATE))
        for score, parts in maps.items()
    }
    return {score: quantiles[first[SCORES[score].anomaly_map]] for score in references}


def calibrate_features(result):
    """As `calibrate`, of features: training has judged each image by the others already."""
    size = result.autoencoder.input_shape[1:3]
    maps = feature_scores.image_maps(result.fit.maps, size)
    pixel_threshold = float(np.quantile(maps, 1 - PIXEL_FALSE_ALARM_RATE))
    calibration = {}
    for score, scores in result.fit.scores.items():
        # No image is scored by what was learned of itself: all are as good as held out.
        summary = scoring.summarize(scores)
        calibration[score] = {
            "trained": summary,
            "held_out": summary,
            "threshold": thresholds.fdr_controlled(True, scores),
            "pixel_threshold": pixel_threshold,
        }
    return calibration, {feature_scores.REFERENCE: result.reference}


def fit_reference(result, images, score, seed=42, frequency_weights=None):
    """Fit a score to the images that were trained on, without the outliers where it asks for that.

    Args:
        result, images, seed: As for `calibrate`.
        score: A key of `scores.SCORES`.
        frequency_weights: As for `fitting.fit_references`; not of features.

    Returns:
        The reference, as `fitting.fit_references` returns it.
    """
    if result.reference is not None:
        return result.reference
    return fit_references(result, images, [score], seed, frequency_weights)[score]


def fit_references(result, images, scores, seed, frequency_weights=None):
    """As `fit_reference`, of several scores of pixels in one pass: a dict by score."""
    order = subsample(result.trained, seed)
    inliers = np.setdiff1d(order, result.history.outliers)
    orders = {score: inliers if SCORES[score].fit_on_inliers else order for score in scores}
    return fitting.fit_references(
        result.autoencoder, images, orders, frequency_weights=frequency_weights
    )

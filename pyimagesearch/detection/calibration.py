"""Calibration of the anomaly scores: thresholds and references from the training images."""

import numpy as np

from pyimagesearch.data.batches import subsample
from pyimagesearch.detection import feature_scores, scoring, thresholds
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
        `scoring.fit_reference` returns them. Scores that need codes, where there are none, and
        scores for which there are too few images, are left out. Of features, the one reference of
        all scores is called `feature_scores.REFERENCE`.
    """
    if result.reference is not None:
        return calibrate_features(result)
    autoencoder = result.autoencoder
    trained, held_out = subsample(result.trained, seed), subsample(result.held_out, seed)
    # A network scores what it was trained on lower than any other images.
    typical = held_out if len(held_out) else trained
    order = np.concatenate([trained, held_out])
    has_codes = Autoencoder(autoencoder).code_length is not None
    calibration, references, pixel_thresholds = {}, {}, {}
    for score, anomaly_score in SCORES.items():
        if anomaly_score.needs_codes and not has_codes:
            continue
        reference = fit_reference(result, images, score, seed)
        if anomaly_score.fit is not None and not reference:
            continue
        if reference:
            references[score] = reference
        # Several scores have the same maps.
        if anomaly_score.anomaly_map not in pixel_thresholds:
            few = typical[:MAX_PIXEL_IMAGES]
            *_, maps = scoring.reconstruct(autoencoder, images, few, score, reference)
            pixel_thresholds[anomaly_score.anomaly_map] = float(
                np.quantile(maps, 1 - PIXEL_FALSE_ALARM_RATE)
            )
        scores = scoring.score_images(autoencoder, images, score, reference, order)
        trained_scores, held_out_scores = np.split(scores, [len(trained)])
        calibration[score] = {
            "trained": scoring.summarize(trained_scores),
            "held_out": scoring.summarize(held_out_scores),
            "threshold": thresholds.fdr_controlled(
                True, held_out_scores if len(held_out) else trained_scores
            ),
            "pixel_threshold": pixel_thresholds[anomaly_score.anomaly_map],
        }
    return calibration, references


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


def fit_reference(result, images, score, seed=42):
    """Fit a score to the images that were trained on, without the outliers where it asks for that.

    Args:
        result, images, seed: As for `calibrate`.
        score: A key of `scores.SCORES`.

    Returns:
        The reference, as `scoring.fit_reference` returns it.
    """
    if result.reference is not None:
        return result.reference
    order = subsample(result.trained, seed)
    if SCORES[score].fit_on_inliers:
        order = np.setdiff1d(order, result.history.outliers)
    return scoring.fit_reference(result.autoencoder, images, order, score)

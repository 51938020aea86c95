"""Calibration: thresholds and references of every score, from the training images."""

import numpy as np

from pyimagesearch.data.batches import subsample
from pyimagesearch.detection import scoring, thresholds
from pyimagesearch.detection.scores import SCORES
from pyimagesearch.models import architectures

# Share of the pixels of held-out images that may lie above the threshold for a single pixel.
PIXEL_FALSE_ALARM_RATE = 0.001


def calibrate(fitted, images, seed=42):
    """What training notes down about scores, so that other images can be judged by it.

    Args:
        fitted: A `TrainingResult`.
        images: What it was fitted to.
        seed: Of the choice among more than `MAX_CALIBRATION_IMAGES` images.

    Returns:
        A tuple of two dicts by score: plain numbers, to be kept as JSON (`trained` and `held_out`
        as `scoring.summarize` has them, `threshold` and `pixel_threshold`), and references as
        `scoring.fit_reference` has them.
    """
    autoencoder = fitted.autoencoder
    trained, held_out = subsample(fitted.trained, seed), subsample(fitted.held_out, seed)
    unseen = held_out if len(held_out) else trained
    seen = np.concatenate([trained, held_out])
    calibration, references, pixel_thresholds = {}, {}, {}
    for score, chosen in SCORES.items():
        if chosen.needs_codes and architectures.Autoencoder(autoencoder).code_length is None:
            continue
        reference = fit_reference(fitted, images, score, seed)
        if chosen.fit is not None and not reference:
            continue  # too few images to learn from
        scores = scoring.score_images(autoencoder, images, score, reference, seen)
        of_trained, of_held_out = scores[: len(trained)], scores[len(trained) :]
        # Scores that differ in what they make of the maps alone have them in common.
        if chosen.maps not in pixel_thresholds:
            # A few hundred images have pixels enough.
            *_, maps = scoring.reconstruct(autoencoder, images, unseen[:500], score, reference)
            pixel_thresholds[chosen.maps] = float(np.quantile(maps, 1 - PIXEL_FALSE_ALARM_RATE))
        calibration[score] = {
            "trained": scoring.summarize(of_trained),
            "held_out": scoring.summarize(of_held_out),
            # Of unseen images: what a network was trained on, it knows better than any others.
            "threshold": thresholds.fdr_controlled(
                True, of_held_out if len(held_out) else of_trained
            ),
            "pixel_threshold": pixel_thresholds[chosen.maps],
        }
        if reference:
            references[score] = reference
    return calibration, references


def fit_reference(fitted, images, score, seed=42):
    """Learn what a score needs to know, from the images that training trusted or from all.

    Args:
        fitted, images, seed: As for `calibrate`.
        score: A key of `scores.SCORES`.

    Returns:
        A dict of arrays as `scoring.fit_reference` has it.
    """
    chosen = subsample(fitted.trained, seed)
    if SCORES[score].fit_on_inliers:
        chosen = np.setdiff1d(chosen, fitted.history.outliers)
    return scoring.fit_reference(fitted.autoencoder, images, chosen, score)

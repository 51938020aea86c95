"""Artifacts: what a training leaves beside its model."""

import dataclasses

import numpy as np

from pyimagesearch.data import corruptions
from pyimagesearch.data.batches import MAX_CALIBRATION_IMAGES, iterate_batches
from pyimagesearch.storage import model_files


def describe(fitted, recipe, dataset, source, fingerprint):
    """All that decided what a training has led to, and how it went.

    Args:
        fitted: A `TrainingResult`.
        recipe: The `recipes.Recipe` that it was trained by.
        dataset: The `ImageSet` that it was trained on.
        source: What to call the source of the images.
        fingerprint: Of the images, as `dataset_files.fingerprint` returns it.

    Returns:
        A dict for JSON.
    """
    return {
        "recipe": {**dataclasses.asdict(recipe), "epochs": len(fitted.history.loss)},
        "source": source,
        "skipped": list(dataset.skipped),
        "n_images": len(dataset.images),
        "image_shape": dataset.images.shape[1:],
        "fingerprint": fingerprint,
        "versions": model_files.versions(),
        "training": fitted.history.as_dict(),
    }


def evaluate_restoration(fitted, images, spec, seed=42):
    """How much nearer to the clean images the restored ones are than the spoilt ones.

    Args:
        fitted: A `TrainingResult` that was trained to restore. Of the images that were held out, at most
            `MAX_CALIBRATION_IMAGES` are looked at; without any, nothing is noted.
        images: What it was fitted to.
        spec: How they are spoilt: a pair of a key of `corruptions.CORRUPTIONS` and an amount.
        seed: Of the spoiling.

    Returns:
        A dict by `spoilt` and `restored` of dicts with `mse`, the mean squared error to the clean
        images, and `psnr`, the mean over the images of the peak signal-to-noise ratio in dB; and
        `gain_db`, the difference of the latter. `None` without images held out.
    """
    if not len(fitted.held_out):
        return None
    errors = {"spoilt": [], "restored": []}
    for number, (_, clean) in enumerate(
        iterate_batches(images, fitted.held_out[:MAX_CALIBRATION_IMAGES], 256)
    ):
        spoilt = corruptions.corrupt(clean, spec, [seed, number])
        restored = fitted.autoencoder(spoilt, training=False).numpy()
        for name, given in (("spoilt", spoilt), ("restored", restored)):
            errors[name].append(np.mean(np.square(clean - given), axis=(1, 2, 3)))
    calibration = {}
    for name, parts in errors.items():
        mse = np.concatenate(parts).astype(np.float64)
        # Not even a perfect image is infinitely good: 120 dB is beyond float32.
        psnr = -10 * np.log10(np.maximum(mse, 1e-12))
        calibration[name] = {"mse": float(mse.mean()), "psnr": float(psnr.mean())}
    return {
        **calibration,
        "gain_db": calibration["restored"]["psnr"] - calibration["spoilt"]["psnr"],
    }


def format_restoration(calibration):
    """What `evaluate_restoration` returns, as one line."""
    if calibration is None:
        return "no images held out to see how well they are restored"
    spoilt, restored = calibration["spoilt"], calibration["restored"]
    return (
        f"images held out: spoilt mse {spoilt['mse']:.5f}, psnr {spoilt['psnr']:.2f} dB; restored "
        f"mse {restored['mse']:.5f}, psnr {restored['psnr']:.2f} dB; {calibration['gain_db']:+.2f} dB"
    )

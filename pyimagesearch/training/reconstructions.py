"""Reconstructions of held-out images: a picture of some, and how well corrupted ones are restored."""

import numpy as np

from pyimagesearch.data import corruptions
from pyimagesearch.data.batches import MAX_CALIBRATION_IMAGES, iterate_batches
from pyimagesearch.detection import scoring
from pyimagesearch.reporting import gallery
from pyimagesearch.training.recipes import recommended_score

# Images in the picture, at most; fewer where each takes more room.
MAX_PICTURED, MAX_FEATURES_PICTURED = 16, 8


def draw_reconstructions(result, images, calibration, seed=42):
    """Draw held-out images, or training images if there are none, beside their reconstructions.

    Args:
        result: A `train.TrainingResult`.
        images: The images that it was trained on, as for `train.train`.
        calibration: What `calibrate` found for each score.
        seed: Of the corruption, if the network was trained to restore.

    Returns:
        A uint8 picture `(H, W, 3)`.
    """
    unseen = result.held_out if len(result.held_out) else result.trained
    if result.reference is not None:
        score = recommended_score(result.recipe)
        originals, features, restored, maps = scoring.reconstruct(
            result.autoencoder, images, unseen[:MAX_FEATURES_PICTURED], score, result.reference
        )
        scale = gallery.map_scale(maps, calibration[score]["pixel_threshold"])
        return gallery.reconstructions(
            originals, restored, features=features, maps=maps, scale=scale
        )
    originals = images[unseen[:MAX_PICTURED]]
    inputs, corrupted, spec = originals, None, result.recipe.corruption
    if spec is not None:
        inputs = corrupted = corruptions.corrupt(originals, spec, seed)
    restored = result.autoencoder(inputs, training=False).numpy().clip(0, 1)
    return gallery.reconstructions(originals, restored, corrupted)


def evaluate_restoration(result, images, seed=42):
    """Compare restored and corrupted images with the clean ones.

    Args:
        result: A `train.TrainingResult` of a recipe with a corruption. At most
            `MAX_CALIBRATION_IMAGES` of its held-out images are looked at.
        images: The images that it was trained on, as for `train.train`.
        seed: Of the corruption.

    Returns:
        A dict for JSON with two dicts, `spoilt` (the corrupted images) and `restored`. In either,
        `mse` is the mean squared error to the clean images, and `psnr` the mean over the images of
        the peak signal-to-noise ratio in dB. `gain_db` is the difference of the latter. `None` if
        there are no held-out images.
    """
    if not len(result.held_out):
        return None
    errors = {"spoilt": [], "restored": []}
    held_out = iterate_batches(images, result.held_out[:MAX_CALIBRATION_IMAGES], 256)
    for number, (_, clean) in enumerate(held_out):
        corrupted = corruptions.corrupt(clean, result.recipe.corruption, [seed, number])
        restored = result.autoencoder(corrupted, training=False).numpy()
        for name, some in (("spoilt", corrupted), ("restored", restored)):
            errors[name].append(np.mean(np.square(clean - some), axis=(1, 2, 3)))
    restoration = {}
    for name, parts in errors.items():
        mse = np.concatenate(parts).astype(np.float64)
        # A perfect image would have an infinite ratio: 120 dB is beyond float32.
        psnr = -10 * np.log10(np.maximum(mse, 1e-12))
        restoration[name] = {"mse": float(mse.mean()), "psnr": float(psnr.mean())}
    gain = restoration["restored"]["psnr"] - restoration["spoilt"]["psnr"]
    return {**restoration, "gain_db": gain}


def format_restoration(restoration):
    """What `evaluate_restoration` returns, as one line."""
    if restoration is None:
        return "no held-out images to evaluate the restoration on"
    corrupted, restored = restoration["spoilt"], restoration["restored"]
    return (
        f"held-out images: corrupted mse {corrupted['mse']:.5f}, psnr {corrupted['psnr']:.2f} dB; "
        f"restored mse {restored['mse']:.5f}, psnr {restored['psnr']:.2f} dB; "
        f"{restoration['gain_db']:+.2f} dB"
    )

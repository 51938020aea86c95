"""Numbers that others rely on, written out once more: to change one is a decision seen in two places.

Bounds of what is read from files of strangers: a wider one lets more through, a narrower one refuses
what was read before. And settings that models, checkpoints and published figures come from.
"""

import inspect

import pytest

from pyimagesearch.data import (
    batches,
    dataset_files,
    datasets,
    decoding,
    image_files,
    pixel_store,
    sources,
)
from pyimagesearch.detection import calibration, feature_scores, neighbors
from pyimagesearch.storage import atomic, files, model_files, model_weights, ownership, safe_pickle
from pyimagesearch.training import (
    feature_extraction,
    feature_statistics,
    feature_store,
    feature_training,
    recipes,
    reconstructions,
    train,
    trainer,
)

MIB = 1_048_576
BOUNDS = {
    atomic: {"MAX_WAIT": 30},
    batches: {"MAX_CALIBRATION_IMAGES": 5000},
    dataset_files: {"MAX_IMAGES": 2_147_483_648},
    decoding: {
        "MAX_BYTES": 1024 * MIB,
        "MAX_PIXELS": 178_956_970,  # as Pillow has it
        "MAX_DECODED_BYTES": 448 * MIB,
        "MAX_GROWTH": 24,
    },
    feature_extraction: {"MAX_KEPT_BYTES": 256 * MIB},
    feature_store: {"MAX_BYTES_IN_MEMORY": 512 * MIB},
    files: {"MAX_JSON_BYTES": 16 * MIB, "MAX_TABLE_IN_MEMORY": 4 * MIB},
    model_files: {"MAX_REFERENCE_BYTES": 16 * MIB},
    model_weights: {
        "MAX_METADATA_BYTES": 65_536,
        "MAX_GROWTH": {"model.weights.h5": 2, "config.json": 8},
    },
    ownership: {"SEARCHED_BYTES": 65_536, "MAX_HEADER_BYTES": 1024},
    pixel_store: {"MAX_BYTES_IN_MEMORY": 256 * MIB},
    safe_pickle: {"MAX_DTYPE_LENGTH": 8, "MAX_DIMENSIONS": 64, "MAX_OPCODES": 1000},
    sources: {"MAX_NPZ_BYTES": 4_000_000_000, "MAX_PACKED_RATIO": 16, "MAX_PACKED_BYTES": 64 * MIB},
}
# Of recipe photos, the constants that its figures were measured with.
PHOTOS = {
    feature_scores: {
        "TOP_SHARE": 0.01,
        "NEIGHBORS": 50,
        "JOINT_BLUR": 0.7,
        "STAGE_BLUR": 0.5,
        "MAP_BLUR": 2.0,
        "LEAST_DISTANCE": 1.0,
        "STRONG": 3.0,
        "STRONG_WEIGHT": 4.0,
        "STRONG_QUALITY": 2.5,
        "QUALITY_WEIGHT": 8.0,
        "MAX_MEMBERS": 10_000,
    },
    feature_statistics: {
        "MAX_ENCODER_IMAGES": 1000,
        "MAX_LIKELIHOOD_IMAGES": 1000,
        "MAX_PLACE_IMAGES": 2000,
        "PLACE_SHARES": (0.0, 0.1, 0.3, 0.6, 0.9),
        "WHOLE_SHARES": (0.02, 0.1, 0.3, 0.6, 0.9),
        "MAX_BANK_IMAGES": 2000,
    },
    feature_training: {"MAX_MAPS": 200, "MAX_IMAGES": 10_000},
    recipes: {"PHOTO_SIZE": (256, 256)},
}
OTHERS = {
    dataset_files: {"PICKLE_PROTOCOL": 4},
    image_files: {"DEFAULT_SIZE": (128, 128)},
    neighbors: {"MAX_BANK": 5000, "N_NEIGHBORS": 10, "MAX_BANK_NUMBERS": 2_097_152},
    recipes: {
        "ARCHITECTURES": {
            "conv": {},
            "cnn": {"filters": (16, 32), "latent_dim": None, "batch_norm": True},
            "dense": {"filters": (128, 64), "latent_dim": 16},
            "dense-deep": {"filters": (512, 256, 128), "latent_dim": 16, "learning_rate": 0.001},
        }
    },
}


@pytest.mark.parametrize("numbers", [BOUNDS, PHOTOS, OTHERS], ids=["bounds", "photos", "others"])
def test_numbers_are_those_that_are_written_out(numbers):
    found = {module: {name: getattr(module, name) for name in of} for module, of in numbers.items()}
    assert found == numbers


def test_seed_is_42_unless_another_is_given():
    functions = (
        calibration.calibrate,
        datasets.build_unsupervised_dataset,
        datasets.contaminate,
        reconstructions.draw_reconstructions,
        reconstructions.evaluate_restoration,
        train.split,
        train.train,
        trainer.Trainer,
    )
    seeds = {one.__name__: inspect.signature(one).parameters["seed"].default for one in functions}
    assert set(seeds.values()) == {42}, seeds

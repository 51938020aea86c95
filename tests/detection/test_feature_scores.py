import cv2
import numpy as np
import pytest
import tensorflow as tf
from scipy.ndimage import gaussian_filter

from pyimagesearch.detection import feature_scores as scores


def test_blur_is_a_gaussian_mirrored_at_the_edges(rng):
    maps = rng.random((2, 9, 5), np.float32)
    expected = np.stack([gaussian_filter(x, 0.7, mode="reflect", radius=3) for x in maps])
    np.testing.assert_allclose(scores.blur(maps, 0.7), expected, atol=1e-6)


def test_blur_of_a_map_smaller_than_the_kernel_keeps_its_mean(rng):
    maps = rng.random((1, 2, 3), np.float32)
    assert scores.blur(maps, 2.0).numpy().mean() == pytest.approx(maps.mean(), rel=1e-5)


def test_maps_of_places_are_enlarged_and_smoothed_by_the_height_of_the_image(rng):
    places = rng.random((2, 8, 5), np.float32)
    large = [cv2.resize(x, (40, 128), interpolation=cv2.INTER_LINEAR) for x in places]
    expected = np.stack(
        [gaussian_filter(x, 2 * 128 / 256, mode="reflect", radius=3) for x in large]
    )
    np.testing.assert_allclose(scores.image_maps(places, (128, 40)), expected, atol=1e-5)


def test_picture_of_features_has_their_colors_enlarged_and_clipped(rng):
    features = rng.normal(size=(2, 4, 3, 5)).astype(np.float32)
    reference = {
        "colors": rng.normal(size=(5, 3)).astype(np.float32) / 4,
        "colors_offset": np.float32([0.5, 0.4, 0.6]),
    }
    colors = features @ reference["colors"] + reference["colors_offset"]
    expected = np.stack([cv2.resize(x, (9, 16)) for x in colors]).clip(0, 1)
    found = scores.color_picture(features, reference, (16, 9))
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_mean_features_are_those_of_the_two_late_stages(rng):
    stages = [rng.random((2, h, h + 1, c), np.float32) for h, c in ((4, 2), (4, 3), (2, 4), (1, 5))]
    expected = np.concatenate([x.mean((1, 2)) for x in stages[2:]], 1)
    np.testing.assert_allclose(scores.mean_features(stages), expected, rtol=1e-5)


def test_place_of_a_coarser_stage_counts_if_more_than_half_of_its_finer_places_do():
    places = np.ones((1, 4, 6), np.float32)
    places[0, 0, 0] = places[0, 1, 1] = 0  # two of four
    places[0, 2, 4] = 0  # one of four
    found = scores.places_of_stage(tf.constant(places), (2, 3)).numpy()[0]
    assert found.tolist() == [[0, 1, 1], [1, 1, 1]]
    assert scores.places_of_stage(tf.constant(places), (4, 6)).numpy().tolist() == places.tolist()


def test_distances_of_all_stages_are_added_where_they_are():
    """A distance of 9 at one place of each stage, in its own corner, with whitening 1."""
    stages = ((4, 8), (4, 8), (2, 4), (1, 2))
    reference, residuals = {}, []
    for stride, (h, w) in zip(scores.STRIDES, stages, strict=True):
        reference[f"whitening_{stride}"] = np.ones((h * w, 1, 1), np.float32)
        reference[f"influence_{stride}"] = np.zeros(h * w, np.float32)
        reference[f"pooled_influence_{stride}"] = np.zeros(1, np.float32)
        residuals.append(np.zeros((1, h, w, 1), np.float32))
    residuals[0][0, 3, 0] = 3
    zeros = tf.zeros(1)
    membership = scores.Membership(tf.zeros((1, 4, 8)), zeros, zeros, zeros)
    logs = scores.log_distances(list(map(tf.constant, residuals)), reference, membership)
    assert logs.shape == (1, 5, 4, 8)
    joint, finest, second = np.exp(logs.numpy()[0, :3]) - scores.LEAST_DISTANCE
    assert np.unravel_index(finest.argmax(), finest.shape) == (3, 0)
    assert finest.sum() == pytest.approx(9, rel=1e-3)
    assert joint.sum() == pytest.approx(9, rel=1e-3)
    assert second.max() == pytest.approx(0, abs=1e-5)


def test_local_evidence_is_the_mean_of_the_highest_hundredth():
    places = np.arange(200, dtype=np.float32).reshape(1, 10, 20)
    assert scores.local_evidence(tf.constant(places)).numpy().tolist() == [198.5]


def test_neighbor_of_a_training_image_is_another_one():
    bank = np.eye(6, dtype=np.float32)
    bank[1] = [0.6, 0.8, 0, 0, 0, 0]
    bank = tf.constant(bank)
    # Three of six count: of the first image itself and twice 0.6, 0, ..., without itself 0.6, 0, 0.
    found = scores.neighbor_evidence(bank[:1], bank, tf.constant([1.0]))
    assert np.exp(found).tolist() == pytest.approx([1 - 0.6 / 3], rel=1e-5)
    found = scores.neighbor_evidence(bank[:1], bank, tf.constant([0.0]))
    assert np.exp(found).tolist() == pytest.approx([1 - 1.6 / 3], rel=1e-5)


def test_only_training_images_are_recognized_and_with_their_own_places():
    rng = np.random.default_rng(0)
    embedding = rng.random((3, 20), np.float32)
    projection = rng.choice([-1.0, 1.0], (20, scores.SKETCH)).astype(np.float32)
    places = np.zeros((2, 2, 3), np.uint8)
    places[0, 0, 1] = places[1, 1, 2] = 1
    reference = {
        "sketch_projection": projection,
        "member_sketch": embedding[:2] @ projection,
        "member_places": places,
        "member_leverage": np.float32([0.25, 0.5]),
        "member_in_bank": np.float32([0, 1]),
    }
    reference = {name: tf.constant(array) for name, array in reference.items()}
    # The second again, nearly; two that are new, one of them like the first; the first.
    batch = np.stack([embedding[1] * 1.0015, embedding[2], embedding[0] * 1.003, embedding[0]])
    found = scores.find_members(tf.constant(batch), reference)
    assert found.image.numpy().tolist() == [1, 0, 0, 1]
    assert found.leverage.numpy().tolist() == [0.5, 0, 0, 0.25]
    assert found.in_bank.numpy().tolist() == [1, 0, 0, 0]
    np.testing.assert_array_equal(
        found.places, [places[1], 0 * places[0], 0 * places[0], places[0]]
    )


def combined(local=0.0, whole=0.0, neighbors=0.0, quality=0.0, explained=0.5):
    z = tf.constant([[local, whole, neighbors, quality]])
    return float(scores.scores_of(z, tf.zeros(1), explained)["combined"][0])


def test_weak_evidence_counts_by_how_much_the_places_explain():
    assert combined(local=2, explained=0.9) > combined(neighbors=2, explained=0.9)
    assert combined(local=2, explained=0.1) < combined(neighbors=2, explained=0.1)
    assert combined(whole=2.9) == combined()


@pytest.mark.parametrize("kind", ["local", "whole", "neighbors", "quality"])
def test_strong_evidence_of_any_kind_is_enough(kind):
    assert combined(**{kind: 8}) > combined(local=2.9, neighbors=2.9, quality=2.4) > 0


def test_quality_counts_only_where_it_is_extreme():
    assert combined(quality=2.4) == combined(quality=-5) == combined()


def test_scores_are_finite_and_keep_the_order_however_high_the_evidence():
    z = tf.constant(np.float32([[-50] * 4, [0] * 4, [1e4] * 4, [2e4] * 4]))
    found = scores.scores_of(z, tf.constant([0.0, 1, 2, 3]), 0.3)
    assert list(found) == list(scores.NAMES)
    for name, score in found.items():
        assert np.isfinite(score).all(), name
        assert np.all(np.diff(score) > 0), name
        assert score.numpy().min() >= 0, name


def test_neighbors_in_a_memory_bank_of_one_or_two_are_finite():
    """Of one image there is no other: the distance to itself is all that is known."""
    images = np.eye(3, dtype=np.float32)
    alone = scores.neighbor_evidence(images, images[:1], np.zeros(3, np.float32)).numpy()
    np.testing.assert_allclose(alone, np.log([1e-6, 1, 1]), atol=1e-6)
    itself = scores.neighbor_evidence(images[:1], images[:1], np.ones(1, np.float32)).numpy()
    assert np.isfinite(itself).all()
    # Of two, an image in the bank is compared with the other one.
    two = scores.neighbor_evidence(images[:2], images[:2], np.float32([1, 1])).numpy()
    np.testing.assert_allclose(two, [0, 0], atol=1e-6)

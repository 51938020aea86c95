import numpy as np
import pytest
import tensorflow as tf

from pyimagesearch.cli import argument_types
from pyimagesearch.data import corruptions, datasets

AMOUNTS = {"noise": 0.2, "blur": 1.5, "rotate": 30.0}


@pytest.fixture(params=[(1, 1, 1, 1), (3, 8, 8, 1), (2, 9, 14, 3)], ids=str)
def images(request, rng):
    return rng.random(request.param, np.float32)


@pytest.mark.parametrize("name", corruptions.CORRUPTIONS)
def test_corrupted_images_keep_shape_dtype_and_range_and_the_inputs_are_unchanged(name, images):
    before = images.copy()
    corrupted = corruptions.corrupt(images, (name, AMOUNTS[name]), seed=1)
    assert corrupted.shape == images.shape
    assert corrupted.dtype == np.float32
    assert corrupted.min() >= 0
    assert corrupted.max() <= 1
    np.testing.assert_array_equal(images, before)
    if images.shape[1] > 1:
        assert not np.allclose(corrupted, images)


@pytest.mark.parametrize("name", corruptions.CORRUPTIONS)
def test_corruptions_work_in_tf_data(name, rng):
    images = rng.random((4, 8, 8, 1), np.float32)
    spec = (name, AMOUNTS[name])
    stream = tf.data.Dataset.from_tensor_slices(images).batch(4)
    stream = stream.map(
        lambda batch: tf.numpy_function(
            lambda b: corruptions.corrupt(b, spec, 7), [batch], tf.float32
        )
    )
    (corrupted,) = stream.as_numpy_iterator()
    np.testing.assert_array_equal(corrupted, corruptions.corrupt(images, spec, 7))


def test_noise_depends_on_the_seed_alone_and_has_its_strength(rng):
    gray = np.full((1, 300, 300, 1), 0.5, np.float32)
    one, same, other = (corruptions.corrupt(gray, ("noise", 0.1), seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)
    assert one.std() == pytest.approx(0.1, rel=0.02)
    assert one.mean() == pytest.approx(0.5, abs=0.002)


def test_blur_spreads_a_point_into_a_gaussian():
    image = np.zeros((1, 41, 41, 1), np.float32)
    image[0, 20, 20] = 1
    corrupted = corruptions.blur(image, 3)[0, :, :, 0]
    assert corrupted.sum() == pytest.approx(1, abs=1e-4)
    offsets = np.arange(41) - 20
    assert (corrupted.sum(axis=0) * offsets**2).sum() == pytest.approx(9, rel=0.02)


def test_four_quarter_turns_are_the_identity_and_one_is_rot90(rng):
    square = rng.random((2, 7, 7, 3), np.float32)
    turned = corruptions.rotate(square, 90)
    np.testing.assert_allclose(turned, np.rot90(square, axes=(1, 2)), atol=1e-6)
    for _ in range(3):
        turned = corruptions.rotate(turned, 90)
    np.testing.assert_allclose(turned, square, atol=1e-6)


def test_rotation_fills_corners_with_the_color_of_the_edge():
    white = np.ones((1, 9, 9, 1), np.float32)
    np.testing.assert_allclose(corruptions.rotate(white, 45), white, atol=1e-6)


def test_only_synthetic_anomalies_are_corrupted_and_alike_in_every_batch(rng):
    images = rng.random((10, 8, 8, 1), np.float32)
    synthetic = np.isin(np.arange(10), [2, 5])
    corrupted = corruptions.CorruptedImages(images, synthetic, ("noise", 0.3), seed=4)
    batch = corrupted[np.arange(10)]
    assert corrupted.shape == images.shape
    assert len(corrupted) == 10
    np.testing.assert_array_equal(batch[~synthetic], images[~synthetic])
    assert (np.abs(batch - images).mean(axis=(1, 2, 3)) > 0.05).tolist() == synthetic.tolist()
    np.testing.assert_array_equal(corrupted[np.array([5, 0])], batch[[5, 0]])
    assert not np.allclose(batch[2] - images[2], batch[5] - images[5])


def test_injection_depends_on_the_seed_alone_in_its_choice_and_in_its_pixels(rng):
    images = rng.random((40, 4, 5, 3), np.float32)
    labels = np.repeat([-1, 0, 1], [20, 10, 10]).astype(np.int8)
    dataset = datasets.Dataset(images, list(map(str, range(40))), labels, masks=[None] * 40)

    def inject(seed, fraction=0.25):
        injected, synthetic = corruptions.inject_anomalies(dataset, ("noise", 0.3), fraction, seed)
        return injected, synthetic, injected.images[np.arange(40)]

    (one, chosen, pixels), (_, again, same), (_, other, _) = map(inject, (1, 1, 2))
    assert chosen.sum() == 10
    assert one.labels.tolist() == np.where(chosen | (labels == 1), 1, 0).tolist()
    assert one.masks is None
    np.testing.assert_array_equal(chosen, again)
    np.testing.assert_array_equal(pixels, same)
    assert (chosen != other).any()
    # Where all are chosen, only the pixels can tell the seeds apart.
    assert not np.array_equal(inject(1, 1.0)[2], inject(2, 1.0)[2])


def test_additive_noise_depends_on_the_seed():
    add, images = corruptions.additive_noise(0.5), np.zeros((2, 3, 5, 1), np.float32)
    np.testing.assert_array_equal(add(images, [1, 2]), add(images, [1, 2]))
    assert not np.array_equal(add(images, [1, 2]), add(images, [2, 1]))
    assert add(images, 3).min() < 0  # not clipped


def test_command_line_has_the_same_corruptions():
    assert set(argument_types.CORRUPTIONS) == set(corruptions.CORRUPTIONS)

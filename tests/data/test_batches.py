import threading

import numpy as np
import pytest

from pyimagesearch import InputError
from pyimagesearch.data.batches import iterate_batches, load_into_memory


class Lazy:
    """Looks like an array and is read by indices."""

    def __init__(self, array):
        self.array, self.shape = array, array.shape

    def __getitem__(self, indices):
        if 13 in indices:
            raise InputError("the image 13 has gone")
        return self.array[indices]


@pytest.mark.parametrize("wrap", [lambda a: a, Lazy])
@pytest.mark.parametrize("batch_size", [1, 4, 12, 50])
def test_batches_come_in_order_whole_and_with_the_right_pixels(wrap, batch_size, rng):
    images = rng.random((12, 2, 3, 1), np.float32)
    order = rng.permutation(12)
    parts = list(iterate_batches(wrap(images), order, batch_size))
    assert [len(indices) for indices, _ in parts[:-1]] == [batch_size] * (len(parts) - 1)
    np.testing.assert_array_equal(np.concatenate([i for i, _ in parts]), order)
    np.testing.assert_array_equal(np.concatenate([p for _, p in parts]), images[order])


def test_error_while_reading_is_raised_unchanged():
    images = Lazy(np.zeros((20, 2, 2, 1), np.float32))
    with pytest.raises(InputError, match="^the image 13 has gone$"):
        list(iterate_batches(images, np.arange(20), 5))


def test_several_batches_are_read_at_once():
    barrier = threading.Barrier(2)

    class Slow(Lazy):
        def __getitem__(self, indices):
            barrier.wait(timeout=10)  # for another reader
            return super().__getitem__(indices)

    assert (
        len(list(iterate_batches(Slow(np.zeros((4, 2, 2, 1), np.float32)), np.arange(4), 1))) == 4
    )


def test_load_into_memory_reads_each_image_once(rng):
    images, read = rng.random((150, 2, 3, 1), np.float32), []

    class Counted(Lazy):
        def __getitem__(self, indices):
            read.extend(indices.tolist())
            return self.array[indices]

    np.testing.assert_array_equal(load_into_memory(Counted(images)), images)
    assert sorted(read) == list(range(150))
    assert load_into_memory(images) is images

import numpy as np
import pytest

from pyimagesearch.training import train


def test_split_has_every_image_once():
    trained, held_out = train.split(101, held_out=0.2, seed=3)
    assert sorted([*trained, *held_out]) == list(range(101))
    assert len(held_out) == 20


def test_split_depends_on_the_seed_alone():
    np.testing.assert_array_equal(train.split(50, seed=1)[1], train.split(50, seed=1)[1])
    assert not np.array_equal(train.split(50, seed=1)[1], train.split(50, seed=2)[1])


@pytest.mark.parametrize("n", [1, 2, 3])
def test_split_of_few_images_leaves_one_to_train_on(n):
    trained, held_out = train.split(n, held_out=0.99)
    assert len(trained) == 1
    assert len(held_out) == n - 1

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


def test_split_when_there_are_duplicates_keeps_them_together():
    groups = np.arange(50) // 5 * 5
    for seed in range(5):
        trained, held_out = train.split(50, 0.2, seed, groups)
        assert sorted([*trained, *held_out]) == list(range(50))
        assert len(held_out) == 10
        assert not set(groups[trained]) & set(groups[held_out])


def test_split_when_all_images_differ_is_that_without_groups():
    for with_groups, without in zip(
        train.split(50, 0.2, 3, np.arange(50)), train.split(50, 0.2, 3), strict=True
    ):
        np.testing.assert_array_equal(with_groups, without)


def test_split_when_a_group_is_too_large_to_be_held_out_trains_on_it():
    groups = np.where(np.arange(20) < 15, 0, np.arange(20))
    _, held_out = train.split(20, 0.2, 0, groups)
    assert len(held_out) == 4
    assert held_out.min() >= 15

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from pyimagesearch.benchmark import detection
from pyimagesearch.benchmark.baselines import BASELINES, mean_distance, trim_repeatedly


@pytest.fixture
def shapes(rng):
    """60 blurry vertical bars at several places, then 3 horizontal ones; and which are outliers."""
    places = np.exp(-((np.arange(12) - rng.uniform(4, 7, 63)[:, np.newaxis]) ** 2) / 3)
    images = np.repeat(places[:, np.newaxis], 12, axis=1)
    images[60:] = images[60:].transpose(0, 2, 1)
    images = np.clip(images + 0.02 * rng.standard_normal(images.shape), 0, 1)
    return images[..., np.newaxis].astype(np.float32), np.arange(63) >= 60


def test_names_when_on_the_command_line_are_those_of_the_table():
    assert tuple(BASELINES) == detection.BASELINES


# The others fit a plane or a sphere, which among so few images takes the outliers in.
@pytest.mark.parametrize("name", ["isolation-forest", "knn", "knn-trimmed", "knn-cosine-trimmed"])
def test_baseline_when_few_bars_are_horizontal_ranks_them_highest(name, shapes):
    images, is_outlier = shapes
    scores = BASELINES[name](images, None, 0, is_outlier.mean())
    assert scores.shape == (63,)
    assert roc_auc_score(is_outlier, scores) > 0.95


@pytest.mark.parametrize("name", BASELINES)
def test_baseline_when_there_are_test_images_scores_those(name, shapes):
    images, is_outlier = shapes
    scores = BASELINES[name](images[:50], images[40:], 0, 0.0)
    assert scores.shape == (23,)
    assert roc_auc_score(is_outlier[40:], scores) > 0.95


def test_mean_distance_when_rows_are_on_a_line_leaves_out_each_itself():
    line = np.array([[0.0], [1.0], [3.0], [7.0]])
    everything = np.arange(4)
    assert mean_distance(line, everything, None, 2).tolist() == [2.0, 1.5, 2.5, 5.0]
    # Not among the neighbors itself, the last row still has neighbors.
    assert mean_distance(line, everything[:3], None, 2).tolist() == [2.0, 1.5, 2.5, 5.0]
    assert mean_distance(line, everything, np.array([[2.0]]), 2).tolist() == [1.0]


def test_mean_distance_when_rows_are_equal_counts_the_equal_ones_and_not_itself():
    line = np.array([[0.0], [0.0], [0.0], [6.0]])
    assert mean_distance(line, np.arange(4), None, 2).tolist() == [0.0, 0.0, 0.0, 6.0]


def test_trim_repeatedly_when_there_is_an_outlier_fits_the_others_at_last():
    train = np.array([[0.0], [1.0], [2.0], [100.0]])

    def distance_from_mean(kept, test):
        rows = train if test is None else test
        return np.abs(rows - train[kept].mean(axis=0))[:, 0]

    assert trim_repeatedly(train, None, 0.125, distance_from_mean).tolist() == [1, 0, 1, 99]
    # No contamination: nothing is trimmed.
    assert trim_repeatedly(train, np.array([[25.75]]), 0, distance_from_mean).tolist() == [0]

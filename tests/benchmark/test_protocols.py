import pytest

from pyimagesearch.benchmark import protocols


def test_pair_tasks_when_made_contain_no_development_pair():
    tasks = protocols.pair_tasks(range(10), [0])
    pairs = {(task.normal, task.anomalous) for task in tasks}
    assert len(pairs) == protocols.N_PAIRS
    assert not pairs & set(protocols.DEVELOPMENT_PAIRS)


@pytest.mark.parametrize("name", protocols.PROTOCOLS)
def test_load_task_when_from_digits_has_the_share_of_anomalies(name):
    make_tasks, seeds = protocols.PROTOCOLS[name]
    task = make_tasks([4], seeds)[0]
    train_images, test_images, labels = protocols.load_task(task, "digits")
    assert len(labels) == len(train_images if test_images is None else test_images)
    n_normal = (labels == 0).sum()
    if test_images is None:
        assert (labels == 1).sum() == pytest.approx(task.contam * n_normal, abs=1)
    else:
        assert len(train_images) == n_normal  # of the digits, which have no splits

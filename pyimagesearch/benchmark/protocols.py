"""Protocols: the sets of images in which the methods of the table of detection find anomalies."""

import functools
from dataclasses import dataclass

# Pairs of digits that settings were chosen on, the normal one first; no pair below is among them,
# nor is 1 against 2 or against 8, by which the length of the code was chosen.
DEVELOPMENT_PAIRS = ((0, 6), (6, 3), (7, 3), (4, 8), (9, 2), (8, 5), (5, 9), (1, 7))
# The first images of the train split, as in the files of the robust deep autoencoder (Zhou and
# Paffenroth, "Anomaly detection with robust deep autoencoders", KDD 2017).
N_IMAGES_OF_FOURS = 50_000
OTHERS_PER_FOUR = 265 / 4859
N_PAIRS = 20


@dataclass(frozen=True)
class Task:
    """A set of images in which to find anomalies.

    Attributes:
        protocol: A key of `PROTOCOLS`.
        normal: The class that is normal.
        anomalous: The class that is not, or `others`.
        contam: Anomalies per normal image among the images to train on.
        seed: Of the choice of anomalies, and of everything random in the methods.
    """

    protocol: str
    normal: int
    anomalous: int | str
    contam: float
    seed: int


def contaminated_tasks(classes, seeds):
    """The tutorial's set, drawn anew for each seed: 1s, and a 3 for every hundred."""
    return [Task("contaminated", 1, 3, 0.01, seed) for seed in seeds]


def outlier_tasks(classes, seeds, share, name):
    """A class with a share of others, from both splits (Wang et al., "Effective end-to-end
    unsupervised outlier detection via inlier priority of discriminative network", NeurIPS 2019).
    """
    contam = share / (1 - share)
    return [Task(name, label, "others", contam, seed) for label in classes for seed in seeds]


def fours_tasks(classes, seeds):
    """4,859 fours and 265 others (Zhou and Paffenroth, KDD 2017)."""
    return [Task("fours", 4, "others", OTHERS_PER_FOUR, seed) for seed in seeds]


def one_against_rest_tasks(classes, seeds):
    """Train on a class of the train split, test on all of the test split (Ruff et al., "Deep
    one-class classification", ICML 2018).
    """
    return [
        Task("one-against-rest", label, "others", 0, seed) for label in classes for seed in seeds
    ]


def pair_tasks(classes, seeds):
    """One image of a class for every hundred of another: a sample of the ordered pairs of digits."""
    import numpy as np

    ordered = [(a, b) for a in range(10) for b in range(10) if a != b]
    pairs = [pair for pair in ordered if pair not in DEVELOPMENT_PAIRS]
    chosen = np.random.default_rng(0).choice(len(pairs), N_PAIRS, replace=False)
    return [
        Task("pairs", *pairs[i], 0.01, seed)
        for i in sorted(chosen)
        if pairs[i][0] in classes
        for seed in seeds
    ]


# Name -> function from classes and seeds to tasks, and the default seeds.
PROTOCOLS = {
    "contaminated": (contaminated_tasks, range(10)),
    "outliers-10": (functools.partial(outlier_tasks, share=0.1, name="outliers-10"), (0,)),
    "outliers-20": (functools.partial(outlier_tasks, share=0.2, name="outliers-20"), (0,)),
    "fours": (fours_tasks, (0,)),
    "one-against-rest": (one_against_rest_tasks, (0,)),
    "pairs": (pair_tasks, (0,)),
}


def load_task(task, source):
    """Load the images of a task.

    Args:
        task: A `Task`.
        source: What `datasets.load` takes, with classes.

    Returns:
        A tuple: the images to train on, float32 `(N, H, W, C)` in [0, 1]; the images to test on in
        the same form, or `None` where they are the same; and the int array `(M,)` of the labels of
        the images to test on, 0 normal and 1 anomaly.
    """
    from dataclasses import replace

    from pyimagesearch.data import datasets

    split = "all" if task.protocol.startswith("outliers") else "train"
    loaded = datasets.load(source, split)
    if task.protocol == "fours":
        first = slice(N_IMAGES_OF_FOURS)
        loaded = replace(
            loaded,
            images=loaded.images[first],
            classes=loaded.classes[first],
            names=loaded.names[first],
        )
    train = datasets.contaminate(loaded, [task.normal], [task.anomalous], task.contam, task.seed)
    if task.protocol != "one-against-rest":
        return train.images, None, train.labels
    test = datasets.label_by_class(datasets.load(source, "test"), [task.normal])
    return train.images, test.images, test.labels

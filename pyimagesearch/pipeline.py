"""Which steps do training and detection share, and what does the one note down for the other?"""

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from pyimagesearch import (
    InputError,
    architectures,
    arrays,
    centring,
    corruptions,
    datasets,
    neighbourhood,
    persistence,
    scoring,
    thresholds,
    training,
)
from pyimagesearch.distribution import Cluster
from pyimagesearch.streams import iterate_batches

# Images that the notes about scores are made from, at most: the rest would not change them.
MAX_CALIBRATION_IMAGES = 5000
# Share of the pixels of held-out images that may lie above the threshold for a single pixel.
PIXEL_FALSE_ALARM_RATE = 0.001


@dataclass(frozen=True)
class TrainingResult:
    """A network fresh from its training.

    Attributes:
        autoencoder: Keras model from `(N, H, W, C)` to the same.
        trained: int array of the indices of the images that it was trained on, ascending.
        held_out: int array of those that it was not; may be empty.
        history: A `training.History`.
    """

    autoencoder: keras.Model
    trained: np.ndarray
    held_out: np.ndarray
    history: training.History


def train(
    images,
    recipe,
    *,
    loss="mse",
    corrupt=None,
    seed=42,
    precision="float32",
    cluster=None,
    state=None,
    keep=None,
    on_epoch=None,
):
    """Build the network of a recipe and fit it to four fifths of the images.

    Args:
        images: float32 array `(N, H, W, C)` in [0, 1], or anything that `streams.iterate_batches` takes.
        recipe: A `recipes.Recipe`.
        loss: A key of `training.LOSSES`.
        corrupt: What the network is to restore: a pair of a key of `corruptions.CORRUPTIONS` and
            an amount; `None`: the images as they are.
        seed: Of the choice of images, the weights, the order and what is spoilt.
        precision: A key of `architectures.PRECISION_POLICIES`.
        cluster: A `distribution.Cluster`; the one device unless given.
        state, keep: As for `training.fit_autoencoder`.
        on_epoch: Called as `on_epoch(epoch, epochs, **figures)`: once before the first epoch, with
            the number of those that are done and no figures, and after each with the figures of
            `training.fit_autoencoder`.

    Returns:
        A `TrainingResult`. Its network is a float32 one and this process's own, however it was trained.

    Example:
        >>> from pyimagesearch.recipes import make_recipe
        >>> images = np.zeros((10, 8, 8, 1), "float32")
        >>> fitted = train(images, make_recipe(filters=(4,), epochs=1))
        >>> len(fitted.trained), len(fitted.held_out), len(fitted.history.loss)
        (8, 2, 1)
    """
    trained, held_out = training.split(len(images), seed=seed)
    normalization = None
    if recipe.centred:
        some = [batch for _, batch in iterate_batches(images, subsample(trained, seed, 1000), 256)]
        normalization = centring.fit_normalization(np.concatenate(some), recipe.even_contrast)
    autoencoder = architectures.build(recipe, images.shape[1:], seed, normalization)
    epochs = training.number_of_epochs(
        len(trained), recipe.epochs, recipe.batch_size, recipe.min_steps
    )

    spoil = corrupt and corruptions.corruption_fn(corrupt)
    if recipe.noise and not corrupt:
        spoil = corruptions.additive_noise(
            recipe.noise * (normalization.deviation if normalization else 1)
        )

    def tell(epoch, **figures):
        if on_epoch is not None:
            on_epoch(epoch, epochs, **figures)

    cluster = cluster or Cluster()
    with cluster.scope():
        learner = architectures.clone_with_precision(autoencoder, precision)
    initial_outlier_scores, sample_weight_fn = make_sample_weighting(
        images, trained, recipe, seed, cluster
    )
    tell(0 if state is None else len(state["loss"]))
    history = training.fit_autoencoder(
        learner,
        images,
        trained,
        held_out,
        epochs=epochs,
        batch_size=recipe.batch_size,
        learning_rate=recipe.learning_rate,
        schedule=recipe.schedule,
        trim=recipe.trim,
        initial_outlier_scores=initial_outlier_scores,
        sample_weight_fn=sample_weight_fn,
        loss=loss,
        corrupt=spoil,
        seed=seed,
        on_epoch=tell,
        cluster=cluster,
        state=state,
        # The others know as much, and would all write the same file.
        keep=keep if cluster.is_chief else None,
    )
    autoencoder.set_weights(learner.get_weights())
    return TrainingResult(autoencoder, trained, held_out, history)


def make_sample_weighting(images, trained, recipe, seed, cluster):
    """How doubtful images are before anything is learnt, and how much who is suspected counts.

    The farther an image is from those that it is most like, and the less there is to be drawn, so
    that an error weighs more, the more doubtful it is. Later, who is so suspect that it would not
    count in full is compared with the most suspect of all and with the usual ones.

    Args:
        images: Anything that `streams.iterate_batches` takes.
        trained: int array `(n,)` of indices, ascending: which images are trained on.
        recipe: A `recipes.Recipe`.
        seed: Of the choice of the images to compare with.
        cluster: A `distribution.Cluster`: each process looks at its part of the images.

    Returns:
        A tuple of `initial_outlier_scores`, float32 array `(n,)`, and `sample_weight_fn`, as `training.fit_autoencoder` takes them; two
        `None` where nobody is to be suspected, or by the loss alone: where contrast is evened, the
        outliers are meant to be many, and many have many neighbours.
    """
    if not recipe.trim or recipe.even_contrast:
        return None, None
    n = len(trained)
    own = cluster.local_slice(n)
    look = tf.function(neighbourhood.embed, reduce_retracing=True)

    def points_of(indices):
        nothing = np.zeros((0, neighbourhood.embedding_length(images.shape[1:])), np.float32)
        some = (look(tf.constant(batch)) for _, batch in iterate_batches(images, indices, 256))
        return np.concatenate([nothing, *some])

    sample = np.searchsorted(trained, subsample(trained, seed))
    points = points_of(trained[sample])
    # Who counts for nothing in training is not to be compared with either.
    odd = recipe.trim - training.ramp_half_width(n, recipe.trim)
    bank = tf.constant(neighbourhood.trimmed_memory_bank(points, odd, seed))

    @tf.function(reduce_retracing=True)
    def doubts_of(batch):
        far = neighbourhood.knn_distance(neighbourhood.embed(batch), bank)
        return neighbourhood.relative_error(far, batch)

    initial_outlier_scores = np.zeros(n, np.float32)
    parts = [
        doubts_of(tf.constant(batch)) for _, batch in iterate_batches(images, trained[own], 256)
    ]
    initial_outlier_scores[own] = np.concatenate([initial_outlier_scores[:0], *parts])

    def sample_weight_fn(suspicion):
        weights = training.trimmed_sample_weights(suspicion, recipe.trim)
        order = np.argsort(-suspicion, kind="stable")
        most = np.count_nonzero(weights < 1)  # no more than the trim allows
        suspects = order[: min(neighbourhood.n_top_outliers(n), most)]
        known = np.flatnonzero(np.isin(sample, suspects))
        inside = np.flatnonzero(weights[sample] < 1)
        # There has to be somebody to be like, on either side.
        if min(len(known), len(sample) - len(inside)) > neighbourhood.PROPAGATION_NEIGHBORS:
            outside = np.setdiff1d(np.flatnonzero(weights < 1), sample)
            outside = outside[(outside >= own.start) & (outside < own.stop)]
            weights[sample[inside]], weights[outside] = neighbourhood.propagate_outliers(
                points, inside, known, points_of(trained[outside])
            )
            weights[suspects] = 0
        # Each process says of its own part what is to hold for all.
        agreed = np.zeros(n, np.float32)
        agreed[own] = weights[own]
        return cluster.all_reduce_sum(agreed)

    return cluster.all_reduce_sum(initial_outlier_scores), sample_weight_fn


def training_settings(recipe, fingerprint, *, loss, corrupt, seed, precision):
    """All that decides what a training leads to: it can be gone on with by the same alone.

    Args:
        recipe, loss, corrupt, seed, precision: As for `train`.
        fingerprint: Of the images, as `persistence.fingerprint` returns it.

    Returns:
        A dict for JSON.
    """
    settings = {"loss": loss, "corrupt": corrupt, "seed": seed, "precision": precision}
    return {**dataclasses.asdict(recipe), **settings, "fingerprint of the images": fingerprint}


def load_checkpoint(path, settings, cluster):
    """Where a training that was cut off can go on.

    Args:
        path: Where `persistence.save_checkpoint` has written; only the chief looks.
        settings: What `training_settings` returns.
        cluster: A `distribution.Cluster`.

    Returns:
        What `training.fit_autoencoder` takes as a state; `None` where there is none.

    Raises:
        InputError: If it belongs to other settings or other images.
    """
    data = cluster.broadcast(persistence.read_checkpoint(path) if cluster.is_chief else b"")
    return persistence.parse_checkpoint(data, path, settings) if data else None


@dataclass(frozen=True)
class TrainedModel:
    """A trained model, with what training has noted down beside it.

    Attributes:
        autoencoder: Keras model from `(N, H, W, C)` to the same.
        score: The score to judge by, a key of `scoring.SCORES`.
        calibration: What `calibrate` noted for that score; empty for a model from elsewhere.
        reference: What that score knows about normal images; may be empty.
        valid_label: The classes that were normal in training, or `None`.
        about: All that training has noted down; empty for a model from elsewhere.
    """

    autoencoder: keras.Model
    score: str
    calibration: dict
    reference: dict
    valid_label: list | None
    about: dict

    def score_images(self, images, cluster=None, on_batch=None):
        """Score images: see `scoring.score_images`."""
        return scoring.score_images(
            self.autoencoder, images, self.score, self.reference, cluster=cluster, on_batch=on_batch
        )

    def reconstruct(self, images, order):
        """Reconstruct images: see `scoring.reconstruct`."""
        return scoring.reconstruct(self.autoencoder, images, order, self.score, self.reference)


def load_trained_model(path, score="mse", precision="float32", cluster=None):
    """Load a model and what lies beside it, to calculate in some precision; see `TrainedModel`."""
    settings = persistence.settings_path(path)
    about = persistence.load_json(settings)
    calibration, valid_label = parse_calibration(about, score, settings)
    autoencoder = persistence.load_model(path)
    reference = persistence.load_reference(
        persistence.reference_path(path), score, autoencoder.input_shape[1:]
    )
    with (cluster or Cluster()).scope():
        autoencoder = architectures.clone_with_precision(autoencoder, precision)
    return TrainedModel(autoencoder, score, calibration, reference, valid_label, about)


def parse_calibration(about, score, name):
    """What training has noted down for a score, and its normal classes, once they are checked.

    Args:
        about: The JSON object beside a model.
        score: A key of `scoring.SCORES`.
        name: What to call it in messages.

    Returns:
        What `calibrate` noted for that score, empty if nothing; and a list of labels, or `None`.

    Raises:
        InputError: If it is not as training writes it.

    Example:
        >>> parse_calibration({"command": {"valid_label": [1, "cat"]}}, "mse", "a.json")
        ({}, [1, 'cat'])
    """

    def finite(value):
        return type(value) in (int, float) and math.isfinite(value)

    try:
        calibration = about.get("scores", {}).get(score, {})
        valid_label = about.get("command", {}).get("valid_label")
        summaries = [calibration["trained"], calibration["held_out"]] if calibration else []
        sound = (
            all(finite(calibration[key]) for key in ("threshold", "pixel_threshold") if calibration)
            and all(finite(value) for summary in summaries for value in summary.values())
            and all({"mean", "std"} <= summary.keys() for summary in summaries if summary["n"])
            and all(type(label) in (int, str) for label in valid_label or [])
        )
    except (AttributeError, KeyError, TypeError):
        sound = False
    if not sound:
        raise InputError(
            f"{name} is not as training writes it: train again, or take it away to go without "
            "what training has noted"
        )
    return calibration, valid_label


def files_read(dataset, model):
    """The files that are read as images are judged by a model, be they there or not.

    Args:
        dataset: As for `open_dataset`.
        model: Path of the model.

    Returns:
        A list of paths; of a folder of images, just that of the folder.
    """
    read = [model, persistence.settings_path(model), persistence.reference_path(model)]
    if dataset in datasets.SOURCES:
        return read
    if not datasets.is_source(dataset) and Path(dataset).suffix not in (".npy", ".csv"):
        read.append(persistence.manifest_path(dataset))
    return [dataset, *read]


def open_dataset(path, split="test", image_shape=None, valid_label=None, on_progress=None):
    """Open whatever images somebody wants judged.

    Args:
        path: A pickle or a `.npy` file of images, a manifest `.csv` of image files, a folder, or
            any source that `datasets.load` takes.
        split: `train`, `test` or `all`, of a source that has splits.
        image_shape: `(height, width, depth)` that image files are brought to.
        valid_label: The classes that are normal, of a source that has classes.
        on_progress: As for `datasets.load`.

    Returns:
        A tuple of an `ImageSet` and a remark for the owner of the images, or `None`.

    Raises:
        InputError: If there are no such images.
    """
    if datasets.is_folder(path):
        size, grayscale = image_shape[:2], image_shape[2] == 1
        source = datasets.load(path, split, size, grayscale, on_progress)
    elif datasets.is_source(path):
        source = datasets.load(path, split)
    elif Path(path).suffix == ".npy":
        source = datasets.load_npy(path)
        told = source.images.full == 255
        remark = f"{path}: 0 to 255 taken as 0 to 1" if told else None
        return datasets.label_by_class(source, valid_label), remark
    elif Path(path).suffix == ".csv":
        names, labels = persistence.load_manifest(path)
        grayscale = image_shape[2] == 1
        source = datasets.load_files(names, labels, image_shape[:2], grayscale, on_progress)
    else:
        images, remark = arrays.as_images(persistence.load_images(path), path)
        names, labels = persistence.load_manifest(persistence.manifest_path(path), len(images))
        return datasets.Dataset(images, names, labels), remark
    return datasets.label_by_class(source, valid_label), None


def inject_anomalies(dataset, spec, share, seed):
    """Spoil some of the images, to see whether they would be found.

    Args:
        dataset: An `ImageSet`.
        spec: What to do to them: a pair of a key of `corruptions.CORRUPTIONS` and an amount.
        share: Of the images, in (0, 1]; at least one is spoilt.
        seed: Of the choice and of the spoiling.

    Returns:
        A tuple of a new `ImageSet`, in which the planted images have the label 1 and all others
        of unknown label are taken for normal, and a bool array `(N,)` of those planted.
    """
    n = len(dataset.images)
    rng = np.random.default_rng(seed)
    planted = np.zeros(n, bool)
    planted[rng.choice(n, max(1, round(share * n)), replace=False)] = True
    labels = np.where(planted, 1, np.maximum(dataset.labels, 0)).astype(np.int8)
    images = corruptions.CorruptedImages(dataset.images, planted, spec, seed)
    # Masks say what was wrong before, and nothing of what was planted.
    beside = None, dataset.skipped, dataset.own_pictures
    return datasets.Dataset(images, dataset.names, labels, *beside), planted


def calibrate(fitted, images, seed=42):
    """What training notes down about scores, so that other images can be judged by it.

    Args:
        fitted: A `TrainingResult`.
        images: What it was fitted to.
        seed: Of the choice among more than `MAX_CALIBRATION_IMAGES` images.

    Returns:
        A tuple of two dicts by score: plain numbers, to be kept as JSON (`trained` and `held_out`
        as `scoring.summarize` has them, `threshold` and `pixel_threshold`), and references as
        `scoring.fit_reference` has them.
    """
    autoencoder = fitted.autoencoder
    trained, held_out = subsample(fitted.trained, seed), subsample(fitted.held_out, seed)
    unseen = held_out if len(held_out) else trained
    seen = np.concatenate([trained, held_out])
    calibration, references, pixel_thresholds = {}, {}, {}
    for score, chosen in scoring.SCORES.items():
        if chosen.needs_codes and architectures.Autoencoder(autoencoder).code_length is None:
            continue
        reference = fit_reference(fitted, images, score, seed)
        if chosen.fit is not None and not reference:
            continue  # too few images to learn from
        scores = scoring.score_images(autoencoder, images, score, reference, seen)
        of_trained, of_held_out = scores[: len(trained)], scores[len(trained) :]
        # Scores that differ in what they make of the maps alone have them in common.
        if chosen.maps not in pixel_thresholds:
            # A few hundred images have pixels enough.
            *_, maps = scoring.reconstruct(autoencoder, images, unseen[:500], score, reference)
            pixel_thresholds[chosen.maps] = float(np.quantile(maps, 1 - PIXEL_FALSE_ALARM_RATE))
        calibration[score] = {
            "trained": scoring.summarize(of_trained),
            "held_out": scoring.summarize(of_held_out),
            # Of unseen images: what a network was trained on, it knows better than any others.
            "threshold": thresholds.fdr_controlled(
                True, of_held_out if len(held_out) else of_trained
            ),
            "pixel_threshold": pixel_thresholds[chosen.maps],
        }
        if reference:
            references[score] = reference
    return calibration, references


def fit_reference(fitted, images, score, seed=42):
    """Learn what a score needs to know, from the images that training trusted or from all.

    Args:
        fitted, images, seed: As for `calibrate`.
        score: A key of `scoring.SCORES`.

    Returns:
        A dict of arrays as `scoring.fit_reference` has it.
    """
    chosen = subsample(fitted.trained, seed)
    if scoring.SCORES[score].fit_on_inliers:
        chosen = np.setdiff1d(chosen, fitted.history.suspects)
    return scoring.fit_reference(fitted.autoencoder, images, chosen, score)


def subsample(indices, seed, n=MAX_CALIBRATION_IMAGES):
    """All of the indices, or `n` of them chosen at random, ascending."""
    if len(indices) <= n:
        return indices
    return np.sort(np.random.default_rng(seed).choice(indices, n, replace=False))


def describe(fitted, recipe, dataset, source, fingerprint):
    """All that decided what a training has led to, and how it went.

    Args:
        fitted: A `TrainingResult`.
        recipe: The `recipes.Recipe` that it was trained by.
        dataset: The `ImageSet` that it was trained on.
        source: What to call the source of the images.
        fingerprint: Of the images, as `persistence.fingerprint` returns it.

    Returns:
        A dict for JSON.
    """
    return {
        "recipe": {**dataclasses.asdict(recipe), "epochs": len(fitted.history.loss)},
        "source": source,
        "skipped": list(dataset.skipped),
        "n_images": len(dataset.images),
        "image_shape": dataset.images.shape[1:],
        "fingerprint": fingerprint,
        "versions": persistence.versions(),
        "training": fitted.history.as_dict(),
    }


def evaluate_restoration(fitted, images, spec, seed=42):
    """How much nearer to the clean images the restored ones are than the spoilt ones.

    Args:
        fitted: A `TrainingResult` that was trained to restore. Of the images that were held out, at most
            `MAX_CALIBRATION_IMAGES` are looked at; without any, nothing is noted.
        images: What it was fitted to.
        spec: How they are spoilt: a pair of a key of `corruptions.CORRUPTIONS` and an amount.
        seed: Of the spoiling.

    Returns:
        A dict by `spoilt` and `restored` of dicts with `mse`, the mean squared error to the clean
        images, and `psnr`, the mean over the images of the peak signal-to-noise ratio in dB; and
        `gain_db`, the difference of the latter. `None` without images held out.
    """
    if not len(fitted.held_out):
        return None
    errors = {"spoilt": [], "restored": []}
    for number, (_, clean) in enumerate(
        iterate_batches(images, fitted.held_out[:MAX_CALIBRATION_IMAGES], 256)
    ):
        spoilt = corruptions.corrupt(clean, spec, [seed, number])
        restored = fitted.autoencoder(spoilt, training=False).numpy()
        for name, given in (("spoilt", spoilt), ("restored", restored)):
            errors[name].append(np.mean(np.square(clean - given), axis=(1, 2, 3)))
    calibration = {}
    for name, parts in errors.items():
        mse = np.concatenate(parts).astype(np.float64)
        # Not even a perfect image is infinitely good: 120 dB is beyond float32.
        psnr = -10 * np.log10(np.maximum(mse, 1e-12))
        calibration[name] = {"mse": float(mse.mean()), "psnr": float(psnr.mean())}
    return {
        **calibration,
        "gain_db": calibration["restored"]["psnr"] - calibration["spoilt"]["psnr"],
    }


def format_restoration(calibration):
    """What `evaluate_restoration` returns, as one line."""
    if calibration is None:
        return "no images held out to see how well they are restored"
    spoilt, restored = calibration["spoilt"], calibration["restored"]
    return (
        f"images held out: spoilt mse {spoilt['mse']:.5f}, psnr {spoilt['psnr']:.2f} dB; restored "
        f"mse {restored['mse']:.5f}, psnr {restored['psnr']:.2f} dB; {calibration['gain_db']:+.2f} dB"
    )

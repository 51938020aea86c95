"""The results of a detection: pictures, a table, a report for programs and one for people."""

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pyimagesearch.data.arrays import Lazy
from pyimagesearch.data.datasets import Dataset
from pyimagesearch.data.masks import find_inverted, load_masks
from pyimagesearch.models.feature_autoencoder import is_feature_autoencoder
from pyimagesearch.reporting import charts, drawing, gallery
from pyimagesearch.reporting.html_report import MAP_COLUMN, html_report
from pyimagesearch.reporting.ranking import Ranking, stage_tables
from pyimagesearch.storage.atomic import Transaction

logger = logging.getLogger(__name__)

# What a detection writes, in the order in which it is written.
FILES = (
    "anomalies.png",
    "errors.png",
    "heatmaps.png",
    "anomalies.csv",
    "flagged.txt",
    "report.json",
    "report.html",
)
# Images that the page shows at least if it has room for them, and how many are reconstructed at a
# time. It shows all that are flagged, too.
MIN_PAGE_IMAGES, PICTURE_BATCH = 200, 25


@dataclass(frozen=True)
class Detection:
    """The anomaly scores of a dataset, what was flagged by them, and how right that was.

    Attributes:
        dataset: The `Dataset` that was scored.
        score: Name of the score.
        scores: float32 array `(N,)`; higher is more anomalous.
        ranking: int array `(N,)`: the order of the images, highest score first.
        seconds: What the scoring took.
        rule: The rule that the threshold comes from, such as `"std 3"`.
        threshold: The number above which an image is flagged.
        flagged: bool array `(N,)`.
        evaluation: What `metrics.evaluate` returned, merged with that of `metrics.evaluate_maps`
            where there are masks; `None` where no label is known.
        reconstructed: The `scoring.Reconstructions` of all images, where there are masks, with
            which their maps are compared; else `None`.
        masks: bool array `(N, H, W)`, true where the image is anomalous; else `None`.
        injected: bool array `(N,)`, true for synthetic anomalies; `None` where none were injected.

    Example:
        >>> dataset = Dataset(np.zeros((2, 8, 8, 1)), ["a", "b"], np.array([-1, -1]))
        >>> detection = Detection(
        ...     dataset,
        ...     score="mse",
        ...     scores=np.float32([0.25, 0.75]),
        ...     ranking=np.array([1, 0]),
        ...     seconds=0.1,
        ...     rule="threshold 0.5",
        ...     threshold=0.5,
        ...     flagged=np.array([False, True]),
        ... )
        >>> detection.report()["flagged"]
        [{'index': 1, 'name': 'b', 'score': 0.75}]
    """

    dataset: Dataset
    score: str
    scores: np.ndarray
    ranking: np.ndarray
    seconds: float
    rule: str
    threshold: float
    flagged: np.ndarray
    evaluation: dict | None = None
    reconstructed: tuple | None = None
    masks: np.ndarray | None = None
    injected: np.ndarray | None = None

    def save(self, output, model, args):
        """Write all results into a folder at once, or none where one of them fails.

        Args:
            output: Path of the folder.
            model: The `TrainedModel` that gave the scores; it reconstructs the images to show.
            args: The flags of the run, a namespace; its `top` is how many images to show.

        Raises:
            InputError: If a file can't be written.
        """
        top = self.reconstruct_top(model, args.top)
        pictures = {
            **self.draw_galleries(model, args.top, top),
            "errors.png": charts.score_histogram(
                self.scores, self.threshold, self.score, self.injected
            ),
        }
        page = self.page(model, args, top)
        with Transaction() as transaction:
            for name, picture in pictures.items():
                drawing.save_picture(transaction.stage(Path(output, name)), picture)
            if self.masks is None:
                transaction.remove(Path(output, "heatmaps.png"))  # of an earlier run
            report = {**self.report(), "calibration": model.calibration}
            stage_tables(transaction, Path(output), self.ranked(model), self.flagged, report)
            transaction.stage(Path(output, "report.html")).write_bytes(page.encode())

    def reconstruct_top(self, model, n):
        """`scoring.Reconstructions` of the images of the `n` highest scores, and of a few more.

        These are at hand to fill the last row of a gallery.
        """
        return self.reconstruct(model, self.ranking[: n + gallery.MAX_COLUMNS - 1])

    def reconstruct(self, model, order):
        """`scoring.Reconstructions` of some images: those that are at hand, or by the model."""
        if self.reconstructed is None:
            return model.reconstruct(self.dataset.images, order)
        return self.reconstructed.take(order)

    def draw_galleries(self, model, n, reconstructed):
        """Draw the images of the `n` highest scores.

        Args:
            model: As for `save`.
            n: How many images to show, at least 1. A few more fill the last row.
            reconstructed: What `reconstruct_top` returned for them.

        Returns:
            A dict of pictures, uint8 `(H, W, 3)`, by the names of their files.
        """
        images, features, reconstructions, maps = reconstructed
        top = self.ranking[: len(images)]
        scale = map_scale(model, maps)
        names = [self.dataset.names[i] for i in top]
        scores, remarks = self.scores[top], None
        if self.injected is not None:
            remarks = ["injected" if injected else "" for injected in self.injected[top]]
        pictures = {
            "anomalies.png": gallery.anomalies(
                images,
                reconstructions,
                maps,
                gallery.rank_captions(scores, names, self.flagged[top], remarks),
                f"The oddest of {len(self.scores):,} images; "
                f"{self.flagged.sum():,} flagged, above {self.threshold:#.4g}",
                scale=scale,
                least=n,
                features=features,
            )
        }
        if self.masks is not None:
            pictures["heatmaps.png"] = gallery.heatmaps(
                images,
                maps,
                self.masks[top],
                maps > model.calibration["pixel_threshold"],
                gallery.rank_captions(scores, names),
                scale=scale,
                least=n,
                overlay=features is not None,
            )
        return pictures

    def ranked(self, model):
        """The `Ranking` of the images, with the columns `z_score` and those of their quality.

        Args:
            model: A `TrainedModel`, which knows what scores held-out images have; without a
                calibration, the z-scores are left empty.
        """
        order, n = self.ranking, len(self.ranking)
        z_scores = model.z_scores(self.scores[order])
        texts = Lazy(n, lambda place: "" if z_scores is None else f"{z_scores[place]:.4f}")

        def ranked(column):
            return Lazy(n, lambda place: column[order[place]])

        quality = {name: ranked(column) for name, column in self.dataset.quality.items()}
        return Ranking(
            order,
            ranked(self.dataset.names),
            self.scores[order],
            np.asarray(self.dataset.labels)[order],
            {"z_score": texts, **quality},
        )

    def report(self):
        """The content of `report.json`, a dict."""
        n = len(self.scores)
        return {
            "n_images": n,
            "n_flagged": int(self.flagged.sum()),
            "estimated_contamination": float(self.flagged.mean()),
            "seconds": self.seconds,
            "images_per_second": n / self.seconds,
            "skipped": list(self.dataset.skipped),
            "skipped_because": dict(self.dataset.skipped),
            "duplicates": self.duplicates(),
            "flagged": [
                {"index": i, "name": self.dataset.names[i], "score": float(self.scores[i])}
                for i in self.ranking[self.flagged[self.ranking]].tolist()
            ],
            "score": self.score,
            "threshold": self.threshold,
            "threshold_rule": self.rule,
            "metrics": self.evaluation,
        }

    def duplicates(self):
        """Groups of image files that are the same, or nearly: lists of names."""
        groups = {}
        for name, first in zip(
            self.dataset.names, self.dataset.quality.get("duplicate_of", ()), strict=False
        ):
            if first:
                groups.setdefault(first, [first]).append(name)
        return list(groups.values())

    def page(self, model, args, reconstructed):
        """The text of `report.html`.

        Args:
            model, args: As for `save`.
            reconstructed: What `reconstruct_top` returned for `args.top`.
        """
        about = model.settings
        training = about.get("training")
        if training:
            training = {
                "loss": training["loss"],
                "val_loss": training["val_loss"],
                "trim": about["recipe"]["trim"],
                "name": about["command"]["loss"],
            }
        settings = {
            "This run": format_flags(vars(args)),
            "Training run": format_flags(about.get("command", {})),
            "Recipe": about.get("recipe", {}),
            "Versions": about.get("versions", {}),
        }
        columns = ["Original", "Reconstruction", MAP_COLUMN]
        of_features = is_feature_autoencoder(model.autoencoder)
        if of_features:
            columns.insert(1, "Features")
        if self.dataset.masks is not None:
            columns.append("True mask")
        shown = self.ranking[: max(args.top, MIN_PAGE_IMAGES, int(self.flagged.sum()))]
        pictures = picture_columns(self, model, shown, reconstructed)
        return html_report(self, columns, pictures, training, settings, args.output, of_features)


def reconstruct_all(model, dataset):
    """Reconstruct all images of a dataset with masks, and read these.

    Args:
        model: A `TrainedModel`.
        dataset: A `Dataset` with masks.

    Returns:
        A pair: `scoring.Reconstructions`, and the true masks, bool `(N, H, W)`.
    """
    reconstructed = model.reconstruct(dataset.images, np.arange(len(dataset.images)))
    masks = load_masks(dataset.masks, reconstructed.maps.shape[1:])
    if inverted := find_inverted(masks, dataset.masks):
        logger.warning(
            f"{len(inverted):,} of the masks mark{'s' if len(inverted) == 1 else ''} more than half of "
            f"the image, such as {inverted[0].paths[0]}: black has to be what is normal"
        )
    return reconstructed, masks


def format_flags(command):
    """The flags of a run that have a value, a dict, by the names that one types."""
    return {
        f"--{name.replace('_', '-')}": value
        for name, value in command.items()
        if value is not None and value is not False
    }


def map_scale(model, maps):
    """The map value to show brightest, the same for all images; `maps` are of the highest scores."""
    return gallery.map_scale(maps, model.calibration.get("pixel_threshold"))


def picture_columns(detection, model, order, first):
    """Pictures of images, of their reconstructions, anomaly maps and, if known, true masks.

    Args:
        detection: A `Detection`.
        model: As for `Detection.save`.
        order: int array `(n,)`: which of the images.
        first: `scoring.Reconstructions` of the first of them, or of more, at least one.

    Yields:
        Three to five uint8 arrays for each image: `(H, W, 3)`, and `(H, W)` of the anomaly map. Few
        images are held at a time.
    """
    scale = map_scale(model, first.maps)
    first = [part if part is None else part[: len(order)] for part in first]
    for some in np.split(order, range(len(first[0]), len(order), PICTURE_BATCH)):
        images, features, reconstructed, maps = first or detection.reconstruct(model, some)
        first = None  # none of them twice
        seen = [images, reconstructed] if features is None else [images, features, reconstructed]
        columns = [drawing.to_rgb(pictures) for pictures in seen]
        columns.append(drawing.map_levels(maps, scale))
        if detection.dataset.masks is not None:
            masks = load_masks([detection.dataset.masks[i] for i in some], maps.shape[1:])
            columns.append(drawing.to_rgb(masks[..., np.newaxis].astype(np.float32)))
        yield from zip(*columns, strict=True)

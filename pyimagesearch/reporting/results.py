"""What does detection write down, for people and for programs?"""

import numpy as np

from pyimagesearch.data import image_folders
from pyimagesearch.reporting import charts, drawing
from pyimagesearch.reporting.html_report import html_report

# What detection writes, in the order in which it is written.
FILES = (
    "anomalies.png",
    "errors.png",
    "heatmaps.png",
    "anomalies.csv",
    "report.json",
    "report.html",
)
# Images that the page shows if it has room for them, and how many are reconstructed at a time.
MAX_BROWSED, PICTURE_BATCH = 200, 25


def predict_masks(model, dataset):
    """Where all images of a set with masks are odd, and where they truly are.

    Args:
        model: A `trained_model.TrainedModel` with notes.
        dataset: An `ImageSet` with masks.

    Returns:
        A tuple of the images `(N, H, W, C)`, the anomaly maps `(N, H, W)`, the masks and what is
        found, both bool `(N, H, W)`.
    """
    originals, _, maps = model.reconstruct(dataset.images, np.arange(len(dataset.images)))
    masks = image_folders.load_masks(dataset.masks, maps.shape[1:])
    return originals, maps, masks, maps > model.calibration["pixel_threshold"]


def anomalies_table(dataset, scores, ranking, flagged, calibration):
    """The rows of `anomalies.csv`, the names of the columns first.

    `z_score` is how many standard deviations a score lies above the mean of the images held out
    from training; empty where training has noted nothing.

    Args:
        dataset: An `ImageSet`.
        scores: float32 array `(N,)`.
        ranking: int array `(N,)`, the highest score first.
        flagged: bool array `(N,)`.
        calibration: What `calibration.calibrate` noted for this score; may be empty.

    Returns:
        A list of N + 1 tuples.
    """
    held_out = calibration.get("held_out", {})
    rows = [("rank", "index", "name", "score", "flagged", "label", "z_score")]
    for rank, i in enumerate(ranking.tolist(), start=1):
        z = ""
        if held_out.get("std"):
            z = f"{(scores[i] - held_out['mean']) / held_out['std']:.4f}"
        # Nine digits bring a float32 back to the bit.
        score = f"{scores[i]:.9g}"
        rows.append((rank, i, dataset.names[i], score, int(flagged[i]), int(dataset.labels[i]), z))
    return rows


def report(dataset, scores, ranking, flagged, seconds, **more):
    """What `report.json` says.

    Args:
        dataset, scores, ranking, flagged: As for `table`.
        seconds: What the scoring took.
        **more: What else there is to say, in plain numbers, text and lists.

    Returns:
        A dict for `files.save_json`.
    """
    n = len(scores)
    return {
        "n_images": n,
        "n_flagged": int(flagged.sum()),
        "estimated_contamination": float(flagged.mean()),
        "seconds": seconds,
        "images_per_second": n / seconds,
        "skipped": list(dataset.skipped),
        "flagged": [
            {"index": i, "name": dataset.names[i], "score": float(scores[i])}
            for i in ranking.tolist()
            if flagged[i]
        ],
        **more,
    }


def results_page(model, dataset, scores, ranking, threshold, *, top, scale, command, rule, metrics):
    """What `report.html` says.

    Args:
        model: A `trained_model.TrainedModel`.
        dataset, scores, ranking: As for `table`.
        threshold: The number above which an image is flagged.
        top: How many images to picture at least, if the page has room for them.
        scale: The error that is shown brightest; `None` takes the brightest of the first images.
        command: Dict of the flags of this run.
        rule: The rule of the threshold, in words.
        metrics: What `metrics.evaluate` returned; may be `None`.

    Returns:
        The page as text.
    """
    about = model.about
    curves = about.get("training")
    edges, logarithmic = charts.bar_edges(scores, threshold)
    settings = {
        "This run": format_flags(command),
        "Training run": format_flags(about.get("command", {})),
    }
    settings |= {"Recipe": about.get("recipe", {}), "Versions": about.get("versions", {})}
    columns = ["Original", "Reconstruction", "Error map"]
    return html_report(
        scores[ranking],
        threshold,
        [dataset.names[i] for i in ranking],
        dataset.labels[ranking],
        columns if dataset.masks is None else [*columns, "True mask"],
        picture_columns(model, dataset, ranking[: max(top, MAX_BROWSED)], scale),
        score=model.score,
        rule=rule,
        edges=edges,
        logarithmic=logarithmic,
        metrics=metrics,
        training=curves
        and {
            "loss": curves["loss"],
            "val_loss": curves["val_loss"],
            "trim": about["recipe"]["trim"],
            "name": about["command"]["loss"],
        },
        settings=settings,
    )


def format_flags(command):
    """The flags of a run that were given or have a default, by the names that they go by."""
    return {
        f"--{name.replace('_', '-')}": value
        for name, value in command.items()
        if value is not None and value is not False
    }


def picture_columns(model, dataset, order, scale=None):
    """Pictures of images, of their reconstructions, error maps and, if known, true masks.

    Args:
        model: A `trained_model.TrainedModel`.
        dataset: An `ImageSet`.
        order: int array: which of the images.
        scale: As for `page`.

    Yields:
        Three or four uint8 arrays `(H, W, 3)` for each image. Few images are held at a time.
    """
    for start in range(0, len(order), PICTURE_BATCH):
        some = order[start : start + PICTURE_BATCH]
        images, reconstructed, maps = model.reconstruct(dataset.images, some)
        scale = float(np.quantile(maps, 0.995)) if scale is None else scale
        columns = [drawing.to_rgb(images), drawing.to_rgb(reconstructed)]
        columns.append(drawing.color_errors(maps, scale))
        if dataset.masks is not None:
            masks = image_folders.load_masks([dataset.masks[i] for i in some], maps.shape[1:])
            columns.append(drawing.to_rgb(masks[..., np.newaxis].astype(np.float32)))
        yield from zip(*columns, strict=True)

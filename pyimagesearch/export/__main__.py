"""The command that exports a trained model.

python -m pyimagesearch.export --model output/autoencoder.model --to tflite --output output/detector.tflite
"""

import logging
import sys
from pathlib import Path

from pyimagesearch import InputError
from pyimagesearch.cli import argument_types, console
from pyimagesearch.export.exporter import check_output, export
from pyimagesearch.export.formats import FORMATS
from pyimagesearch.runtime.quiet import quiet_tensorflow

logger = logging.getLogger("pyimagesearch.export")  # `__name__` is "__main__" here

# How many images the scores are compared on, at most.
MAX_COMPARED_IMAGES = 500


def parser():
    """The flags of `python -m pyimagesearch.export`."""
    root = argument_types.Parser(
        prog="python -m pyimagesearch.export",
        description="Export a trained model to a format that other programs run.",
    )
    add = root.add_argument
    add("-m", "--model", required=True, metavar="PATH", help="the trained autoencoder")
    add("--to", required=True, choices=list(FORMATS), help="the format")
    add(
        "--output",
        required=True,
        metavar="PATH",
        help="the file to write; for savedmodel the folder",
    )
    add(
        "--score",
        choices=["auto", *argument_types.SCORES],
        default="auto",
        help="the anomaly score, as for find_anomalies.py (default: %(default)s)",
    )
    add(
        "-d",
        "--dataset",
        metavar="PATH",
        help="images to compare the scores of, as for find_anomalies.py (default: the training "
        "images, if they are still there)",
    )
    add(
        "--split",
        choices=["train", "test", "all"],
        default="test",
        help="of a dataset that has splits (default: %(default)s)",
    )
    return root


def training_dataset(model):
    """Find the images that a model was trained on.

    Args:
        model: Path of the model.

    Returns:
        Their path, for `datasets.open_dataset`.

    Raises:
        InputError: If training did not leave them there, or they have gone.
    """
    from pyimagesearch.data import dataset_files
    from pyimagesearch.detection.model_settings import check_settings
    from pyimagesearch.storage import files, model_files

    settings = files.load_json(model_files.settings_path(model))
    check_settings(settings, model_files.settings_path(model))
    if dataset := settings.get("command", {}).get("dataset"):
        # Of images too many for a pickle, there is the manifest alone.
        for path in (dataset, dataset_files.manifest_path(dataset)):
            if Path(path).is_file():
                return str(path)
    raise InputError(
        f"expected the images that {model} was trained on at {dataset or 'a known place'}, found "
        "none: name some images with --dataset"
    )


@console.exit_status
def main(argv=None):
    """Export a model, and compare the scores of the export with those of the model."""
    args = parser().parse_args(argv)
    console.configure_logging()

    # Imported here, so that --help and a wrong flag are answered at once.
    with quiet_tensorflow():
        import numpy as np

        from pyimagesearch.data import datasets, preprocessing
        from pyimagesearch.detection import trained_model

    path = args.dataset or training_dataset(args.model)
    check_output(args.output, args.to, inputs=trained_model.files_read(path, args.model))

    logger.info("loading autoencoder and images...")
    model = trained_model.TrainedModel.load(args.model, args.score)
    shape = model.image_shape
    reading = preprocessing.reading_for(shape, model.settings.get("preprocessing"))
    progress = console.Progress("files checked")
    dataset = datasets.open_dataset(path, args.split, reading, model.valid_label, progress)
    console.report_files(dataset, model.settings.get("trained_on"))
    # Evenly spaced, since a dataset may be sorted.
    n = len(dataset.images)
    images = dataset.images[np.linspace(0, n - 1, min(n, MAX_COMPARED_IMAGES)).astype(int)]

    logger.info(f"exporting to {args.to}...")
    difference = export(model, args.to, args.output, images)
    logger.info(
        f"largest relative difference of a score, {model.score}, over {len(images):,} images: "
        f"{difference:.1e}"
    )
    threshold = model.calibration.get("threshold")
    threshold = "no threshold" if threshold is None else f"threshold {threshold:.6f}"
    logger.info(f"wrote {args.output}: images of {'x'.join(map(str, shape))}, {threshold}")


if __name__ == "__main__":
    sys.exit(main())

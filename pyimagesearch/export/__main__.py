"""How does a trained model leave this project, so that others' programs score as we do?

python -m pyimagesearch.export --model output/autoencoder.model --to tflite --output output/detector.tflite
"""

import sys
from pathlib import Path

from pyimagesearch import InputError
from pyimagesearch.cli import argument_types, console
from pyimagesearch.export.exporter import check_output, export
from pyimagesearch.export.formats import FORMATS
from pyimagesearch.runtime.quiet import quiet_tensorflow

# Images to check on, at most.
MAX_CHECKED_IMAGES = 500


def training_dataset(model):
    """The images that a model was trained on, as a dataset for `datasets.open_dataset`.

    Raises:
        InputError: If they are not where training has put them.
    """
    from pyimagesearch.data import dataset_files
    from pyimagesearch.storage import files, model_files

    settings = files.load_json(model_files.settings_path(model))
    if dataset := settings.get("command", {}).get("dataset"):
        # Too large for a pickle, the manifest stands for them.
        for path in (dataset, dataset_files.manifest_path(dataset)):
            if Path(path).is_file():
                return str(path)
    raise InputError(
        f"expected the images that {model} was trained on at {dataset or 'a known place'}, found "
        "none: name some images with --dataset"
    )


def parser():
    """The flags of `python -m pyimagesearch.export`."""
    root = argument_types.Parser(
        prog="python -m pyimagesearch.export",
        description="Write a trained model in a format that other programs run.",
    )
    add = root.add_argument
    add("-m", "--model", required=True, metavar="PATH", help="the trained autoencoder")
    add("--to", required=True, choices=list(FORMATS), help="the format")
    add(
        "--output",
        required=True,
        metavar="PATH",
        help="where to: a file; for savedmodel a folder",
    )
    add(
        "--score",
        choices=argument_types.SCORES,
        default="mse",
        help="what to judge by, as for find_anomalies.py (default: %(default)s)",
    )
    add(
        "-d",
        "--dataset",
        metavar="PATH",
        help="images to compare the scores of, as for find_anomalies.py (default: those of the "
        "training, if they are still there)",
    )
    add(
        "--split",
        choices=["train", "test", "all"],
        default="test",
        help="of a dataset that has splits (default: %(default)s)",
    )
    return root


@console.exit_status
def main(argv=None):
    """Export a model as the flags say, and tell how far its scores are from ours."""
    args = parser().parse_args(argv)
    narrator = console.Narrator()

    # Imported here, so that --help and a wrong flag are answered at once.
    with quiet_tensorflow():
        import numpy as np

        from pyimagesearch.data import datasets
        from pyimagesearch.detection import trained_model
        from pyimagesearch.training import train

    source = args.dataset or training_dataset(args.model)
    check_output(args.output, args.to, train.files_read(source, args.model))

    # The model, and some of the images that it is to be checked on, from end to end.
    narrator.say("loading autoencoder and images...")
    model = trained_model.load_trained_model(args.model, args.score)
    shape = model.autoencoder.input_shape[1:]
    dataset, _ = datasets.open_dataset(
        source,
        args.split,
        shape,
        model.valid_label,
        narrator.files_checked,
    )
    narrator.own_pictures_left_out(dataset.own_pictures)
    n = len(dataset.images)
    images = dataset.images[np.linspace(0, n - 1, min(n, MAX_CHECKED_IMAGES)).astype(int)]

    narrator.say(f"exporting to {args.to}...")
    difference = export(model, args.to, args.output, images)
    narrator.say(
        f"largest relative difference of a score, {args.score}, over {len(images):,} images: "
        f"{difference:.1e}"
    )
    calibration = model.calibration.get("threshold")
    told = "none noted in training" if calibration is None else f"{calibration:.6f}"
    narrator.say(f"wrote {args.output}: images of {'x'.join(map(str, shape))}, threshold {told}")


if __name__ == "__main__":
    sys.exit(main())

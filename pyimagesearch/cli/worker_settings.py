"""What several workers compare before they begin: their settings, versions and models."""


def of_training(args, settings, n_images):
    """What has to be the same in all workers of a training.

    Args:
        args: The parsed flags of the training script.
        settings: As `checkpoint.checkpoint_settings` returns them.
        n_images: Number of images.

    Returns:
        A dict for JSON, by names for messages.
    """
    from pyimagesearch.storage import model_files

    return {
        "number of images": n_images,
        **settings,
        "--resume": args.resume,
        **model_files.versions(),
    }


def of_detection(args):
    """What has to be the same in all workers that score images, besides the images.

    Args:
        args: The parsed flags of the detection script.

    Returns:
        A dict for JSON, by names for messages.
    """
    from pyimagesearch.data import dataset_files
    from pyimagesearch.storage import model_files

    settings, references = model_files.settings_path, model_files.reference_path
    return {
        "score": args.score,
        "precision": args.precision,
        "--split": args.split,
        "--corrupt": args.corrupt,
        "--corrupt-fraction": args.corrupt_fraction,
        "fingerprint of the model": dataset_files.file_digest(args.model),
        "of its settings": dataset_files.file_digest(settings(args.model)),
        "of its references": dataset_files.file_digest(references(args.model)),
        **model_files.versions(),
    }

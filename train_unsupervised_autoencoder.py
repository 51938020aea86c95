"""Train an autoencoder on images of which a few are outliers.

python train_unsupervised_autoencoder.py --dataset output/images.pickle --model output/autoencoder.model
"""

import functools
import logging
import sys

from pyimagesearch.cli import console, training_arguments, worker_settings
from pyimagesearch.runtime.quiet import quiet_tensorflow

logger = logging.getLogger("pyimagesearch")  # its modules' too, whatever name this one runs by


@console.exit_status
def main(argv=None):
    argv = sys.argv[1:] if argv is None else argv
    args = training_arguments.training_parser().parse_args(argv)
    training_arguments.recipe_from_args(args)  # so that wrong flags are answered now
    reading = training_arguments.reading(args, console.Progress("files checked"))
    console.configure_logging(args.quiet)

    # Imported here, so that --help and a wrong flag are answered at once.
    with quiet_tensorflow():
        from pyimagesearch.data import dataset_files, datasets
        from pyimagesearch.detection.calibration import calibrate
        from pyimagesearch.reporting import charts
        from pyimagesearch.runtime import distribution
        from pyimagesearch.training import artifacts, checkpoint, reconstructions
        from pyimagesearch.training.train import train

    cluster = distribution.connect(args.strategy, resumable=True)
    outputs = artifacts.TrainingArtifacts.from_args(args, cluster)
    outputs.check_writable()

    # The images: normal ones, contaminated with a few others. Their labels go into the manifest;
    # training and calibration never read them.
    logger.info(f"loading images from {args.source}...")
    source = datasets.load(args.source, args.split, **reading)
    console.warn_of_source(source, args.source)
    recipe, source = training_arguments.recipe_for(args, source)
    labels = args.valid_label, args.anomaly_label
    dataset = datasets.contaminate(source, *labels, args.contam, args.seed)
    dataset = outputs.load_into_memory(dataset)
    images = dataset.images

    # The network and its training. Of pixels, a fifth of the images is held out; of features, each
    # image is judged by all others.
    shape = "x".join(map(str, images.shape[1:]))
    logger.info(f"training on {len(images):,} images of {shape}...")
    fingerprint = dataset_files.fingerprint(images)
    settings = checkpoint.checkpoint_settings(
        recipe, fingerprint, args.seed, args.precision, args.backbone_weights
    )
    cluster.require_same(lambda: worker_settings.of_training(args, settings, len(images)))
    result = train(
        images,
        recipe,
        seed=args.seed,
        precision=args.precision,
        cluster=cluster,
        groups=dataset.groups,
        checkpoint=outputs.load_checkpoint(settings),
        on_checkpoint=functools.partial(outputs.save_checkpoint, settings),
        on_epoch=console.epoch_progress(args.logdir if cluster.is_chief else None),
        on_batch=console.Progress("images seen by the backbone"),
        backbone_weights=args.backbone_weights,
    )
    if not cluster.is_chief:
        logger.info("trained; the chief, worker 0, writes the results")
        return
    history = result.history
    logger.info(f"trained in {history.seconds:.1f} s; calibrating the scores...")
    calibration, references = calibrate(result, images, args.seed)

    # Pictures and a description of the result; then all files at once.
    vis = reconstructions.draw_reconstructions(result, images, calibration, args.seed)
    plot = charts.loss_curves(history.loss, history.val_loss, recipe.trim, recipe.loss)
    about = {
        "run_again": training_arguments.reproduce_command(argv, source.name),
        "command": vars(args),
        **artifacts.describe(dataset, result, source, fingerprint),
        "scores": calibration,
    }
    if recipe.corruption is not None:
        about["restoration"] = reconstructions.evaluate_restoration(result, images, args.seed)
        logger.info(reconstructions.format_restoration(about["restoration"]))
    outputs.save(dataset, result, references, about, (vis, plot))
    if history.interrupted:
        raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())

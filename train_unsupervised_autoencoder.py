"""Train an autoencoder on a set of images of which some few do not belong.

python train_unsupervised_autoencoder.py --dataset output/images.pickle --model output/autoencoder.model
"""

import functools
import sys

from pyimagesearch.cli import console, training_arguments
from pyimagesearch.runtime.quiet import quiet_tensorflow


@console.exit_status
def main(argv=None):
    args = training_arguments.training_parser().parse_args(argv)
    recipe = training_arguments.recipe_from_args(args)
    size = training_arguments.image_size(args)
    narrator = console.Narrator(args.quiet)

    # Imported here, so that --help and a wrong flag are answered at once.
    with quiet_tensorflow():
        from pyimagesearch.data import batches, corruptions, dataset_files, datasets, sources
        from pyimagesearch.detection.calibration import calibrate
        from pyimagesearch.reporting import charts, drawing, gallery
        from pyimagesearch.runtime import distribution
        from pyimagesearch.storage import atomic, files, model_files
        from pyimagesearch.training import artifacts, checkpoint
        from pyimagesearch.training.train import train

    manifest = dataset_files.manifest_path(args.dataset)
    settings = model_files.settings_path(args.model)
    reference = model_files.reference_path(args.model)
    unfinished = checkpoint.checkpoint_path(args.model)
    cluster = distribution.connect(args.strategy)
    if cluster.is_chief:
        results = args.dataset, manifest, args.model, settings, reference, args.vis, args.plot
        read = () if args.source in sources.SOURCES else (args.source,)
        atomic.check_writable(*results, unfinished, inputs=read)

    # The images: mostly normal ones, contaminated with a few others. Their labels ride beside
    # them into the manifest, and nothing below looks at them.
    narrator.say(f"loading images from {args.source}...")
    source = datasets.load(args.source, args.split, size, args.grayscale, narrator.files_checked)
    if source.name == "digits" and args.source == "auto":
        narrator.warn(f"no MNIST, so these are scikit-learn's small digits; {sources.MNIST_HINT}")
    if source.skipped:
        narrator.warn(f"{len(source.skipped):,} files can't be read, such as {source.skipped[0]}")
    narrator.own_pictures_left_out(source.own_pictures)
    dataset = datasets.contaminate(
        source, args.valid_label, args.anomaly_label, args.contam, args.seed
    )
    images = dataset.images
    n, *image_shape = images.shape
    pickled = source.classes is not None or dataset_files.size_in_mib(images) <= args.max_pickle_mib
    # What fits into a pickle fits into memory, and its files are read but once. Of several
    # workers, each reads its own part.
    if pickled and cluster.workers == 1:
        images = batches.load_into_memory(images)

    # The network, and its training on four fifths of the images.
    sizes = "x".join(map(str, image_shape))
    narrator.say(f"training on four fifths of {n:,} images of {sizes}...")
    how = {name: getattr(args, name) for name in ("loss", "corrupt", "seed", "precision")}
    fingerprint = dataset_files.fingerprint(images)
    asked = checkpoint.training_settings(recipe, fingerprint, **how)
    state = checkpoint.load_checkpoint(unfinished, asked, cluster) if args.resume else None
    if args.resume:
        done = len(state["loss"]) if state is not None else 0
        narrator.say(
            f"going on after epoch {done}" if done else "nothing to resume: beginning anew"
        )
    if args.logdir and cluster.is_chief:
        narrator.log = console.tensorboard_writer(args.logdir)
    fitted = train(
        images,
        recipe,
        **how,
        cluster=cluster,
        state=state,
        keep=functools.partial(checkpoint.save_checkpoint, unfinished, asked),
        on_epoch=narrator.epoch,
    )
    history = fitted.history
    if history.interrupted:
        narrator.warn("interrupted: this is what the last whole epoch has led to; --resume goes on")
    if not cluster.is_chief:
        narrator.say("trained; the chief, worker 0, writes the results")
        return
    narrator.say(f"trained in {history.seconds:.1f} s; noting what is normal...")
    calibration, references = calibrate(fitted, images, args.seed)

    # Two pictures, of images that the network was not trained on if there are any.
    few = images[(fitted.held_out if len(fitted.held_out) else fitted.trained)[:16]]
    spoilt = corruptions.corrupt(few, args.corrupt, args.seed) if args.corrupt else None
    restored = (
        fitted.autoencoder(few if spoilt is None else spoilt, training=False).numpy().clip(0, 1)
    )
    grid = gallery.reconstructions(few, restored, spoilt)
    curves = charts.loss_curves(history.loss, history.val_loss, recipe.trim, args.loss)

    # What there is to know about the model.
    about = {
        "run_again": training_arguments.reproduce_command(
            sys.argv[1:] if argv is None else argv, source.name
        ),
        "command": vars(args),
        **artifacts.describe(fitted, recipe, dataset, source.name, fingerprint),
        "scores": calibration,
    }
    if args.corrupt:
        about["restoration"] = artifacts.evaluate_restoration(
            fitted, images, args.corrupt, args.seed
        )
        narrator.say(artifacts.format_restoration(about["restoration"]))

    # All files at once. First those go that must never lie beside what they don't belong to.
    with atomic.Transaction() as transaction:
        transaction.remove(manifest, settings, reference)
        if pickled:
            dataset_files.save_images(
                transaction.stage(args.dataset), batches.load_into_memory(images)
            )
        else:
            narrator.say(f"too large for a pickle: {manifest} alone stands for the images")
            transaction.remove(args.dataset)
        dataset_files.save_manifest(transaction.stage(manifest), dataset.names, dataset.labels)
        drawing.save_picture(transaction.stage(args.vis), grid)
        drawing.save_picture(transaction.stage(args.plot), curves)
        model_files.save_model(transaction.stage(args.model, ".tmp.keras"), fitted.autoencoder)
        model_files.save_references(transaction.stage(reference), references)
        files.save_json(transaction.stage(settings), about)
        if not history.interrupted:
            transaction.remove(unfinished)
    narrator.say(f"wrote {args.dataset}, {args.model}, {args.vis} and {args.plot}")
    if history.interrupted:
        raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())

"""Train an autoencoder on a set of images of which some few do not belong.

python train_unsupervised_autoencoder.py --dataset output/images.pickle --model output/autoencoder.model
"""

import functools
import sys

from pyimagesearch import commandline
from pyimagesearch.silence import quiet_tensorflow


@commandline.exit_status
def main(argv=None):
    args = commandline.training_parser().parse_args(argv)
    recipe = commandline.recipe_from_args(args)
    size = commandline.image_size(args)
    narrator = commandline.Narrator(args.quiet)

    # Imported here, so that --help and a wrong flag are answered at once.
    with quiet_tensorflow():
        from pyimagesearch import (
            atomic,
            corruptions,
            datasets,
            distribution,
            persistence,
            pipeline,
            streams,
            visualization,
        )

    manifest = persistence.manifest_path(args.dataset)
    settings = persistence.settings_path(args.model)
    reference = persistence.reference_path(args.model)
    unfinished = persistence.checkpoint_path(args.model)
    cluster = distribution.connect(args.strategy)
    if cluster.is_chief:
        results = args.dataset, manifest, args.model, settings, reference, args.vis, args.plot
        read = () if args.source in datasets.SOURCES else (args.source,)
        atomic.check_writable(*results, unfinished, inputs=read)

    # The images: mostly normal ones, contaminated with a few others. Their labels ride beside
    # them into the manifest, and nothing below looks at them.
    narrator.say(f"loading images from {args.source}...")
    source = datasets.load(args.source, args.split, size, args.grayscale, narrator.files_checked)
    if source.name == "digits" and args.source == "auto":
        narrator.warn(f"no MNIST, so these are scikit-learn's small digits; {datasets.MNIST_HINT}")
    if source.skipped:
        narrator.warn(f"{len(source.skipped):,} files can't be read, such as {source.skipped[0]}")
    narrator.own_pictures_left_out(source.own_pictures)
    dataset = datasets.contaminate(
        source, args.valid_label, args.anomaly_label, args.contam, args.seed
    )
    images = dataset.images
    n, *image_shape = images.shape
    pickled = source.classes is not None or persistence.size_in_mib(images) <= args.max_pickle_mib
    # What fits into a pickle fits into memory, and its files are read but once. Of several
    # workers, each reads its own part.
    if pickled and cluster.workers == 1:
        images = streams.load_into_memory(images)

    # The network, and its training on four fifths of the images.
    sizes = "x".join(map(str, image_shape))
    narrator.say(f"training on four fifths of {n:,} images of {sizes}...")
    how = {name: getattr(args, name) for name in ("loss", "corrupt", "seed", "precision")}
    fingerprint = persistence.fingerprint(images)
    asked = pipeline.training_settings(recipe, fingerprint, **how)
    state = pipeline.load_checkpoint(unfinished, asked, cluster) if args.resume else None
    if args.resume:
        done = len(state["loss"]) if state is not None else 0
        narrator.say(
            f"going on after epoch {done}" if done else "nothing to resume: beginning anew"
        )
    if args.logdir and cluster.is_chief:
        narrator.log = persistence.tensorboard_writer(args.logdir)
    fitted = pipeline.train(
        images,
        recipe,
        **how,
        cluster=cluster,
        state=state,
        keep=functools.partial(persistence.save_checkpoint, unfinished, asked),
        on_epoch=narrator.epoch,
    )
    history = fitted.history
    if history.interrupted:
        narrator.warn("interrupted: this is what the last whole epoch has led to; --resume goes on")
    if not cluster.is_chief:
        narrator.say("trained; the chief, worker 0, writes the results")
        return
    narrator.say(f"trained in {history.seconds:.1f} s; noting what is normal...")
    calibration, references = pipeline.calibrate(fitted, images, args.seed)

    # Two pictures, of images that the network was not trained on if there are any.
    few = images[(fitted.held_out if len(fitted.held_out) else fitted.trained)[:16]]
    spoilt = corruptions.corrupt(few, args.corrupt, args.seed) if args.corrupt else None
    restored = (
        fitted.autoencoder(few if spoilt is None else spoilt, training=False).numpy().clip(0, 1)
    )
    grid = visualization.reconstructions(few, restored, spoilt)
    curves = visualization.loss_curves(history.loss, history.val_loss, recipe.trim, args.loss)

    # What there is to know about the model.
    about = {
        "run_again": commandline.reproduce_command(
            sys.argv[1:] if argv is None else argv, source.name
        ),
        "command": vars(args),
        **pipeline.describe(fitted, recipe, dataset, source.name, fingerprint),
        "scores": calibration,
    }
    if args.corrupt:
        about["restoration"] = pipeline.evaluate_restoration(
            fitted, images, args.corrupt, args.seed
        )
        narrator.say(pipeline.format_restoration(about["restoration"]))

    # All files at once. First those go that must never lie beside what they don't belong to.
    with atomic.transaction():
        atomic.remove(manifest, settings, reference)
        if pickled:
            persistence.save_images(args.dataset, streams.load_into_memory(images))
        else:
            narrator.say(f"too large for a pickle: {manifest} alone stands for the images")
            atomic.remove(args.dataset)
        persistence.save_manifest(manifest, dataset.names, dataset.labels)
        persistence.save_picture(args.vis, grid)
        persistence.save_picture(args.plot, curves)
        persistence.save_model(args.model, fitted.autoencoder)
        persistence.save_references(reference, references)
        persistence.save_json(settings, about)
    narrator.say(f"wrote {args.dataset}, {args.model}, {args.vis} and {args.plot}")
    if history.interrupted:
        raise KeyboardInterrupt
    atomic.remove(unfinished)


if __name__ == "__main__":
    sys.exit(main())

"""Train an autoencoder on a set of images of which some few do not belong.

python train_unsupervised_autoencoder.py --dataset output/images.pickle --model output/autoencoder.model
"""

import dataclasses
import sys

from pyimagesearch import commandline
from pyimagesearch.recipes import RECIPES


@commandline.exit_status
def main(argv=None):
    args = commandline.training_parser().parse_args(argv)
    recipe = commandline.chosen(RECIPES[args.recipe], args)
    narrator = commandline.Narrator(args.quiet)

    # Imported here, so that --help and a wrong flag are answered at once.
    with commandline.tensorflow_silenced():
        from pyimagesearch import datasets, persistence, scoring, training, visualization
        from pyimagesearch.convautoencoder import ConvAutoencoder

    manifest = persistence.manifest_path(args.dataset)
    settings = persistence.settings_path(args.model)
    persistence.check_targets(args.dataset, manifest, args.model, settings, args.vis, args.plot)

    # The images: mostly normal ones, contaminated with a few others. Their labels ride beside
    # them into the manifest, and nothing below looks at them.
    narrator.say(f"loading images from {args.source}...")
    source = datasets.load(args.source, args.split)
    if source.name == "digits" and args.source == "auto":
        narrator.warn(f"no MNIST, so these are scikit-learn's small digits; {datasets.MNIST_HINT}")
    dataset = datasets.contaminated(
        source, args.valid_label, args.anomaly_label, args.contam, args.seed
    )
    images = dataset.images
    n, height, width, depth = images.shape

    # The network, and its training on four fifths of the images.
    _, _, autoencoder = ConvAutoencoder.build(
        width,
        height,
        depth,
        filters=recipe.filters,
        latentDim=recipe.latent_dim,
        batchNorm=recipe.batch_norm,
        momentum=recipe.momentum,
        seed=args.seed,
    )
    trained, held_out = training.split(n, seed=args.seed)
    epochs = training.number_of_epochs(
        len(trained), recipe.epochs, recipe.batch_size, recipe.min_steps
    )
    narrator.say(f"training on {len(trained):,} of {n:,} images of {height}x{width}x{depth}...")
    narrator.progress("epoch", 0, epochs)
    history = training.fit(
        autoencoder,
        images[trained],
        images[held_out],
        epochs=epochs,
        batch_size=recipe.batch_size,
        learning_rate=recipe.learning_rate,
        schedule=recipe.schedule,
        trim=recipe.trim,
        seed=args.seed,
        on_epoch=lambda epoch, **losses: narrator.progress("epoch", epoch, epochs, **losses),
    )

    # Pictures, images and their manifest; last the model, and what there is to know about it.
    few = (held_out if len(held_out) else trained)[:16]
    reconstructed, _ = scoring.reconstruct(autoencoder, images[few])
    persistence.save_picture(args.vis, visualization.reconstructions(images[few], reconstructed))
    curves = visualization.loss_curves(history.loss, history.val_loss, recipe.trim)
    persistence.save_picture(args.plot, curves)
    persistence.save_images(args.dataset, images)
    persistence.save_manifest(manifest, dataset.names, dataset.labels)
    scores = scoring.score_images(autoencoder, images)
    about = {
        "command": vars(args),
        "recipe": {**dataclasses.asdict(recipe), "epochs": epochs},
        "source": source.name,
        "n_images": n,
        "image_shape": [height, width, depth],
        "fingerprint": persistence.fingerprint(images),
        "versions": persistence.versions(),
        "training": history.as_dict(),
        "scores": {
            "trained": scoring.summary(scores[trained]),
            "held_out": scoring.summary(scores[held_out]),
        },
    }
    persistence.save_model(args.model, autoencoder)
    persistence.save_json(settings, about)
    narrator.say(f"trained in {history.seconds:.1f} s; wrote the images to {args.dataset}, the")
    narrator.say(f"model to {args.model}, and pictures to {args.vis} and {args.plot}")


if __name__ == "__main__":
    sys.exit(main())

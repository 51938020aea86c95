"""Rank images by how badly an autoencoder reconstructs them, and show the odd ones.

python find_anomalies.py --dataset output/images.pickle --model output/autoencoder.model
"""

import sys
import time
from pathlib import Path

from pyimagesearch import commandline


@commandline.exit_status
def main(argv=None):
    args = commandline.detection_parser().parse_args(argv)
    narrator = commandline.Narrator(args.quiet)

    # Imported here, so that --help and a wrong flag are answered at once.
    with commandline.tensorflow_silenced():
        from pyimagesearch import datasets, metrics, persistence, scoring, thresholds, visualization

    gallery, histogram, table, report = (
        Path(args.output, name)
        for name in ("anomalies.png", "errors.png", "anomalies.csv", "report.json")
    )
    persistence.check_targets(gallery, histogram, table, report)

    # The model, and the images: a source with classes, or a pickle with a manifest beside it.
    narrator.say("loading autoencoder and images...")
    autoencoder = persistence.load_model(args.model)
    if datasets.is_source(args.dataset):
        about = persistence.load_json(persistence.settings_path(args.model))
        source = datasets.load(args.dataset, args.split)
        dataset = datasets.judged(source, about.get("command", {}).get("valid_label"))
    else:
        array = persistence.load_images(args.dataset)
        images, note = datasets.as_images(array, args.dataset)
        if note:
            narrator.say(note)
        manifest = persistence.manifest_path(args.dataset)
        dataset = datasets.ImageSet(images, *persistence.load_manifest(manifest, len(images)))

    # How odd is each image?
    n = len(dataset.images)
    started = time.monotonic()
    narrator.progress("images scored", 0, n)
    scores = scoring.score_images(
        autoencoder,
        dataset.images,
        on_batch=lambda done: narrator.progress("images scored", done, n),
    )
    seconds = time.monotonic() - started
    ranking = scoring.rank(scores)

    # How odd is odd enough?
    threshold = thresholds.quantile(scores, args.quantile)
    flagged = thresholds.flag(scores, threshold)
    narrator.say(f"mse threshold: {threshold:.6f}")
    narrator.say(f"{flagged.sum()} outliers found")

    # What does a person see?
    top = ranking[: args.top]
    reconstructed, error_maps = scoring.reconstruct(autoencoder, dataset.images[top])
    picture = visualization.anomalies(
        dataset.images[top],
        reconstructed,
        error_maps,
        scores[top],
        flagged[top],
        [dataset.names[i] for i in top],
        title=f"The {len(top)} highest of {n:,} scores; {flagged.sum():,} flagged above {threshold:.4f}",
    )
    persistence.save_picture(gallery, picture)
    persistence.save_picture(histogram, visualization.score_histogram(scores, threshold))

    # Were we right? Only here are the hidden labels looked at.
    verdict = metrics.evaluate(scores, flagged, dataset.labels)
    if verdict:
        narrator.say(f"against the hidden labels: {metrics.in_words(verdict)}")
    rows = [
        (rank, i, dataset.names[i], float(scores[i]), int(flagged[i]), int(dataset.labels[i]))
        for rank, i in enumerate(ranking.tolist(), start=1)
    ]
    persistence.save_csv(table, ("rank", "index", "name", "score", "flagged", "label"), rows)
    persistence.save_json(
        report,
        {
            "n_images": n,
            "n_flagged": int(flagged.sum()),
            "threshold": threshold,
            "threshold_rule": f"quantile {args.quantile}",
            "score": "mse",
            "flagged": [
                {"index": i, "name": name, "score": score}
                for _, i, name, score, is_flagged, _ in rows
                if is_flagged
            ],
            "estimated_contamination": float(flagged.mean()),
            "seconds": seconds,
            "images_per_second": n / seconds,
            "metrics": verdict,
        },
    )
    narrator.say(f"wrote {gallery}, {histogram}, {table} and {report}")


if __name__ == "__main__":
    sys.exit(main())

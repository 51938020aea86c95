"""Rank images by how badly an autoencoder reconstructs them, and show the odd ones.

python find_anomalies.py --dataset output/images.pickle --model output/autoencoder.model
"""

import functools
import logging
import sys
import time
from pathlib import Path

from pyimagesearch.cli import console, detection_arguments
from pyimagesearch.runtime.quiet import quiet_tensorflow

logger = logging.getLogger("pyimagesearch")  # its modules' too, whatever name this one runs by


@console.exit_status
def main(argv=None):
    args = detection_arguments.detection_parser().parse_args(argv)
    rule, value = detection_arguments.threshold_rule(args)
    console.configure_logging(args.quiet)

    # Imported here, so that --help and a wrong flag are answered at once.
    with quiet_tensorflow():
        from pyimagesearch.data import corruptions, datasets
        from pyimagesearch.detection import metrics, scoring, thresholds, trained_model
        from pyimagesearch.reporting import charts, drawing, results
        from pyimagesearch.reporting import gallery as reporting_gallery
        from pyimagesearch.runtime import distribution
        from pyimagesearch.storage import atomic, files
        from pyimagesearch.training import train

    targets = [Path(args.output, name) for name in results.FILES]
    gallery, histogram, heatmaps, table, report, page = targets
    cluster = distribution.connect(args.strategy)
    if cluster.is_chief:
        atomic.check_writable(*targets, inputs=train.files_read(args.dataset, args.model))

    # The model with what training has noted down, and the images.
    logger.info("loading autoencoder and images...")
    model = trained_model.load_trained_model(args.model, args.score, args.precision, cluster)
    shape = model.autoencoder.input_shape[1:]
    dataset, remark = datasets.open_dataset(
        args.dataset, args.split, shape, model.valid_label, console.Progress("files checked")
    )
    if remark:
        logger.info(remark)
    console.warn_of_own_pictures(dataset.own_pictures)
    planted = masked = None
    if args.corrupt:
        dataset, planted = corruptions.inject_anomalies(
            dataset, args.corrupt, args.corrupt_fraction, seed=42
        )
        logger.info(
            f"injected {planted.sum():,} synthetic anomalies; other images without a label count as normal"
        )

    # How odd is each image? Of several workers each scores its part, and the chief goes on alone.
    n = len(dataset.images)
    on_batch = functools.partial(
        console.Progress("images scored"), total=len(range(n)[cluster.local_slice(n)])
    )
    started = time.monotonic()
    on_batch(0)
    scores = model.score_images(dataset.images, cluster, on_batch)
    seconds = time.monotonic() - started
    if not cluster.is_chief:
        return
    ranking = scoring.rank(scores)

    # How odd is odd enough?
    threshold = thresholds.RULES[rule](value, scores, model.calibration)
    words = detection_arguments.format_rule(rule, value)
    logger.info(f"threshold rule: {words}")
    flagged = thresholds.flag(scores, threshold)
    logger.info(f"{args.score} threshold: {threshold:.6f}")
    count = int(flagged.sum())
    logger.info(f"{count:,} outlier{'' if count == 1 else 's'} found")
    if rule == "auto":
        logger.info(f"estimated share of anomalies: {flagged.mean():.2%}")

    # What does a person see? One scale for all maps, so that normal images stay dark.
    top = ranking[: args.top]
    names = [dataset.names[i] for i in top]
    scale = 1.5 * model.calibration["pixel_threshold"] if model.calibration else None
    montage = reporting_gallery.anomalies(
        *model.reconstruct(dataset.images, top),
        scores[top],
        flagged[top],
        names,
        f"The {len(top)} highest of {n:,} scores; {flagged.sum():,} flagged above {threshold:#.4g}",
        scale,
        None if planted is None else ["planted" if planted[i] else "" for i in top],
    )
    bars = charts.score_histogram(scores, threshold, args.score, planted)

    # Were we right? Only here are the hidden labels looked at, and the masks.
    verdict = metrics.evaluate(scores, flagged, dataset.labels)
    if dataset.masks is not None and model.calibration:
        images, maps, masks, found = results.predict_masks(model, dataset)
        verdict |= metrics.evaluate_maps(maps, masks)
        columns = [array[top] for array in (images, maps, masks, found, scores)]
        title = f"Where the {len(top)} images of highest score are odd"
        masked = reporting_gallery.heatmaps(*columns, names, scale, title)
    if verdict:
        logger.info(f"against the hidden labels: {metrics.format_evaluation(verdict)}")

    # The table of all images, and the report: for programs, and for people as one page.
    judged = dataset, scores, ranking
    rows = results.anomalies_table(*judged, flagged, model.calibration)
    told = results.report(
        *judged,
        flagged,
        seconds,
        score=args.score,
        threshold=threshold,
        threshold_rule=words,
        metrics=verdict,
    )
    text = results.results_page(
        model,
        *judged,
        threshold,
        top=args.top,
        scale=scale,
        command=vars(args),
        rule=words,
        metrics=verdict,
    )
    # All files at once.
    with atomic.Transaction() as transaction:
        drawing.save_picture(transaction.stage(gallery), montage)
        drawing.save_picture(transaction.stage(histogram), bars)
        transaction.remove(heatmaps)
        if masked is not None:
            drawing.save_picture(transaction.stage(heatmaps), masked)
        files.save_csv(transaction.stage(table), rows[0], rows[1:])
        files.save_json(transaction.stage(report), told)
        transaction.stage(page).write_bytes(text.encode())
    logger.info(f"wrote the results to {args.output}")


if __name__ == "__main__":
    sys.exit(main())

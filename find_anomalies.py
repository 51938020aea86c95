"""Rank images by how badly an autoencoder reconstructs them, and flag the outliers.

python find_anomalies.py --dataset output/images.pickle --model output/autoencoder.model
"""

import functools
import logging
import sys
import time
from pathlib import Path

from pyimagesearch.cli import console, detection_arguments, worker_settings
from pyimagesearch.runtime.quiet import quiet_tensorflow

logger = logging.getLogger("pyimagesearch")  # its modules' too, whatever name this one runs by


@console.exit_status
def main(argv=None):
    args = detection_arguments.detection_parser().parse_args(argv)
    detection_arguments.check_inputs(args)
    console.configure_logging(args.quiet)
    if args.scores is not None:
        flag_again(args)
        return

    # Imported here, so that --help and a wrong flag are answered at once.
    with quiet_tensorflow():
        from pyimagesearch.data import corruptions, dataset_files, datasets, preprocessing
        from pyimagesearch.detection import metrics, scoring, thresholds, trained_model
        from pyimagesearch.reporting import results
        from pyimagesearch.runtime import distribution
        from pyimagesearch.storage import atomic

    cluster = distribution.connect(args.strategy)
    if cluster.is_chief:
        paths = [Path(args.output, name) for name in results.FILES]
        atomic.check_writable(*paths, inputs=trained_model.files_read(args.dataset, args.model))

    # The trained model with its calibration, and the images. Several workers compare theirs.
    cluster.require_same(lambda: worker_settings.of_detection(args))
    logger.info("loading autoencoder and images...")
    model = trained_model.TrainedModel.load(args.model, args.score, args.precision, cluster)
    reading = preprocessing.reading_for(model.image_shape, model.settings.get("preprocessing"))
    progress = console.Progress("files checked")
    dataset = datasets.open_dataset(args.dataset, args.split, reading, model.valid_label, progress)
    console.report_files(dataset, model.settings.get("trained_on"))
    injected = None
    if args.corrupt:
        dataset, injected = corruptions.inject_anomalies(
            dataset, args.corrupt, args.corrupt_fraction, seed=42
        )
        logger.info(f"injected {injected.sum():,} synthetic anomalies")

    cluster.require_same(lambda: dataset_files.contents(dataset.images))

    # Score: how anomalous is each image? Every worker scores its slice; the chief gets them all.
    n = len(dataset.images)
    in_slice = len(range(n)[cluster.local_slice(n)])
    on_batch = functools.partial(console.Progress("images scored"), total=in_slice)
    started = time.monotonic()
    on_batch(0)
    scores = model.score_images(dataset.images, cluster, on_batch)
    seconds = time.monotonic() - started
    if not cluster.is_chief:
        return

    # Decide: which scores are too high?
    default = detection_arguments.default_rule(model, dataset)
    rule, value = detection_arguments.threshold_rule(args, default)
    threshold = thresholds.RULES[rule](value, scores, model.calibration)
    flagged = thresholds.flag(scores, threshold)
    rule_text = detection_arguments.format_rule(rule, value)
    console.report_threshold(rule, rule_text, model.score, threshold, scores, flagged)

    # Evaluate: only here are the hidden labels and the masks looked at.
    evaluation = metrics.evaluate(scores, flagged, dataset.labels)
    reconstructed = masks = None
    if dataset.masks is not None and model.calibration:
        reconstructed, masks = results.reconstruct_all(model, dataset)
        evaluation |= metrics.evaluate_maps(reconstructed.maps, masks)
    if evaluation:
        logger.info(f"against the hidden labels: {metrics.format_evaluation(evaluation)}")

    # Save: pictures, the table of all images, and the reports, all files at once.
    detection = results.Detection(
        dataset=dataset,
        score=model.score,
        scores=scores,
        ranking=scoring.rank(scores),
        seconds=seconds,
        rule=rule_text,
        threshold=threshold,
        flagged=flagged,
        evaluation=evaluation,
        reconstructed=reconstructed,
        masks=masks,
        injected=injected,
    )
    detection.save(args.output, model, args)
    console.report_flagged(detection.ranked(model), flagged, args.output, args.top)


def flag_again(args):
    """Flag the images of a table of scores by another threshold, without TensorFlow."""
    from pyimagesearch.cli import thresholding

    rule, value = detection_arguments.threshold_rule(args)
    rule_text = detection_arguments.format_rule(rule, value)
    ranking, threshold, flagged = thresholding.apply_rule(args.scores, rule, value, rule_text)
    console.report_threshold(rule, rule_text, "score", threshold, ranking.scores, flagged)
    console.report_flagged(ranking, flagged, Path(args.scores).parent, args.top)


if __name__ == "__main__":
    sys.exit(main())

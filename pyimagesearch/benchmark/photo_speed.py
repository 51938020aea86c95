"""Speed and memory of training and scoring photographs, beside the backbone alone."""

from pyimagesearch.benchmark.subprocesses import run_in_subprocess

# Crops of noise of some sizes stand for photographs: what they show does not matter for the time.
# Prints the seconds of one pass of the backbone, of a training with its calibration, and of scoring
# as many images as training has seen, at most `MOST_SCORED`; and the peak memory in MiB. Compiling
# does not count in the pass and in scoring; it is part of training.
PROGRAM = """
import json, sys, time
import cv2
import numpy as np
import tensorflow as tf
from pyimagesearch.benchmark.subprocesses import peak_mib
from pyimagesearch.data.batches import iterate_batches
from pyimagesearch.detection import calibration, scoring
from pyimagesearch.models import feature_autoencoder
from pyimagesearch.runtime.distribution import Cluster
from pyimagesearch.training.recipes import make_recipe
from pyimagesearch.training.train import train

n, side, most_scored = json.loads(sys.argv[1])
rng = np.random.default_rng(0)
noise = (rng.random((1024 // k, 1024 // k, 3), np.float32) for k in (2, 4, 8, 16, 32))
wall = sum(cv2.resize(x, (1024, 1024)) for x in noise) / 5

class Crops:
    shape = (n, side, side, 3)
    corners = rng.integers(0, 1024 - side, (n, 2))

    def __len__(self):
        return n

    def __getitem__(self, indices):
        chosen = self.corners[np.asarray(indices)].reshape(-1, 2)
        crops = np.stack([wall[y : y + side, x : x + side] for y, x in chosen])
        return crops.reshape(*np.shape(indices), side, side, 3)

images, cluster = Crops(), Cluster()
few = np.arange(min(n, most_scored))
model = feature_autoencoder.build(images.shape[1:])
extractor = feature_autoencoder.extractor(model)
size = scoring.batch_size_for(extractor, cluster)

def run(function, order):
    batches = (batch for _, batch in iterate_batches(images, order, size))
    return list(scoring.map_on_threads(function, batches, scoring.threads_for(cluster)))

def seconds_of(function):
    run(function, few[:1])
    started = time.monotonic()
    run(function, few)
    return (time.monotonic() - started) / len(few)

def last(batch):
    # Of all outputs at least one number, so that none is left out.
    return (sum(tf.reduce_sum(x, range(1, len(x.shape))) for x in extractor(batch)),)

alone = seconds_of(scoring.compile_scorer(last, images.shape[1:], size, cluster))
started = time.monotonic()
result = train(images, make_recipe("photos"))
calibration.calibrate(result, images)
trained = time.monotonic() - started
score = scoring.make_scorer(result.autoencoder, "combined", result.reference)
scored = seconds_of(scoring.compile_scorer(score, images.shape[1:], size, cluster))
print(json.dumps([alone * n, trained, alone, scored, peak_mib()]))
"""
SIDE, MOST_SCORED = 256, 209


def photos(args):
    """Training and scoring photographs, beside one pass of the backbone through the same images."""
    for n in args.photos:
        alone, trained, one, scored, peak = run_in_subprocess(PROGRAM, [n, SIDE, MOST_SCORED])
        there_is = "the backbone alone"
        yield "training, whole", n, trained, alone, "s", alone / trained, there_is
        yield "scored", n, 1 / scored, 1 / one, "images/s", one / scored, there_is
        yield "peak memory", n, peak, None, "MiB", None, ""

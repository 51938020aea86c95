"""Subprocesses in which a benchmark has memory and workers of its own."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent

# Scores the images of a .npy file or of a folder some times. Prints the seconds that one time took,
# the seconds that all processors worked for it, and the peak memory of the process in MiB, start-up
# included. Compiling does not count: each time is less that of a single batch, taken just then.
SCORE_PROGRAM = """
import json, sys, time
import numpy as np
from pyimagesearch.benchmark.subprocesses import peak_mib
from pyimagesearch.data import datasets, preprocessing
from pyimagesearch.detection import scoring
from pyimagesearch.models import architectures
from pyimagesearch.training.recipes import make_recipe

path, repetitions = json.loads(sys.argv[1])
reading = preprocessing.reading_for((28, 28, 1))
images = datasets.open_dataset(path, reading=reading).images
network = architectures.build(make_recipe(), images.shape[1:], seed=0)

def seconds(order=None):
    started = np.array([time.monotonic(), time.process_time()])
    scoring.score_images(network, images, order=order)
    return [time.monotonic(), time.process_time()] - started

seconds([0])  # starts TensorFlow up
elapsed, worked = np.mean([seconds() - seconds([0]) for _ in range(repetitions)], axis=0)
print(json.dumps([elapsed, worked, peak_mib()]))
"""

# Runs find_anomalies.py with some flags. Prints the seconds that all processors worked for it and the
# peak memory of the process in MiB, both from the start of Python to the end of the run.
FIND_PROGRAM = """
import json, sys, time
import find_anomalies
from pyimagesearch.benchmark.subprocesses import peak_mib

status = find_anomalies.main(json.loads(sys.argv[1]))
if status:
    sys.exit(status)
print(json.dumps([time.process_time(), peak_mib()]))
"""

# Trains for three epochs, as one of some workers, and prints the seconds of an epoch. The first
# epoch compiles, and does not count.
TRAIN_PROGRAM = """
import json, sys, time
from pyimagesearch.data import datasets, preprocessing
from pyimagesearch.runtime import distribution
from pyimagesearch.training.recipes import make_recipe
from pyimagesearch.training.train import train

source, limit, strategy = json.loads(sys.argv[1])
cluster = distribution.connect(strategy)
images = datasets.load(source).images[:limit]
ends = []
recipe = make_recipe(epochs=3, batch_size=256)
train(images, recipe, cluster=cluster, on_epoch=lambda *_, **figures: ends.append(time.monotonic()))
if cluster.is_chief:
    print(json.dumps((ends[-1] - ends[1]) / 2))
"""


def peak_mib():
    """The most memory that this process has taken so far, in MiB."""
    try:  # `ru_maxrss` of Linux is never below that of the parent
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024
    except OSError:
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def run_in_subprocess(program, argument, workers=1):
    """Run a Python program as one or several workers that know each other.

    Args:
        program: The source of the program; it finds its argument, as JSON, in `sys.argv[1]`.
        argument: What to give it.
        workers: How many processes run it. Each finds the others in `TF_CONFIG`.

    Returns:
        What the first worker has printed, from JSON.

    Raises:
        RuntimeError: If a worker fails; with what it printed on standard error.
    """
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(workers)]
    addresses = [f"127.0.0.1:{one.getsockname()[1]}" for one in sockets]
    for one in sockets:
        one.close()
    processes = []
    for index in range(workers):
        task = {"type": "worker", "index": index}
        config = json.dumps({"cluster": {"worker": addresses}, "task": task})
        processes.append(
            subprocess.Popen(
                [sys.executable, "-c", program, json.dumps(argument)],
                cwd=ROOT,
                env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_CONFIG": config},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    printed = [process.communicate() for process in processes]
    for process, (_, errors) in zip(processes, printed, strict=True):
        if process.returncode:
            raise RuntimeError(errors)
    return json.loads(printed[0][0])

"""Subprocesses in which a benchmark has memory and workers of its own."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent

# What a process of its own does, so that its memory is its alone: score the images of a .npy file
# or a folder some times, and say how long it took on average, how much of all processors' time that
# was, and the most memory that it had, start-up included. The compiling does not count: each time is
# less that of a single batch, taken just then.
SCORE_PROGRAM = """
import json, resource, sys, time
import numpy as np
from pyimagesearch.data import datasets
from pyimagesearch.detection import scoring
from pyimagesearch.models import architectures
from pyimagesearch.training.recipes import make_recipe

path, repetitions = json.loads(sys.argv[1])
images = datasets.open_dataset(path, image_shape=(28, 28, 1))[0].images
network = architectures.build(recipe(), images.shape[1:], seed=0)

def seconds(order=None):
    began = np.array([time.monotonic(), time.process_time()])
    scoring.score_images(network, images, order=order)
    return [time.monotonic(), time.process_time()] - began

seconds([0])  # starts TensorFlow up
took, worked = np.mean([seconds() - seconds([0]) for _ in range(repetitions)], axis=0)
try:  # Linux's other figure for it has what the parent had as its least
    lines = open("/proc/self/status").read().splitlines()
    peak = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024
except OSError:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps([took, worked, peak]))
"""

# What each of some workers does: train for some epochs. The first compiles, and does not count.
TRAIN_PROGRAM = """
import json, sys
from pyimagesearch.data import datasets
from pyimagesearch.runtime import distribution
from pyimagesearch.training.recipes import make_recipe
from pyimagesearch.training.train import train

source, limit, strategy = json.loads(sys.argv[1])
cluster = distribution.connect(strategy)
images = datasets.load(source).images[:limit]
ends = []
chosen = make_recipe(epochs=3, batch_size=256)
train(images, chosen, cluster=cluster, on_checkpoint=lambda state: ends.append(float(state["seconds"])))
if cluster.is_chief:
    print(json.dumps([(ends[-1] - ends[0]) / 2]))
"""


def run_in_subprocess(code, argument, workers=1):
    """Run Python code in processes of their own; return what the first has printed, as JSON."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(workers)]
    addresses = [f"127.0.0.1:{one.getsockname()[1]}" for one in sockets]
    for one in sockets:
        one.close()
    processes = []
    for index in range(workers):
        task = {"type": "worker", "index": index}
        config = json.dumps({"cluster": {"worker": addresses}, "task": task})
        environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_CONFIG": config}
        processes.append(
            subprocess.Popen(
                [sys.executable, "-c", code, argument],
                cwd=ROOT,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    told = [process.communicate() for process in processes]
    for process, (_, errors) in zip(processes, told, strict=True):
        if process.returncode:
            raise RuntimeError(errors)
    return json.loads(told[0][0])

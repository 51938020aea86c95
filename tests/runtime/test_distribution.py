"""Several devices give the results of one: two logical CPUs, and two processes on this machine."""

import csv
import json
import os
import signal
import socket
import subprocess
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from pyimagesearch import InputError
from pyimagesearch.cli import console
from pyimagesearch.data import dataset_files
from pyimagesearch.runtime import distribution
from pyimagesearch.runtime.distribution import Cluster
from tests.conftest import ROOT

# Trains and scores with a cluster, and saves the results. Of 191 digits 153 are trained on: the last
# batch has 1 of them at a batch size of 38, and 3 at one of 50.
PROGRAM = """
import json, sys
import numpy as np, tensorflow as tf
from pyimagesearch.data import datasets
from pyimagesearch.detection import scoring
from pyimagesearch.models import architectures
from pyimagesearch.runtime import distribution
from pyimagesearch.training.recipes import make_recipe
from pyimagesearch.training.train import train

strategy, cpus, out, changes, corrupt = json.loads(sys.argv[1])
if cpus > 1:
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * cpus)
cluster = distribution.connect(strategy)
images = datasets.contaminate(datasets.load("digits")).images
recipe = make_recipe(
    "tutorial", filters=(4, 8), epochs=3, trim=0.1, corruption=corrupt, **changes
)
clusters = {"several": cluster}
if cluster.workers == 1:
    clusters["one"] = distribution.Cluster()
for name, cluster in clusters.items():
    result = train(images, recipe, cluster=cluster, on_checkpoint=lambda state: None)
    with cluster.scope():
        network = architectures.clone_with_precision(result.autoencoder)
    weights = result.autoencoder.get_weights()
    np.savez(
        f"{out}/{name}{cluster.worker}.npz",
        loss=result.history.loss,
        val_loss=result.history.val_loss,
        outliers=result.history.outliers,
        scores=scoring.score_images(network, images, cluster=cluster),
        received=np.frombuffer(
            cluster.broadcast(b"chief!!" if cluster.is_chief else b"worker"), np.uint8
        ),
        devices=cluster.devices,
        **{f"weights/{number}": array for number, array in enumerate(weights)},
    )
"""


def ports(n):
    """Ports that are free at the moment."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(n)]
    found = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return found


def tf_config(n):
    """The environment variables of each of `n` workers on this machine, for TensorFlow."""
    cluster = {"worker": [f"127.0.0.1:{port}" for port in ports(n)]}
    tasks = ({"type": "worker", "index": index} for index in range(n))
    return [{"TF_CONFIG": json.dumps({"cluster": cluster, "task": task})} for task in tasks]


def slurm(n):
    """The same as Slurm sets them. The ports are 8888 and those after it."""
    step = {"NUM_TASKS": n, "NODELIST": "127.0.0.1", "TASKS_PER_NODE": n}
    variables = {f"SLURM_STEP_{name}": str(value) for name, value in step.items()}
    return [variables | {"SLURM_PROCID": str(index)} for index in range(n)]


def start(commands, environment=tf_config):
    """Start a worker for each command."""
    return [
        subprocess.Popen(
            command,
            cwd=ROOT,
            env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"} | variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for command, variables in zip(commands, environment(len(commands)), strict=True)
    ]


def program(strategy, cpus, out, changes, corrupt=None):
    settings = json.dumps([strategy, cpus, str(out), changes, corrupt])
    return [sys.executable, "-c", PROGRAM, settings]


def assert_same_but_for_rounding(several, one):
    np.testing.assert_allclose(several["loss"], one["loss"], rtol=1e-4)
    np.testing.assert_allclose(several["val_loss"], one["val_loss"], rtol=1e-4)
    np.testing.assert_allclose(several["scores"], one["scores"], rtol=1e-2)
    assert several["outliers"].tolist() == one["outliers"].tolist()
    assert len(one["outliers"]) == 11


@pytest.mark.parametrize(("devices", "workers"), [(1, 1), (2, 1), (6, 3), (5, 5)])
def test_local_slice_of_all_workers_covers_a_batch_once_and_evenly(devices, workers):
    strategy = SimpleNamespace(num_replicas_in_sync=devices)
    clusters = [Cluster(strategy, worker, workers) for worker in range(workers)]
    full = [len(range(40)[cluster.local_slice(40)]) for cluster in clusters]
    for n in range(41):
        parts = [np.arange(n)[cluster.local_slice(n)].tolist() for cluster in clusters]
        assert sum(parts, []) == list(range(n))
        sizes = [len(part) for part in parts]
        assert max(sizes) - min(sizes) <= devices // workers
        assert all(size <= maximum for size, maximum in zip(sizes, full, strict=True))


def test_connect_with_one_device_gives_a_cluster_of_one_worker():
    cluster = distribution.connect("auto")
    assert (cluster.devices, cluster.workers, cluster.is_chief) == (1, 1, True)
    assert cluster.broadcast(b"x") == b"x"
    assert cluster.all_reduce_sum(np.arange(3)).tolist() == [0, 1, 2]


def test_connect_as_mirrored_on_one_device_says_so(capsys):
    console.configure_logging()
    assert distribution.connect("mirrored").devices == 1
    assert "this machine has one device" in capsys.readouterr().err


def test_lost_worker_is_told_with_the_advice_to_resume_only_where_that_can_be_done():
    for resumable in (False, True):
        with (
            pytest.raises(InputError, match="start all workers again") as error,
            distribution.worker_loss_as_input_error(resumable),
        ):
            raise tf.errors.UnavailableError(None, None, "gone")
        assert ("--resume" in str(error.value)) == resumable


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        # Of the last batch, one of the two has an empty slice.
        {"batch_size": 38, "batch_norm": False},
        {"batch_size": 50, "batch_norm": True},
    ],
)
def test_train_on_two_logical_cpus_gives_the_results_of_one(changes, tmp_path):
    command = program("mirrored", 2, tmp_path, changes, corrupt=["noise", 0.2])
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    several, one = (np.load(tmp_path / f"{name}0.npz") for name in ("several", "one"))
    assert (several["devices"], one["devices"]) == (2, 1)
    assert_same_but_for_rounding(several, one)


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [{"batch_size": 38, "batch_norm": False}, {"batch_size": 50, "batch_norm": True}],
)
def test_train_on_two_workers_gives_the_results_of_one(changes, tmp_path):
    workers = start([program("multiworker", 1, tmp_path, changes)] * 2)
    for worker in workers:
        _, errors = worker.communicate(timeout=300)
        assert worker.returncode == 0, errors
    (tmp_path / "one").mkdir()
    command = program("auto", 1, tmp_path / "one", changes)
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    names = ("several0", "several1", "one/one0")
    chief, other, one = (np.load(tmp_path / f"{name}.npz") for name in names)
    assert_same_but_for_rounding(chief, one)
    assert chief["devices"] == 2
    assert other["received"].tobytes() == b"chief!!"
    for name in chief.files:
        np.testing.assert_array_equal(chief[name], other[name], name)


def script(name, *flags):
    return [sys.executable, str(ROOT / name), *map(str, flags), "--strategy", "multiworker"]


def training(folder, *more):
    return script(
        "train_unsupervised_autoencoder.py",
        *("-d", folder / "images.pickle", "-m", folder / "autoencoder.model"),
        *("-v", folder / "recon_vis.png", "-p", folder / "plot.png"),
        *("--source", "digits", "--quiet", *more),
    )


@pytest.mark.slow
@pytest.mark.parametrize("environment", [tf_config, slurm])
def test_find_anomalies_on_two_workers_writes_the_table_of_one_in_the_chief_alone(
    environment, trained, tmp_path
):
    folders = [tmp_path / "chief", tmp_path / "other"]
    flags = ["-d", trained / "images.pickle", "-m", trained / "autoencoder.model"]
    workers = start(
        [script("find_anomalies.py", *flags, "--output", folder, "--quiet") for folder in folders],
        environment,
    )
    for worker in workers:
        assert worker.communicate(timeout=300) == ("", "")
        assert worker.returncode == 0
    tables = []
    for folder in (folders[0], trained):
        with (folder / "anomalies.csv").open(newline="") as file:
            tables.append(list(csv.DictReader(file)))
    for row, same in zip(*tables, strict=True):
        assert float(row.pop("score")) == pytest.approx(float(same.pop("score")), rel=1e-6)
        assert float(row.pop("z_score")) == pytest.approx(float(same.pop("z_score")), abs=1e-3)
        assert row == same
    assert not folders[1].exists()


@pytest.mark.slow
@pytest.mark.parametrize("lost", [0, 1])
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_train_after_the_loss_of_a_worker_ends_in_one_line_and_can_be_resumed(tmp_path, lost, how):
    folders = [tmp_path / "chief", tmp_path / "other"]
    for folder in folders:
        folder.mkdir()
    workers = start([training(folder, "--epochs", "30") for folder in folders])
    checkpoint = folders[0] / ".autoencoder.model.resume"
    while not checkpoint.exists():
        assert [worker.poll() for worker in workers] == [None, None]
        time.sleep(0.05)
    workers[lost].send_signal(how)
    _, errors = workers[1 - lost].communicate(timeout=2 * distribution.COLLECTIVE_TIMEOUT)
    workers[lost].kill()
    workers[lost].communicate()
    assert workers[1 - lost].returncode == 2
    assert errors.startswith("error: another worker was lost")
    assert errors.count("\n") == 1
    workers = start([training(folder, "--epochs", "30", "--resume") for folder in folders])
    for worker in workers:
        assert worker.communicate(timeout=300) == ("", "")
        assert worker.returncode == 0
    settings = json.loads((folders[0] / "autoencoder.json").read_text())
    assert len(settings["training"]["loss"]) == 30
    assert not checkpoint.exists()
    assert not list(folders[1].iterdir())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "found"),
    [
        (("--seed", "1"), "seed 42 in worker 0 and 1 in worker 1"),
        (("--epochs", "3"), "epochs 2 in worker 0 and 3 in worker 1"),
        (("--contam", "0.2"), "number of images 191 in worker 0 and"),
    ],
)
def test_train_with_other_settings_or_images_in_one_worker_ends_in_the_same_line_in_all(
    tmp_path, changes, found
):
    workers = start(
        [training(tmp_path / str(i), "--epochs", "2", *(changes * i)) for i in range(2)]
    )
    assert_all_say(workers, found)
    assert not list(tmp_path.rglob("*.model"))


@pytest.mark.slow
def test_find_anomalies_in_other_images_or_by_another_score_ends_in_the_same_line_in_all(
    trained, tmp_path
):
    images = dataset_files.load_images(trained / "images.pickle")
    np.save(tmp_path / "a.npy", images)
    images[-1, 0, 0] = 1
    np.save(tmp_path / "b.npy", images)
    for flags, found in (
        (["a.npy", "mse", "b.npy", "mse"], "fingerprint of the images"),
        (["a.npy", "mse", "a.npy", "code"], "score mse in worker 0 and code in worker 1"),
    ):
        commands = [
            script(
                "find_anomalies.py",
                *("-d", tmp_path / data, "-m", trained / "autoencoder.model", "--score", score),
                *("--output", tmp_path / "out", "--quiet"),
            )
            for data, score in (flags[:2], flags[2:])
        ]
        assert_all_say(start(commands), found)
    assert not list((tmp_path / "out").iterdir())


def assert_all_say(workers, found):
    """All workers end with status 2 and the same line, in which something is found."""
    ended = [worker.communicate(timeout=120) for worker in workers]
    assert [worker.returncode for worker in workers] == [2] * len(workers), ended
    lines = {errors for _, errors in ended}
    assert len(lines) == 1
    (line,) = lines
    assert line.startswith("error: expected the same settings and images in all workers, found ")
    assert found in line
    assert line.count("\n") == 1

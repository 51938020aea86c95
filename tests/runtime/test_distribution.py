"""Many devices do what one does: two logical CPUs, and two true processes over the loopback."""

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

from pyimagesearch import InputError
from pyimagesearch.runtime import distribution
from pyimagesearch.runtime.distribution import Cluster
from tests.conftest import ROOT

# Trains and scores with a cluster; notes down what has come out. Of the digits, 191 of them, 153 are
# trained on: in batches of 38 they leave one over, in batches of 50 three.
PROGRAM = """
import json, sys
import numpy as np, tensorflow as tf
from pyimagesearch.data import datasets
from pyimagesearch.detection import scoring
from pyimagesearch.models import architectures
from pyimagesearch.runtime import distribution
from pyimagesearch.training.recipes import recipe
from pyimagesearch.training.train import train

strategy, cpus, out, changes, corrupt = json.loads(sys.argv[1])
if cpus > 1:
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * cpus)
cluster = distribution.connect(strategy)
images = datasets.contaminate(datasets.load("digits")).images
chosen = recipe("tutorial", filters=(4, 8), epochs=3, trim=0.1, **changes)
clusters = {"many": cluster} | ({"one": distribution.Cluster()} if cluster.workers == 1 else {})
for name, cluster in clusters.items():
    fitted = train(
        images, chosen, cluster=cluster, corrupt=corrupt, keep=lambda state: None
    )
    with cluster.scope():
        network = architectures.clone_with_precision(fitted.autoencoder)
    weights = fitted.autoencoder.get_weights()
    np.savez(
        f"{out}/{name}{cluster.worker}.npz",
        loss=fitted.history.loss,
        val_loss=fitted.history.val_loss,
        suspects=fitted.history.suspects,
        scores=scoring.score_images(network, images, cluster=cluster),
        told=np.frombuffer(cluster.broadcast(b"chief!!" if cluster.is_chief else b"worker"), np.uint8),
        devices=cluster.devices,
        **{f"weights/{number}": array for number, array in enumerate(weights)},
    )
"""


def ports(n):
    """Ports that nobody listens at just now."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(n)]
    found = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return found


def tf_config(n):
    """The variables by which each of some workers on this machine is told who they all are."""
    cluster = {"worker": [f"127.0.0.1:{port}" for port in ports(n)]}
    tasks = ({"type": "worker", "index": index} for index in range(n))
    return [{"TF_CONFIG": json.dumps({"cluster": cluster, "task": task})} for task in tasks]


def slurm(n):
    """The same as Slurm tells it. The ports are 8888 and those after it."""
    step = {"NUM_TASKS": n, "NODELIST": "127.0.0.1", "TASKS_PER_NODE": n}
    told = {f"SLURM_STEP_{name}": str(value) for name, value in step.items()}
    return [told | {"SLURM_PROCID": str(index)} for index in range(n)]


def start(commands, described=tf_config):
    """Start a worker for each command."""
    return [
        subprocess.Popen(
            command,
            cwd=ROOT,
            env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"} | told,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for command, told in zip(commands, described(len(commands)), strict=True)
    ]


def program(strategy, cpus, out, changes, corrupt=None):
    settings = json.dumps([strategy, cpus, str(out), changes, corrupt])
    return [sys.executable, "-c", PROGRAM, settings]


def assert_alike(many, one):
    """Equal but for the order in which numbers were added."""
    np.testing.assert_allclose(many["loss"], one["loss"], rtol=1e-4)
    np.testing.assert_allclose(many["val_loss"], one["val_loss"], rtol=1e-4)
    np.testing.assert_allclose(many["scores"], one["scores"], rtol=1e-2)
    assert many["suspects"].tolist() == one["suspects"].tolist()
    assert len(one["suspects"]) == 11


@pytest.mark.parametrize(("devices", "workers"), [(1, 1), (2, 1), (6, 3), (5, 5)])
def test_every_image_of_a_batch_has_one_owner_and_no_batch_is_larger_than_a_full_one(
    devices, workers
):
    strategy = SimpleNamespace(num_replicas_in_sync=devices)
    clusters = [Cluster(strategy, worker, workers) for worker in range(workers)]
    full = [len(range(40)[cluster.local_slice(40)]) for cluster in clusters]
    for n in range(41):
        owned = [np.arange(n)[cluster.local_slice(n)].tolist() for cluster in clusters]
        assert sum(owned, []) == list(range(n))
        sizes = [len(part) for part in owned]
        assert max(sizes) - min(sizes) <= devices // workers
        assert all(size <= most for size, most in zip(sizes, full, strict=True))


def test_one_device_is_a_crew_of_its_own():
    cluster = distribution.connect("auto")
    assert (cluster.devices, cluster.workers, cluster.is_chief) == (1, 1, True)
    assert cluster.broadcast(b"x") == b"x"
    assert cluster.all_reduce_sum(np.arange(3)).tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    "config",
    [
        None,
        "no JSON",
        "[]",
        "{}",
        '{"cluster": {"worker": []}, "task": {"type": "worker", "index": 0}}',
        '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}',
        '{"cluster": {"worker": ["a:1"]}, "task": {"type": "ps", "index": 0}}',
        '{"cluster": {"worker": ["a:1"]}}',
    ],
)
def test_missing_or_wrong_description_of_the_workers_is_an_input_error(config, monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    if config is not None:
        monkeypatch.setenv("TF_CONFIG", config)
    with pytest.raises(InputError, match="set TF_CONFIG to"):
        distribution.connect("multiworker")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SLURM_STEP_NUM_TASKS", "many"),
        ("SLURM_STEP_NUM_TASKS", "0"),
        ("SLURM_STEP_NODELIST", "["),
        ("SLURM_STEP_TASKS_PER_NODE", "1"),
        ("SLURM_PROCID", "2"),
        ("SLURM_PROCID", "x"),
    ],
)
def test_wrong_description_by_slurm_is_an_input_error(name, value, monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    for variable, told in (slurm(2)[0] | {name: value}).items():
        monkeypatch.setenv(variable, told)
    with pytest.raises(InputError, match="or start it by Slurm"):
        distribution.connect("multiworker")


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        # The last batch has nothing for one of the two.
        {"batch_size": 38, "batch_norm": False},
        {"batch_size": 50, "batch_norm": True},
    ],
)
def test_two_logical_cpus_do_what_one_does(changes, tmp_path):
    command = program("mirrored", 2, tmp_path, changes, corrupt=["noise", 0.2])
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    many, one = (np.load(tmp_path / f"{name}0.npz") for name in ("many", "one"))
    assert (many["devices"], one["devices"]) == (2, 1)
    assert_alike(many, one)


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [{"batch_size": 38, "batch_norm": False}, {"batch_size": 50, "batch_norm": True}],
)
def test_two_processes_do_what_one_does(changes, tmp_path):
    workers = start([program("multiworker", 1, tmp_path, changes)] * 2)
    for worker in workers:
        _, told = worker.communicate(timeout=300)
        assert worker.returncode == 0, told
    (tmp_path / "alone").mkdir()
    command = program("auto", 1, tmp_path / "alone", changes)
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    names = ("many0", "many1", "alone/one0")
    chief, other, one = (np.load(tmp_path / f"{name}.npz") for name in names)
    assert_alike(chief, one)
    assert chief["devices"] == 2
    assert other["told"].tobytes() == b"chief!!"
    for name in chief.files:
        np.testing.assert_array_equal(chief[name], other[name], name)


def script(name, folder, *flags):
    return [sys.executable, str(ROOT / name), *map(str, flags), "--strategy", "multiworker"]


def training(folder, *more):
    return script(
        "train_unsupervised_autoencoder.py",
        folder,
        *("-d", folder / "images.pickle", "-m", folder / "autoencoder.model"),
        *("-v", folder / "recon_vis.png", "-p", folder / "plot.png"),
        *("--source", "digits", "--quiet", *more),
    )


@pytest.mark.slow
@pytest.mark.parametrize("described", [tf_config, slurm])
def test_two_workers_write_the_same_table_as_one_and_the_chief_alone_writes(
    described, trained, tmp_path
):
    folders = [tmp_path / "chief", tmp_path / "other"]
    flags = ["-d", trained / "images.pickle", "-m", trained / "autoencoder.model"]
    workers = start(
        [
            script("find_anomalies.py", folder, *flags, "--output", folder, "--quiet")
            for folder in folders
        ],
        described,
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
def test_lost_worker_ends_the_others_and_resume_goes_on(tmp_path, lost, how):
    folders = [tmp_path / "chief", tmp_path / "other"]
    for folder in folders:
        folder.mkdir()
    workers = start([training(folder, "--epochs", "30") for folder in folders])
    state = folders[0] / ".autoencoder.model.resume"
    while not state.exists():
        assert [worker.poll() for worker in workers] == [None, None]
        time.sleep(0.05)
    workers[lost].send_signal(how)
    _, told = workers[1 - lost].communicate(timeout=2 * distribution.COLLECTIVE_TIMEOUT)
    workers[lost].kill()
    workers[lost].communicate()
    assert workers[1 - lost].returncode == 2
    assert told.startswith("error: another worker was lost")
    assert told.count("\n") == 1
    workers = start([training(folder, "--epochs", "30", "--resume") for folder in folders])
    for worker in workers:
        assert worker.communicate(timeout=300) == ("", "")
        assert worker.returncode == 0
    about = json.loads((folders[0] / "autoencoder.json").read_text())
    assert len(about["training"]["loss"]) == 30
    assert not state.exists()
    assert not list(folders[1].iterdir())


def test_worker_whose_fellow_never_comes_gives_up_and_says_who_is_missing():
    (own, other) = (f"127.0.0.1:{port}" for port in ports(2))
    with pytest.raises(InputError, match=f"found none at {other}: start them all"):
        distribution.wait_for_workers([own, other], 0, 0.1)
    with pytest.raises(InputError, match="within 0.1 seconds"):
        distribution.wait_for_workers([other, own], 1, 0.1)


def test_worker_whose_port_is_taken_says_so():
    (own, other) = (f"127.0.0.1:{port}" for port in ports(2))
    with socket.create_server(("", int(own.split(":")[1]))) as server:
        server.listen()
        with pytest.raises(InputError, match="name another port"):
            distribution.wait_for_workers([own, other], 0, 0.1)


def test_workers_that_are_all_there_wait_for_nobody():
    (own, other) = (f"127.0.0.1:{port}" for port in ports(2))
    with socket.create_server(("127.0.0.1", int(other.split(":")[1]))):
        distribution.wait_for_workers([own, other], 0, 0)

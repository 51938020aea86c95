"""The start of workers is over in time, whatever they meet."""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress

import pytest

from pyimagesearch import InputError
from pyimagesearch.runtime import worker_startup
from tests.conftest import ROOT
from tests.runtime.test_distribution import ports

# Seconds in place of minutes, so that a test can wait for them.
STARTUP, FORMATION, COLLECTIVE = 8, 6, 6
PROGRAM = f"""
import os, sys, time
import numpy as np
from pyimagesearch.cli import console
from pyimagesearch.runtime.quiet import quiet_tensorflow
with quiet_tensorflow():
    from pyimagesearch.runtime import distribution, worker_startup

@console.exit_status
def main(argv):
    worker_startup.STARTUP_TIMEOUT, worker_startup.FORMATION_TIMEOUT = {STARTUP}, {FORMATION}
    distribution.COLLECTIVE_TIMEOUT = {COLLECTIVE}
    if sys.argv[1:]:  # as one that dies after it has answered
        worker_startup.bounded_start = lambda: os._exit(1)
    print("ready", flush=True)
    sys.stdin.readline()
    cluster = distribution.connect("multiworker")
    for _ in range(100):
        cluster.all_reduce_sum(np.arange(3))
        time.sleep(0.1)

sys.exit(main())
"""


def start(n, dying=(), only=None):
    """Start workers, all at the same moment, and return them; `only` some of them."""
    addresses = [f"127.0.0.1:{port}" for port in ports(n)]
    workers = []
    for index in range(n) if only is None else only:
        task = {"type": "worker", "index": index}
        config = json.dumps({"cluster": {"worker": addresses}, "task": task})
        worker = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *["dies"] * (index in dying)],
            cwd=ROOT,
            env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_CONFIG": config},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        workers.append(worker)
    for worker in workers:
        assert worker.stdout.readline() == "ready\n"
    for worker in workers:
        worker.stdin.write("\n")
        worker.stdin.flush()
    return workers


def assert_ends_in_one_line(worker, seconds, status=2, line="error: "):
    _, errors = worker.communicate(timeout=seconds)
    assert worker.returncode == status, errors
    assert errors.strip().startswith(line)
    assert errors.strip().count("\n") == 0


@pytest.mark.slow
def test_killing_a_worker_at_random_moments_of_its_start_ends_all_others_in_time():
    moments = random.Random(0)
    for victim in (0, 1, 2, 0):
        workers = start(3)
        time.sleep(moments.uniform(0, 2))
        workers[victim].kill()
        for worker in workers:
            if worker is not workers[victim]:
                # At the worst, TensorFlow waits for its heartbeats after it has lost a worker.
                assert_ends_in_one_line(worker, STARTUP + FORMATION + 15)
        workers[victim].communicate()


@pytest.mark.slow
@pytest.mark.parametrize("dying", [0, 1])
def test_worker_that_dies_before_the_cluster_forms_ends_the_others_in_time(dying):
    workers = start(2, dying=[dying])
    line = "error: expected all workers to connect"
    assert_ends_in_one_line(workers[1 - dying], FORMATION + 10, line=line)
    workers[dying].communicate()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sent", "status", "line"),
    [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, -signal.SIGTERM, "")],
)
@pytest.mark.parametrize("forming", [False, True])
def test_signal_while_workers_wait_for_each_other_ends_one_at_once(forming, sent, status, line):
    """Both while they meet, where the other has not started, and while TensorFlow waits."""
    workers = start(2, dying=[1]) if forming else start(2, only=[0])
    if forming:
        workers[1].communicate()
    time.sleep(1)
    workers[0].send_signal(sent)
    # Python itself takes a moment to end once TensorFlow is loaded.
    assert_ends_in_one_line(workers[0], FORMATION - 2 if forming else 20, status, line)


def test_wait_for_workers_that_never_start_gives_up_and_names_one():
    (own, other) = (f"127.0.0.1:{port}" for port in ports(2))
    with pytest.raises(InputError, match=f"found none at {other}: start them all"):
        worker_startup.wait_for_workers([own, other], 0, 0.1)
    with pytest.raises(InputError, match="within 0.1 seconds"):
        worker_startup.wait_for_workers([other, own], 1, 0.1)


def test_wait_for_workers_with_a_port_in_use_is_an_input_error():
    (own, other) = (f"127.0.0.1:{port}" for port in ports(2))
    with (
        socket.create_server(("", int(own.split(":")[1]))),
        pytest.raises(InputError, match="take another port"),
    ):
        worker_startup.wait_for_workers([own, other], 0, 0.1)


def test_wait_for_workers_with_another_program_at_an_address_says_so(monkeypatch):
    """One that says nothing, and one that says something else."""
    monkeypatch.setattr(worker_startup, "FOREIGN_TIMEOUT", 0.2)
    monkeypatch.setattr(worker_startup, "VISIT_TIMEOUT", 0.1)
    (own, other) = (f"127.0.0.1:{port}" for port in ports(2))
    with socket.create_server(("127.0.0.1", int(other.split(":")[1]))) as server:
        with pytest.raises(InputError, match=f"worker 1 at {other}, found another program"):
            worker_startup.wait_for_workers([own, other], 0, 5)

        def answer():
            while True:
                try:
                    with server.accept()[0] as connection:
                        connection.sendall(b"HTTP/1.1 400 Bad Request\n")
                except OSError:
                    return

        threading.Thread(target=answer, daemon=True).start()
        with pytest.raises(InputError, match=f"worker 1 at {other}, found another program"):
            worker_startup.wait_for_workers([own, other], 0, 5)


def meet(*lists):
    """Let a thread wait for the workers of each list, in which it has the index of its place."""
    faults = [None] * len(lists)

    def wait(own):
        try:
            worker_startup.wait_for_workers(lists[own], own, 2)
        except InputError as fault:
            faults[own] = str(fault)

    threads = [threading.Thread(target=wait, args=(own,)) for own in range(len(lists))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=10)
        assert not thread.is_alive()
    return faults


def test_wait_for_workers_returns_once_all_have_met():
    addresses = [f"127.0.0.1:{port}" for port in ports(5)]
    assert meet(*[addresses] * 5) == [None] * 5


def test_wait_for_workers_with_other_addresses_says_so_in_both():
    pair = ports(2)
    faults = meet(*([f"{host}:{port}" for port in pair] for host in ("127.0.0.1", "localhost")))
    assert all("found another one: set the same cluster" in fault for fault in faults)


def test_visitor_with_other_addresses_is_told_of_though_it_has_left():
    """It has heard of the difference first, and nobody listens any more where it was."""
    own, gone = (f"127.0.0.1:{port}" for port in ports(2))
    visitor = worker_startup.Meeting([own, "localhost:1"], 1)

    def visit():
        with suppress(InputError):
            while visitor.visit(0, ("127.0.0.1", int(own.split(":")[1]))) is None:
                time.sleep(0.01)

    thread = threading.Thread(target=visit)
    thread.start()
    with pytest.raises(InputError, match="found another one: set the same cluster"):
        worker_startup.wait_for_workers([own, gone], 0, 5)
    thread.join(timeout=10)

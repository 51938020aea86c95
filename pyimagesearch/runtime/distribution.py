"""On which devices does the work run, who does which share of it, and how do they agree?

TensorFlow does the work (`tf.distribute`); this only deals it out. One loop serves one device and
many: each global batch is cut into as many slices as there are devices, in its order, and each
process reads the images of its own slices alone.
"""

import json
import os
import socket
import time
from contextlib import contextmanager

import numpy as np
import tensorflow as tf

from pyimagesearch import InputError

# Seconds after which a process stops waiting for the others: at work, and until they have come.
COLLECTIVE_TIMEOUT, STARTUP_TIMEOUT = 60, 300
TF_CONFIG_HINT = (
    'set TF_CONFIG to {"cluster": {"worker": ["HOST:PORT", ...]}, "task": {"type": "worker", '
    '"index": N}}, with another index on each machine, or start it by Slurm'
)


class Cluster:
    """All the devices that work together, and the place of this process among them.

    Args:
        strategy: A `tf.distribute.Strategy`; TensorFlow's default one, of one device, unless
            given.
        worker: The number of this process, from 0; 0 is the chief, which writes the results.
        workers: How many processes there are, each with as many devices as this one.

    Attributes:
        strategy, worker, workers: As given.
        devices: How many devices there are in all processes together.
        chief: Whether this process writes the results.

    Example:
        >>> cluster = Cluster()
        >>> cluster.devices, cluster.is_chief, cluster.local_slice(5)
        (1, True, slice(0, 5, None))
    """

    def __init__(self, strategy=None, worker=0, workers=1):
        self.strategy = strategy or tf.distribute.get_strategy()
        self.worker, self.workers = worker, workers
        self.devices = self.strategy.num_replicas_in_sync
        self.is_chief = worker == 0
        here = self.devices // workers
        # The devices of this process are those from `first` up to `after`.
        self._first, self._after = worker * here, (worker + 1) * here

    @contextmanager
    def scope(self):
        """Whatever is built within has its variables on all devices, equal at all times."""
        with self.strategy.scope(), worker_loss_as_input_error():
            yield

    def local_slice(self, n):
        """Which part of a batch of `n` images belongs to this process, as a slice."""
        bounds = self._bounds(n)
        return slice(bounds[0], bounds[-1])

    def _bounds(self, n):
        """Where in a batch the slices of this process's devices begin, and where they end."""
        each, rest = divmod(n, self.devices)
        return [i * each + min(i, rest) for i in range(self._first, self._after + 1)]

    def replicate(self, function, *signature):
        """Compile a function so that each device of this process runs it on its slice of a batch.

        Args:
            function: From tensors to a tensor, all with the batch as their first axis; single
                numbers may be among the arguments too.
            *signature: A `tf.TensorSpec` for each argument.

        Returns:
            A function from `n`, the size of the batch in all processes together, and the arrays
            of this process's own part of it, to a NumPy array: the results for that part.
        """
        if self.devices == 1:
            run = tf.function(function, input_signature=signature).get_concrete_function()
            return lambda n, *arguments: run(*arguments).numpy()

        @tf.function(input_signature=[tf.TensorSpec((None,), tf.int32), *signature])
        def run_on_all(bounds, *arguments):
            def run_on_one():
                place = tf.distribute.get_replica_context().replica_id_in_sync_group - self._first
                start, stop = bounds[place], bounds[place + 1]

                def part(array):
                    # Layers need at least one image: where there is none, a black one, of weight 0.
                    missing = tf.maximum(1 - (stop - start), 0)
                    padding = [(0, missing)] + [(0, 0)] * (array.shape.rank - 1)
                    return tf.pad(array[start:stop], padding)

                results = function(*(part(a) if a.shape.rank else a for a in arguments))
                return results[: stop - start]

            return self.strategy.run(run_on_one)

        with self.scope():
            run_on_all = run_on_all.get_concrete_function()

        def call(n, *arguments):
            bounds = np.array(self._bounds(n), np.int32)
            with self.scope():
                results = run_on_all(bounds - bounds[0], *arguments)
                return np.concatenate(self.strategy.experimental_local_results(results))

        return call

    def all_reduce_sum(self, array):
        """Add up an array over all processes.

        Args:
            array: Of the same shape in every process. Where all others have 0, the sum is exact.

        Returns:
            The sum, the same to the bit in every process.
        """
        if self.workers == 1:
            return array

        def on_one(context):
            is_first = context.replica_id_in_sync_group == self._first
            return tf.constant(array if is_first else np.zeros_like(array))

        with self.scope():
            parts = self.strategy.experimental_distribute_values_from_function(on_one)
            return self.strategy.reduce(tf.distribute.ReduceOp.SUM, parts, axis=None).numpy()

    def broadcast(self, data):
        """Tell all processes what the chief knows.

        Args:
            data: Bytes; those of the others don't count.

        Returns:
            The chief's bytes.
        """
        if self.workers == 1:
            return data
        size = self.all_reduce_sum(np.array([len(data) * self.is_chief], np.int32))[0]
        words = np.zeros(size // 4 + 1, np.int32)
        if self.is_chief:
            words.view(np.uint8)[:size] = np.frombuffer(data, np.uint8)
        return self.all_reduce_sum(words).tobytes()[:size]


def connect(name="auto"):
    """Find the devices to work on.

    Call it before TensorFlow has been asked for anything else.

    Args:
        name: `auto`: the one device, or all GPUs if there are several. `mirrored`: all devices of
            this machine. `multiworker`: those of several processes or machines, as the variable
            TF_CONFIG or Slurm describes them; it waits until they are all there.

    Returns:
        A `Cluster`.

    Raises:
        InputError: If nothing describes the processes, or they can't be brought together.
    """
    if name == "multiworker":
        return connect_workers()
    devices = tf.config.list_logical_devices("GPU")
    if name == "mirrored":
        devices = devices or tf.config.list_logical_devices("CPU")
    elif len(devices) < 2:
        return Cluster()
    return Cluster(tf.distribute.MirroredStrategy([device.name for device in devices]))


def connect_workers():
    """The cluster of several processes, by TensorFlow's `MultiWorkerMirroredStrategy`."""
    resolvers = tf.distribute.cluster_resolver
    try:
        if os.environ.get("TF_CONFIG"):
            resolver = resolvers.TFConfigClusterResolver()
        elif "SLURM_STEP_NUM_TASKS" in os.environ:
            resolver = slurm_cluster_resolver()
        else:
            raise InputError(
                f"expected TF_CONFIG to say who the workers are, found none: {TF_CONFIG_HINT}"
            )
        workers = resolver.cluster_spec().as_dict()["worker"]
        if resolver.task_type != "worker" or not 0 <= resolver.task_id < len(workers):
            raise ValueError(f"no worker is {resolver.task_type} {resolver.task_id}")
    except (ValueError, KeyError, TypeError, AttributeError, RuntimeError) as fault:
        found = "found none of that" if isinstance(fault, json.JSONDecodeError) else fault
        raise InputError(
            f"expected a cluster of workers and this one's place in it ({found}): {TF_CONFIG_HINT}"
        ) from None
    options = tf.distribute.experimental.CommunicationOptions(timeout_seconds=COLLECTIVE_TIMEOUT)
    wait_for_workers(workers, resolver.task_id, STARTUP_TIMEOUT)
    with worker_loss_as_input_error():
        strategy = tf.distribute.MultiWorkerMirroredStrategy(resolver, options)
    return Cluster(strategy, resolver.task_id, len(workers))


def slurm_cluster_resolver():
    """Who the workers are, by the variables of a Slurm step.

    TensorFlow's resolver for Slurm would hand out the GPUs too, and needs NVIDIA's tools for it
    where there are none. Slurm can do that itself (`srun --gpus-per-task`); so each process takes
    the GPUs that it sees.
    """
    resolvers = tf.distribute.cluster_resolver
    enough = int(os.environ["SLURM_STEP_NUM_TASKS"])
    slurm = resolvers.SlurmClusterResolver(
        gpus_per_node=enough, gpus_per_task=1, auto_set_gpu=False
    )
    cluster = slurm.cluster_spec()
    seen = len(tf.config.list_physical_devices("GPU"))
    return resolvers.SimpleClusterResolver(
        cluster,
        task_type=slurm.task_type,
        task_id=slurm.task_id,
        num_accelerators={"GPU": seen},
        rpc_layer="grpc",
    )


# What TensorFlow raises where another process has gone, or doesn't answer in time.
WORKER_LOSS_ERRORS = (
    tf.errors.UnavailableError,
    tf.errors.DeadlineExceededError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
)


@contextmanager
def worker_loss_as_input_error():
    """Say in one line what it means when TensorFlow gives up waiting for other processes."""
    try:
        yield
    except WORKER_LOSS_ERRORS as fault:
        raise InputError(
            "another worker was lost, or has stopped for a reason that it tells itself "
            f"({type(fault).__name__}): start all workers again, with --resume to go on from the "
            "last finished epoch"
        ) from None


def wait_for_workers(addresses, own, seconds):
    """Wait until all workers are there. TensorFlow would wait for ever, and deaf to Ctrl-C.

    Args:
        addresses: `HOST:PORT` of each worker.
        own: Which of them this process is. It answers there until it has seen all the others;
            then TensorFlow does.
        seconds: How long to wait.

    Raises:
        InputError: If some have not come by then, or the port is taken.
    """
    places = [address.rsplit(":", 1) for address in addresses]
    until = time.monotonic() + seconds
    missing = [(host, int(port)) for host, port in places]
    _, port = missing.pop(own)
    try:
        with socket.create_server(("", port)):
            while missing := [place for place in missing if not is_reachable(place)]:
                if time.monotonic() > until:
                    raise InputError(
                        f"expected all workers within {seconds} seconds, found none at "
                        f"{missing[0][0]}:{missing[0][1]}: start them all, and check the addresses"
                    )
                time.sleep(0.2)
    except OSError as fault:
        raise InputError(
            f"expected to listen at {addresses[own]}, found {fault.strerror or fault}: name "
            "another port"
        ) from None


def is_reachable(place):
    """Whether anybody takes calls at a host and port."""
    try:
        socket.create_connection(place, timeout=5).close()
    except OSError:
        return False
    return True

"""Distribution over devices and workers, by `tf.distribute`.

One code path serves one device and many. A worker is a process, which has one or several devices,
and each device holds a replica of the network. Each global batch is cut, in its order, into a slice
for each device; a worker reads the images of its own slices alone.
"""

import json
import os
import socket
import time
from contextlib import contextmanager

import numpy as np
import tensorflow as tf

from pyimagesearch import InputError

# Seconds for which a worker waits for the others: in an all-reduce, and at the start.
COLLECTIVE_TIMEOUT, STARTUP_TIMEOUT = 60, 300
TF_CONFIG_HINT = (
    'set TF_CONFIG to {"cluster": {"worker": ["HOST:PORT", ...]}, "task": {"type": "worker", '
    '"index": N}}, with another index on each machine, or start it by Slurm'
)


class Cluster:
    """The devices that work together, and the place of this worker among them.

    Args:
        strategy: A `tf.distribute.Strategy`. `None`: TensorFlow's default one, of one device.
        worker: Index of this worker, from 0.
        workers: Number of workers. Each has as many devices as the others.

    Attributes:
        strategy, worker, workers: The same.
        devices: Number of devices of all workers together.
        is_chief: Whether this worker is the chief, worker 0, which alone writes files.

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
        per_worker = self.devices // workers
        # The devices of this worker are those from `first` up to but not including `last`.
        self._first, self._last = worker * per_worker, (worker + 1) * per_worker

    @contextmanager
    def scope(self):
        """Within this context, variables are created on all devices and kept equal."""
        with self.strategy.scope(), worker_loss_as_input_error():
            yield

    def local_slice(self, n):
        """Slice of this worker's part of a global batch of `n` images."""
        bounds = self._bounds(n)
        return slice(bounds[0], bounds[-1])

    def _bounds(self, n):
        """Bounds of the slices of this worker's devices in a global batch of `n` images."""
        size, rest = divmod(n, self.devices)
        return [i * size + min(i, rest) for i in range(self._first, self._last + 1)]

    def replicate(self, function, *signature):
        """Compile a function so that each replica runs it on its slice of a global batch.

        Args:
            function: Function from tensors to a tensor, all of which have the batch as first axis;
                scalars may be among the arguments too.
            *signature: A `tf.TensorSpec` for each argument.

        Returns:
            A function from `n`, the size of the global batch, and this worker's part of each
            argument, an array, to the result for that part, a NumPy array.

        Example:
            >>> double = Cluster().replicate(lambda x: 2 * x, tf.TensorSpec((None,)))
            >>> double(3, np.array([1, 2, 3], np.float32)).tolist()
            [2.0, 4.0, 6.0]
        """
        if self.devices == 1:
            run = tf.function(function, input_signature=signature).get_concrete_function()
            return lambda n, *arguments: run(*arguments).numpy()

        @tf.function(input_signature=[tf.TensorSpec((None,), tf.int32), *signature])
        def run_on_all(bounds, *arguments):
            def run_on_replica():
                replica = tf.distribute.get_replica_context().replica_id_in_sync_group
                start, stop = bounds[replica - self._first], bounds[replica - self._first + 1]

                def take_slice(array):
                    # Layers need at least one image: an empty slice gets a black one of weight 0.
                    missing = tf.maximum(1 - (stop - start), 0)
                    padding = [(0, missing)] + [(0, 0)] * (array.shape.rank - 1)
                    return tf.pad(array[start:stop], padding)

                results = function(*(take_slice(a) if a.shape.rank else a for a in arguments))
                return results[: stop - start]

            return self.strategy.run(run_on_replica)

        with self.scope():
            run_on_all = run_on_all.get_concrete_function()

        def call(n, *arguments):
            bounds = np.array(self._bounds(n), np.int32)
            with self.scope():
                results = run_on_all(bounds - bounds[0], *arguments)
                return np.concatenate(self.strategy.experimental_local_results(results))

        return call

    def all_reduce_sum(self, array):
        """Sum an array over all workers.

        Args:
            array: NumPy array of the same shape and dtype in every worker. The sum is exact where
                all but one of them have 0.

        Returns:
            NumPy array of that shape and dtype: the sum, the same to the bit in every worker.
        """
        if self.workers == 1:
            return array

        def value_of_replica(context):
            is_first = context.replica_id_in_sync_group == self._first
            return tf.constant(array if is_first else np.zeros_like(array))

        with self.scope():
            values = self.strategy.experimental_distribute_values_from_function(value_of_replica)
            return self.strategy.reduce(tf.distribute.ReduceOp.SUM, values, axis=None).numpy()

    def broadcast(self, data):
        """Send bytes of the chief to all workers.

        Args:
            data: Bytes; only those of the chief matter.

        Returns:
            The bytes of the chief.
        """
        if self.workers == 1:
            return data
        size = self.all_reduce_sum(np.array([len(data) * self.is_chief], np.int32))[0]
        words = np.zeros(size // 4 + 1, np.int32)
        if self.is_chief:
            words.view(np.uint8)[:size] = np.frombuffer(data, np.uint8)
        return self.all_reduce_sum(words).tobytes()[:size]


def connect(name="auto"):
    """Choose the devices to run on, and connect to the other workers if there are any.

    Call it before any other function of TensorFlow.

    Args:
        name: `auto`: one device, or all GPUs if there are several. `mirrored`: all devices of this
            machine. `multiworker`: those of several workers, on one or several machines, as the
            variable TF_CONFIG or Slurm describes them; it waits until all of them are reachable.

    Returns:
        A `Cluster`.

    Raises:
        InputError: If the workers are not described, or can't be connected.

    Example:
        >>> connect("auto").workers
        1
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
    """Connect to the other workers, by TensorFlow's `MultiWorkerMirroredStrategy`."""
    resolvers = tf.distribute.cluster_resolver
    try:
        if os.environ.get("TF_CONFIG"):
            resolver = resolvers.TFConfigClusterResolver()
        elif "SLURM_STEP_NUM_TASKS" in os.environ:
            resolver = slurm_cluster_resolver()
        else:
            raise InputError(
                f"expected TF_CONFIG to describe the workers, found none: {TF_CONFIG_HINT}"
            )
        workers = resolver.cluster_spec().as_dict()["worker"]
        if resolver.task_type != "worker" or not 0 <= resolver.task_id < len(workers):
            raise ValueError(f"there is no worker {resolver.task_type} {resolver.task_id}")
    except (ValueError, KeyError, TypeError, AttributeError, RuntimeError) as fault:
        found = "found no JSON" if isinstance(fault, json.JSONDecodeError) else fault
        raise InputError(
            "expected a description of all workers and of this one's place among them "
            f"({found}): {TF_CONFIG_HINT}"
        ) from None
    options = tf.distribute.experimental.CommunicationOptions(timeout_seconds=COLLECTIVE_TIMEOUT)
    wait_for_workers(workers, resolver.task_id, STARTUP_TIMEOUT)
    with worker_loss_as_input_error():
        strategy = tf.distribute.MultiWorkerMirroredStrategy(resolver, options)
    return Cluster(strategy, resolver.task_id, len(workers))


def slurm_cluster_resolver():
    """Describe the workers by the variables of a Slurm step.

    TensorFlow's resolver for Slurm also assigns the GPUs, and calls NVIDIA's tools for it even where
    there are none. Slurm can do that itself (`srun --gpus-per-task`), so each worker takes the GPUs
    that are visible to it.
    """
    resolvers = tf.distribute.cluster_resolver
    # The resolver wants a number of GPUs that suffices for the tasks, and then ignores it.
    n_tasks = int(os.environ["SLURM_STEP_NUM_TASKS"])
    slurm = resolvers.SlurmClusterResolver(
        gpus_per_node=n_tasks, gpus_per_task=1, auto_set_gpu=False
    )
    cluster = slurm.cluster_spec()
    return resolvers.SimpleClusterResolver(
        cluster,
        task_type=slurm.task_type,
        task_id=slurm.task_id,
        num_accelerators={"GPU": len(tf.config.list_physical_devices("GPU"))},
        rpc_layer="grpc",
    )


# What TensorFlow raises if another worker has ended or doesn't answer in time.
WORKER_LOSS_ERRORS = (
    tf.errors.UnavailableError,
    tf.errors.DeadlineExceededError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
)


@contextmanager
def worker_loss_as_input_error():
    """Raise an `InputError` where TensorFlow has lost another worker."""
    try:
        yield
    except WORKER_LOSS_ERRORS as fault:
        raise InputError(
            "another worker was lost, or has ended with an error message of its own "
            f"({type(fault).__name__}): start all workers again, with --resume to continue after "
            "the last finished epoch"
        ) from None


def wait_for_workers(addresses, own, seconds):
    """Wait until all workers are reachable.

    TensorFlow itself would wait for ever, and not react to Ctrl-C.

    Args:
        addresses: List of the `HOST:PORT` of each worker.
        own: Index of this worker in the list. It listens at its address until all the others are
            reachable; TensorFlow listens there afterwards.
        seconds: Time to wait.

    Raises:
        InputError: If some workers are not reachable by then, or if the port is in use.
    """
    split = [address.rsplit(":", 1) for address in addresses]
    missing = [(host, int(port)) for host, port in split]
    _, port = missing.pop(own)
    deadline = time.monotonic() + seconds
    try:
        with socket.create_server(("", port)):
            while missing := [address for address in missing if not is_reachable(address)]:
                if time.monotonic() > deadline:
                    host, port = missing[0]
                    raise InputError(
                        f"expected all workers within {seconds} seconds, found none at "
                        f"{host}:{port}: start them all, and check the addresses"
                    )
                time.sleep(0.2)
    except OSError as fault:
        raise InputError(
            f"expected to listen at {addresses[own]}, found {fault.strerror or fault}: take "
            "another port"
        ) from None


def is_reachable(address):
    """Whether a worker listens at an address, a pair of host and port."""
    try:
        socket.create_connection(address, timeout=5).close()
    except OSError:
        return False
    return True

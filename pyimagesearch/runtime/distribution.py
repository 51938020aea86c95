"""Distribution over devices and workers, by `tf.distribute`.

One code path serves one device and many. A worker is a process, which has one or several devices,
and each device holds a replica of the network. Each global batch is cut, in its order, into a slice
for each device; a worker reads the images of its own slices alone.
"""

import json
import logging
from contextlib import contextmanager

import numpy as np
import tensorflow as tf

from pyimagesearch import InputError
from pyimagesearch.runtime import worker_addresses, worker_startup

# Seconds for which a worker waits for the others in an all-reduce.
COLLECTIVE_TIMEOUT = 60

logger = logging.getLogger(__name__)


class Cluster:
    """The devices that work together, and the place of this worker among them.

    Args:
        strategy: A `tf.distribute.Strategy`. `None`: TensorFlow's default one, of one device.
        worker: Index of this worker, from 0.
        workers: Number of workers. Each has as many devices as the others.
        resumable: Whether what they do can be resumed, which the message on a lost worker advises.

    Attributes:
        strategy, worker, workers, resumable: The same.
        devices: Number of devices of all workers together.
        is_chief: Whether this worker is the chief, worker 0, which alone writes files.

    Example:
        >>> cluster = Cluster()
        >>> cluster.devices, cluster.is_chief, cluster.local_slice(5)
        (1, True, slice(0, 5, None))
    """

    def __init__(self, strategy=None, worker=0, workers=1, resumable=False):
        self.strategy = strategy or tf.distribute.get_strategy()
        self.worker, self.workers, self.resumable = worker, workers, resumable
        self.devices = self.strategy.num_replicas_in_sync
        self.is_chief = worker == 0
        per_worker = self.devices // workers
        # The devices of this worker are those from `first` up to but not including `last`.
        self._first, self._last = worker * per_worker, (worker + 1) * per_worker

    @contextmanager
    def scope(self):
        """Within this context, variables are created on all devices and kept equal."""
        with self.strategy.scope(), worker_loss_as_input_error(self.resumable):
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
            run = tf.function(
                function, input_signature=signature, autograph=False
            ).get_concrete_function()
            return lambda n, *arguments: run(*arguments).numpy()

        @tf.function(
            input_signature=[tf.TensorSpec((None,), tf.int32), *signature], autograph=False
        )
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

    def all_reduce_sum(self, array, seconds=None):
        """Sum an array over all workers.

        Args:
            array: NumPy array of the same shape and dtype in every worker. The sum is exact where
                all but one of them have 0.
            seconds: For how long to wait for the others; `None`: `COLLECTIVE_TIMEOUT`.

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
            extended, reduction = self.strategy.extended, tf.distribute.ReduceOp.SUM
            total = extended.reduce_to(reduction, values, "/cpu:0", communication_options(seconds))
            return self.strategy.experimental_local_results(total)[0].numpy()

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

    def require_same(self, make_facts):
        """Make sure that all workers are about to do the same.

        Args:
            make_facts: Function without arguments that returns what has to be the same in all of
                them, a dict for JSON. It is called where there are several workers, which then wait
                for each other as long as at the start: some may read the images more slowly.

        Raises:
            InputError: In all of them, and with the same message, if a fact differs.
        """
        if self.workers == 1:
            return
        data = np.frombuffer(json.dumps(make_facts(), default=str).encode(), np.uint8)
        sizes = np.zeros(self.workers, np.int32)
        sizes[self.worker] = len(data)
        sizes = self.all_reduce_sum(sizes, worker_startup.STARTUP_TIMEOUT)
        texts = np.zeros((self.workers, sizes.max()), np.int32)
        texts[self.worker, : len(data)] = data
        texts = self.all_reduce_sum(texts).astype(np.uint8)
        everywhere = [
            json.loads(text[:size].tobytes()) for text, size in zip(texts, sizes, strict=True)
        ]
        if differences := name_differences(everywhere):
            raise InputError(
                f"expected the same settings and images in all workers, found {differences}: start "
                "all with the same command, images and versions"
            )


def name_differences(facts):
    """Say in which of their facts workers differ from the first of them.

    Args:
        facts: A list of dicts, one for each worker.

    Returns:
        Text; empty if all are the same.

    Example:
        >>> name_differences([{"seed": 1, "trim": 0}, {"seed": 2, "trim": 0}])
        'seed 1 in worker 0 and 2 in worker 1'
    """
    differences = {}
    for worker, other in enumerate(facts):
        for name in {**facts[0], **other}:
            if facts[0].get(name) != other.get(name):
                text = f"{facts[0].get(name)} in worker 0 and {other.get(name)} in worker {worker}"
                differences.setdefault(name, f"{name} {text}")
    return ", ".join(differences.values())


def communication_options(seconds=None):
    """Options of TensorFlow that limit how long a worker waits for the others."""
    return tf.distribute.experimental.CommunicationOptions(
        timeout_seconds=COLLECTIVE_TIMEOUT if seconds is None else seconds
    )


def connect(name="auto", resumable=False):
    """Choose the devices to run on, and connect to the other workers if there are any.

    Call it before any other function of TensorFlow.

    Args:
        name: `auto`: one device, or all GPUs if there are several. `mirrored`: all devices of this
            machine. `multiworker`: those of several workers, on one or several machines, as the
            variable TF_CONFIG or Slurm describes them; it waits until all of them have started, for
            a limited time.
        resumable: As for `Cluster`.

    Returns:
        A `Cluster`.

    Raises:
        InputError: If the workers are not described, or can't be connected. Where TensorFlow itself
            waits in vain, the program ends with the same status and such a line.

    Example:
        >>> connect("auto").workers
        1
    """
    if name == "multiworker":
        return connect_workers(resumable)
    devices = tf.config.list_logical_devices("GPU")
    if name == "mirrored":
        devices = devices or tf.config.list_logical_devices("CPU")
        if len(devices) == 1:
            logger.warning(
                f"--strategy mirrored: this machine has one device, {devices[0].name.strip('/')}; "
                "it does what --strategy auto does"
            )
    if len(devices) < 2:
        return Cluster()
    return Cluster(tf.distribute.MirroredStrategy([device.name for device in devices]))


def connect_workers(resumable):
    """Connect to the other workers, by TensorFlow's `MultiWorkerMirroredStrategy`."""
    addresses, worker = worker_addresses.describe_workers()
    worker_startup.wait_for_workers(addresses, worker)
    resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
        tf.train.ClusterSpec({"worker": addresses}),
        task_type="worker",
        task_id=worker,
        num_accelerators={"GPU": len(tf.config.list_physical_devices("GPU"))},
        rpc_layer="grpc",
    )
    try:
        with worker_startup.bounded_start():
            strategy = tf.distribute.MultiWorkerMirroredStrategy(resolver, communication_options())
    except (tf.errors.OpError, RuntimeError) as fault:
        message = str(fault).split("\n", 1)[0]
        raise InputError(
            "expected all workers to connect, found that one was lost or does not answer "
            f"({message}): start all workers again"
        ) from None
    return Cluster(strategy, worker, len(addresses), resumable)


# What TensorFlow raises if another worker has ended or doesn't answer in time.
WORKER_LOSS_ERRORS = (
    tf.errors.UnavailableError,
    tf.errors.DeadlineExceededError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
)


@contextmanager
def worker_loss_as_input_error(resumable=False):
    """Raise an `InputError` where TensorFlow has lost another worker."""
    try:
        yield
    except WORKER_LOSS_ERRORS as fault:
        advice = ", with --resume to continue after the last finished epoch" if resumable else ""
        raise InputError(
            "another worker was lost, or has ended with an error message of its own "
            f"({type(fault).__name__}): start all workers again{advice}"
        ) from None

"""The start of several workers, which is over in a stated time, however it goes.

First they meet: each listens at its address and visits all others, until all have visited all. Then
TensorFlow forms its cluster, at the same addresses.
"""

import ctypes
import hashlib
import json
import os
import select
import signal
import socket
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import tensorflow as tf

from pyimagesearch import InputError
from pyimagesearch.runtime.worker_addresses import split_address

# Seconds that a worker waits for the others to start; that another program may stand at the address
# of one of them, such as a worker that is about to end; and that TensorFlow's start may take.
STARTUP_TIMEOUT, FOREIGN_TIMEOUT, FORMATION_TIMEOUT = 300, 30, 60
# Seconds of a visit in which nothing is said, and bytes that are listened to.
VISIT_TIMEOUT, MAX_GREETING_BYTES = 5, 200


def wait_for_workers(addresses, own, seconds=None):
    """Wait until all workers have met.

    A worker has met all others once it has visited each of them and all have visited it: then none
    needs to be visited any more, and TensorFlow may have the port.

    Args:
        addresses: List of the `HOST:PORT` of each worker.
        own: Index of this worker in the list.
        seconds: Time to wait; `None`: `STARTUP_TIMEOUT`.

    Raises:
        InputError: If the workers have not met by then, if one has another list of addresses, or if
            the port is in use.
    """
    seconds = STARTUP_TIMEOUT if seconds is None else seconds
    places = [split_address(address) for address in addresses]
    meeting = Meeting(addresses, own)
    missing = set(range(len(addresses))) - {own}
    deadline, foreign_since = time.monotonic() + seconds, {}
    with meeting.listening(places[own]):
        # Asked first: a visitor with another list may be gone before it can be visited.
        while not meeting.is_visited_by_all() or missing:
            for worker in sorted(missing):
                answer = meeting.visit(worker, places[worker])
                if answer is True:
                    missing.discard(worker)
                foreign_since.setdefault(worker, time.monotonic())
                if answer is not False:
                    del foreign_since[worker]
                elif time.monotonic() > foreign_since[worker] + FOREIGN_TIMEOUT:
                    raise InputError(
                        f"expected worker {worker} at {addresses[worker]}, found another program: "
                        "end it, or take another port"
                    )
            if time.monotonic() > deadline:
                raise _too_late(addresses, missing or meeting.not_yet_visitors(), seconds)
            time.sleep(0.1)


def _too_late(addresses, missing, seconds):
    """The error that names a worker of those that are missing."""
    return InputError(
        f"expected all workers within {seconds} seconds, found none at {addresses[min(missing)]}: "
        "start them all, and check the addresses"
    )


class Meeting:
    """What a worker says to the others, and which of them have visited it.

    Args:
        addresses, own: As for `wait_for_workers`.
    """

    def __init__(self, addresses, own):
        digest = hashlib.sha256(json.dumps(addresses).encode()).hexdigest()
        self.addresses, self.own = addresses, own
        self.start = f"pyimagesearch worker of {digest} "
        self._visitors, self._fault, self._over = set(), None, threading.Event()

    def is_visited_by_all(self):
        """Whether all others have been here. Raises an `InputError` if one was not as expected."""
        if self._fault:
            raise InputError(self._fault)
        return not self.not_yet_visitors()

    def not_yet_visitors(self):
        """The workers that have not been here."""
        return set(range(len(self.addresses))) - {self.own} - self._visitors

    def visit(self, worker, place):
        """Visit a worker.

        Returns:
            `True` if it has answered, `None` if nothing listens there, `False` if something else
            has answered, or nothing at all.

        Raises:
            InputError: If a worker has answered that is not the one expected.
        """
        try:
            connection = socket.create_connection(place, timeout=VISIT_TIMEOUT)
        except OSError:
            return None
        with connection:
            try:
                connection.sendall(f"{self.start}{self.own}\n".encode())
                answer = receive_line(connection)
            except OSError:
                return False
        found = self._parse(answer)
        if found is not None and found != worker:
            raise InputError(
                f"expected worker {worker} at {self.addresses[worker]}, found worker {found}: give "
                "each another index"
            )
        return found is not None

    def _parse(self, line):
        """The index in the greeting of a worker; `None` if it is no such greeting."""
        common = self.start.split(" of ")[0]
        if line.startswith(common) and not line.startswith(self.start):
            raise InputError(
                "expected the same list of addresses in all workers, found another one: set the "
                "same cluster in the TF_CONFIG of each"
            )
        index = line.removeprefix(self.start)
        return int(index) if index != line and index.isdecimal() and len(index) < 6 else None

    @contextmanager
    def listening(self, place):
        """Within this context, answer visitors at a pair of host and port."""
        family = socket.AF_INET6 if ":" in place[0] else socket.AF_INET
        try:
            server = socket.create_server(("", place[1]), family=family, backlog=128)
        except OSError as fault:
            raise InputError(
                f"expected to listen at {self.addresses[self.own]}, found "
                f"{fault.strerror or fault}: take another port"
            ) from None
        with server:
            server.settimeout(0.1)
            thread = threading.Thread(target=self._serve, args=(server,), daemon=True)
            thread.start()
            try:
                yield
            finally:
                self._over.set()
                thread.join()

    def _serve(self, server):
        """Answer visitors until the meeting is over."""
        while not self._over.is_set():
            try:
                connection, _ = server.accept()
            except OSError:
                continue
            with connection:
                try:
                    connection.settimeout(1)
                    line = receive_line(connection)
                    connection.sendall(f"{self.start}{self.own}\n".encode())
                    # Its own closing says that it has heard the answer.
                    connection.recv(1)
                    self._visitors.add(self._parse(line))
                except InputError as fault:
                    self._fault = str(fault)
                except OSError:
                    continue


def receive_line(connection):
    """Receive a line of at most `MAX_GREETING_BYTES`, as text without its end."""
    data = b""
    while b"\n" not in data and len(data) < MAX_GREETING_BYTES:
        if not (received := connection.recv(MAX_GREETING_BYTES)):
            break
        data += received
    return data.split(b"\n")[0].decode("ascii", "replace")


@contextmanager
def bounded_start(seconds=None):
    """Within this context, TensorFlow forms its cluster, or the program ends.

    TensorFlow itself would wait for ever for a worker that is gone, and hold Python's lock
    meanwhile, so that no signal could end it. Here it runs without the lock, and a thread watches.

    Args:
        seconds: Time to wait, after which the program ends with status 2 and one line; `None`:
            `FORMATION_TIMEOUT`. Ctrl-C ends it at once, with status 130.
    """
    seconds = FORMATION_TIMEOUT if seconds is None else seconds
    is_main = threading.current_thread() is threading.main_thread()
    ends = socket.socketpair()
    over = threading.Event()
    for end in ends:
        end.setblocking(False)
    keep_sigterm = _keep_sigterm()
    arguments = ends[0], over, seconds, keep_sigterm
    watch = threading.Thread(target=_watch, args=arguments, daemon=True)
    watch.start()
    # A signal writes here even while the main thread can't react to it.
    before = signal.set_wakeup_fd(ends[1].fileno()) if is_main else None
    try:
        with _collective_ops_without_lock():
            yield
    finally:
        over.set()
        if is_main:
            signal.set_wakeup_fd(before)
        keep_sigterm()
        ends[1].close()
        watch.join()
        ends[0].close()


def _keep_sigterm():
    """Make a function that gives SIGTERM back its handler.

    TensorFlow takes the signal for itself while it starts, and then does nothing on it.
    """
    get, set_ = ctypes.pythonapi.PyOS_getsig, ctypes.pythonapi.PyOS_setsig
    get.restype = set_.restype = ctypes.c_void_p
    set_.argtypes = [ctypes.c_int, ctypes.c_void_p]
    handler = get(signal.SIGTERM)
    return lambda: set_(signal.SIGTERM, handler)


def _watch(end, over, seconds, keep_sigterm):
    """End the program on a signal or when the time is over, unless the start is over before."""
    deadline = time.monotonic() + seconds
    while not select.select([end], [], [], 0.1)[0] and time.monotonic() < deadline:
        keep_sigterm()
    if over.is_set():
        return
    try:
        received = end.recv(16)
    except BlockingIOError:
        received = b""
    message, status = "interrupted", 128 + signal.SIGINT
    if not received:
        message, status = (
            f"error: expected all workers to connect within {seconds} seconds, found that one was "
            "lost or does not answer: start all workers again",
            2,
        )
    elif received[0] != signal.SIGINT:
        status = 128 + received[0]
    print(message, file=sys.stderr, flush=True)
    os._exit(status)


@contextmanager
def _collective_ops_without_lock():
    """Within this context, TensorFlow starts its collective operations without Python's lock.

    Its own binding holds the lock. Where its library is none that `ctypes` can load, that is left
    as it is.
    """
    from tensorflow.python import pywrap_tfe

    name = "TFE_EnableCollectiveOps"
    original = getattr(pywrap_tfe, name)
    try:
        library = ctypes.CDLL(str(Path(tf.__file__).with_name("libtensorflow_cc.so.2")))
        start = getattr(library, name)
    except (OSError, AttributeError):
        yield
        return
    pointer, python = ctypes.c_void_p, ctypes.pythonapi
    start.restype, start.argtypes = None, [pointer, ctypes.c_char_p, ctypes.c_size_t, pointer]
    library.TF_NewStatus.restype = pointer
    library.TF_GetCode.argtypes = library.TF_DeleteStatus.argtypes = [pointer]
    library.TF_Message.restype, library.TF_Message.argtypes = ctypes.c_char_p, [pointer]
    python.PyCapsule_GetPointer.restype = pointer
    python.PyCapsule_GetPointer.argtypes = [ctypes.py_object, ctypes.c_char_p]

    def enable(context, definition):
        status = library.TF_NewStatus()
        try:
            address = python.PyCapsule_GetPointer(context, None)
            start(address, definition, len(definition), status)
            if code := library.TF_GetCode(status):
                message = library.TF_Message(status).decode(errors="replace")
                raise tf.errors.OpError(None, None, message, code)
        finally:
            library.TF_DeleteStatus(status)

    setattr(pywrap_tfe, name, enable)
    try:
        yield
    finally:
        setattr(pywrap_tfe, name, original)

"""How does a process of its own end: by itself, killed at a chosen moment, or hanging?"""

import faulthandler
import os
import signal
import sys
import tempfile
import time

# Seconds that any process of these may take, on a slow machine as well.
PROCESS_TIMEOUT = 300


def run_forked(function, kill_after=None, patience=PROCESS_TIMEOUT):
    """Run a function in a process of its own, forked from this one.

    Args:
        function: Returns an exit status, or `None`.
        kill_after: Seconds after which the process is killed, if it is not done by then.
        patience: Seconds after which it is taken to hang, and made to say where.

    Returns:
        A tuple of the status as of `os.waitstatus_to_exitcode` and the text that it printed.
    """
    with tempfile.TemporaryFile("w+", errors="replace") as printed:
        sys.stdout.flush()
        process = os.fork()
        if process == 0:
            status = 70
            try:
                os.dup2(printed.fileno(), 1)
                os.dup2(printed.fileno(), 2)
                faulthandler.enable(2)
                status = function() or 0
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(status)
        if kill_after is not None:
            time.sleep(kill_after)
            os.kill(process, signal.SIGKILL)
        status = wait_or_abort(process, patience)
        printed.seek(0)
        return os.waitstatus_to_exitcode(status), printed.read()


def wait_or_abort(process, patience):
    """Wait for a forked process, and abort it after so many seconds; the status of `os.waitpid`."""
    until = time.monotonic() + patience
    while time.monotonic() < until:
        done, status = os.waitpid(process, os.WNOHANG)
        if done:
            return status
        time.sleep(0.01)
    os.kill(process, signal.SIGABRT)
    return os.waitpid(process, 0)[1]


class FileStepCounter:
    """Counts what a process does to files in a folder, and can kill it at one such step.

    Args:
        folder: Which folder.
        last: The number of the step that is not done any more; `None`: all are.
    """

    EVENTS = {"open", "os.rename", "os.remove", "os.mkdir", "shutil.rmtree"}

    def __init__(self, folder, last=None):
        self.folder, self.last, self.done = str(folder), last, 0
        sys.addaudithook(self.note)

    def note(self, event, args):
        if event in self.EVENTS and args and str(args[0]).startswith(self.folder):
            self.done += 1
            if self.done == self.last:
                os.kill(os.getpid(), signal.SIGKILL)

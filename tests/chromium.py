"""Pages in a headless Chromium, controlled by its DevTools protocol over pipes.

With `--remote-debugging-pipe`, Chromium reads commands from file descriptor 3 and writes replies
and events to 4, each a JSON object that ends with a zero byte.
"""

import itertools
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--remote-debugging-pipe",
]
# Seconds to wait for a reply.
REPLY_TIMEOUT = 60


def path():
    """Where Chromium is installed, or `None`."""
    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    return next(filter(None, map(shutil.which, names)), None)


class Browser:
    """A browser with one open page, as a context manager.

    Args:
        profile: An empty folder of its own.

    Attributes:
        messages: What pages have written to the console or thrown, as text.
        requested: The addresses that pages have requested.
    """

    def __init__(self, profile):
        self.messages, self.requested = [], []
        self.numbers, self.buffer, self.session = itertools.count(1), b"", None
        child_in, self.out = os.pipe()
        self.replies, child_out = os.pipe()
        # A process that moves the pipes to the descriptors 3 and 4, and becomes Chromium.
        moved = f"import os, sys; os.dup2({child_in}, 3); os.dup2({child_out}, 4)"
        start = [sys.executable, "-c", f"{moved}; os.execv(sys.argv[1], sys.argv[1:])"]
        self.process = subprocess.Popen(
            [*start, path(), *FLAGS, f"--user-data-dir={profile}"],
            pass_fds=(child_in, child_out),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(child_in)
        os.close(child_out)

    def __enter__(self):
        try:
            self.connect()
        except BaseException:
            self.__exit__()
            raise
        return self

    def connect(self):
        """Open a page, and subscribe to its events."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self.session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def __exit__(self, *_):
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        os.close(self.out)
        os.close(self.replies)

    def call(self, method, **parameters):
        """Send a command, and return its result."""
        number = next(self.numbers)
        message = {"id": number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.out, json.dumps(message).encode() + b"\0")
        while (reply := self.receive()).get("id") != number:
            pass
        assert "error" not in reply, reply
        return reply["result"]

    def receive(self):
        """The next message; events are recorded."""
        ends = time.monotonic() + REPLY_TIMEOUT
        while b"\0" not in self.buffer:
            ready, *_ = select.select([self.replies], [], [], max(0, ends - time.monotonic()))
            part = os.read(self.replies, 1 << 16) if ready else b""
            assert part, f"no reply from Chromium within {REPLY_TIMEOUT} s"
            self.buffer += part
        message, self.buffer = self.buffer.split(b"\0", 1)
        message = json.loads(message)
        params = message.get("params", {})
        match message.get("method"):
            case "Runtime.consoleAPICalled":
                self.messages.append(str(params["args"]))
            case "Runtime.exceptionThrown":
                self.messages.append(str(params["exceptionDetails"]))
            case "Log.entryAdded":
                self.messages.append(params["entry"]["text"])
            case "Network.requestWillBeSent":
                self.requested.append(params["request"]["url"])
        return message

    def open(self, file, width=1280, height=900, dark=False):
        """Load a file into a page of that size in pixels."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.call("Page.navigate", url=file.as_uri())
        while self.receive().get("method") != "Page.loadEventFired":
            pass

    def run(self, script):
        """The value of a JavaScript expression in the page."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def press(self, key, code=0, text=""):
        """Press and release a key."""
        named = {"key": key, "code": key, "windowsVirtualKeyCode": code}
        self.call("Input.dispatchKeyEvent", type="keyDown", text=text, **named)
        self.call("Input.dispatchKeyEvent", type="keyUp", **named)

    def drag(self, start, end):
        """Press the mouse at one point, and release it at another."""
        for kind, (x, y) in (
            ("mousePressed", start),
            ("mouseMoved", end),
            ("mouseReleased", end),
        ):
            where = {"x": x, "y": y, "button": "left", "buttons": 1, "clickCount": 1}
            self.call("Input.dispatchMouseEvent", type=kind, **where)

    def swipe(self, start, end):
        """Touch one point, and move the finger to another."""
        for kind, points in (("touchStart", [start]), ("touchMove", [end]), ("touchEnd", [])):
            points = [{"x": x, "y": y} for x, y in points]
            self.call("Input.dispatchTouchEvent", type=kind, touchPoints=points)

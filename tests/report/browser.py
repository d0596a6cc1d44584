"""Chromium without a window, driven over a pipe: a page opened, and everything it did noted.

The DevTools protocol over file descriptors 3 and 4 needs neither a port nor a library: JSON messages, each ended by a zero byte.
"""

import contextlib
import json
import os
import select
import shutil
import signal
import time
from collections.abc import Iterator
from fcntl import F_DUPFD_CLOEXEC, fcntl
from pathlib import Path
from typing import Any

FOUND = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable"))), None)
QUIET = ("quic", "background-networking", "component-update", "sync", "gpu", "dev-shm-usage")
FLAGS = ["--headless", "--no-sandbox", "--no-first-run", "--hide-scrollbars", *(f"--disable-{name}" for name in QUIET)]
PATIENCE_S = 60.0
WATCHED = ("Page", "Runtime", "Log", "Network")


class Browser:
    """A page in a browser: `ask` sends a command and waits for its answer, `events` are all that came meanwhile."""

    def __init__(self, into: int, out_of: int) -> None:
        self.into, self.out_of = into, out_of
        self.number, self.unread, self.session = 0, b"", ""
        self.events: list[dict[str, Any]] = []
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in WATCHED:
            self.ask(f"{domain}.enable")

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters} | ({"sessionId": self.session} if self.session else {})
        os.write(self.into, json.dumps(message).encode() + b"\0")
        while (answer := self._receive()).get("id") != self.number:
            self.events.append(answer)
        assert "error" not in answer, f"{method}: {answer['error']}"
        return answer["result"]

    def open(self, path: Path, width_px: int = 1200, dark: bool = False, height_px: int = 900) -> None:
        """Load a file and wait until all of it is there."""
        self.ask("Emulation.setDeviceMetricsOverride", width=width_px, height=height_px, deviceScaleFactor=1, mobile=False)
        self.ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])
        self.events.clear()
        self.ask("Page.navigate", url=path.as_uri())
        while not any(event.get("method") == "Page.loadEventFired" for event in self.events):
            self.events.append(self._receive())

    def value(self, expression: str) -> Any:
        """What a JavaScript expression gives in the page."""
        answer = self.ask("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def complaints(self) -> list[str]:
        """What the console shows of the page: errors, warnings, messages, forbidden contents."""
        noted = ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded")
        return [json.dumps(event["params"]) for event in self.events if event.get("method") in noted]

    def requests(self) -> list[str]:
        """The addresses that the page asked for, without its own and those of what it carries itself."""
        asked = [event["params"]["request"]["url"] for event in self.events if event.get("method") == "Network.requestWillBeSent"]
        return [url for url in asked[1:] if not url.startswith("data:")]

    def _receive(self) -> dict[str, Any]:
        until = time.monotonic() + PATIENCE_S
        while b"\0" not in self.unread:
            ready, _, _ = select.select([self.out_of], [], [], max(0.0, until - time.monotonic()))
            assert ready, f"no answer from the browser within {PATIENCE_S} s"
            self.unread += (came := os.read(self.out_of, 2**16))
            assert came, "the browser has ended"
        message, self.unread = self.unread.split(b"\0", 1)
        return json.loads(message)


@contextlib.contextmanager
def browser(folder: Path) -> Iterator[Browser]:
    """A browser with a profile of its own in `folder`, ended with the block."""
    assert FOUND is not None
    (theirs_in, ours_in), (ours_out, theirs_out) = os.pipe(), os.pipe()
    # Above 3 and 4, where the browser wants to find them: a number given to both ends at once would be closed by its own copy.
    high_in, high_out = (fcntl(fd, F_DUPFD_CLOEXEC, 10) for fd in (theirs_in, theirs_out))
    log = (os.POSIX_SPAWN_OPEN, 2, str(folder / "browser.log"), os.O_WRONLY | os.O_CREAT, 0o600)
    actions = [(os.POSIX_SPAWN_DUP2, high_in, 3), (os.POSIX_SPAWN_DUP2, high_out, 4), log]
    words = [FOUND, *FLAGS, "--remote-debugging-pipe", f"--user-data-dir={folder / 'profile'}"]
    process = os.posix_spawn(FOUND, words, dict(os.environ), file_actions=actions, setpgroup=0)
    for fd in (theirs_in, theirs_out, high_in, high_out):
        os.close(fd)
    try:
        yield Browser(ours_in, ours_out)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process, signal.SIGKILL)
        os.waitpid(process, 0)
        os.close(ours_in)
        os.close(ours_out)

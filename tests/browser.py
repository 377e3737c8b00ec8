"""A headless Chromium for tests of pages, driven through a pipe by its DevTools protocol: no driver
and no package needed.

It can reach no host, and what it would have asked one for is recorded.
"""

import base64
import json
import os
import select
import shutil
import subprocess
import sys
import time

PROGRAM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))),
    None,
)
OPTIONS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--hide-scrollbars",
    "--no-first-run",
    "--remote-debugging-pipe",
]
OPTIONS += ["--host-resolver-rules=MAP * ~NOTFOUND"]

# Chromium reads commands from file descriptor 3 and answers on 4.
LAUNCH = """
import fcntl, os, sys
ends = [fcntl.fcntl(int(end), fcntl.F_DUPFD, 10) for end in sys.argv[1:3]]
for end, place in zip(ends, (3, 4)):
    os.dup2(end, place)
os.execv(sys.argv[3], sys.argv[3:])
"""


FIND = """((root, selector) => {
  const inside = node => [...(node.shadowRoot?.children ?? []), ...node.children]
  const walk = node => [node, ...inside(node).flatMap(walk)]
  return walk(root).filter(node => node.matches(selector))
})"""
BOXES = """(found => {
  found[0]?.scrollIntoView({block: "center"})
  const boxes = found.map(node => node.getBoundingClientRect())
  return boxes.map(box => [box.x, box.y, box.width, box.height])
})"""


class Browser:
    """One browser with one page; use as a context manager."""

    def __init__(self, folder):
        reads, self.commands = os.pipe()
        self.answers, writes = os.pipe()
        command = [
            sys.executable,
            "-c",
            LAUNCH,
            str(reads),
            str(writes),
            PROGRAM,
            *OPTIONS,
            f"--user-data-dir={folder}",
        ]
        self.process = subprocess.Popen(
            command, pass_fds=(reads, writes), stderr=subprocess.DEVNULL
        )
        os.close(reads)
        os.close(writes)
        self.count, self.rest, self.events, self.session = 0, b"", [], {}
        target = self("Target.createTarget", url="about:blank")["targetId"]
        self.session = {
            "sessionId": self("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        }
        for domain in ("Page", "Runtime", "Log", "Network"):
            self(f"{domain}.enable")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(20)
        os.close(self.commands)
        os.close(self.answers)

    def __call__(self, method, **params):
        """Send one command and return its result; events that come before it are kept."""
        self.count += 1
        os.write(
            self.commands,
            json.dumps(
                {"id": self.count, "method": method, "params": params, **self.session}
            ).encode()
            + b"\0",
        )
        while True:
            message = self.receive()
            if message.get("id") == self.count:
                if "error" in message:
                    raise RuntimeError(f"{method}: {message['error']}")
                return message["result"]
            self.events.append(message)

    def receive(self, timeout=60):
        while b"\0" not in self.rest:
            if not select.select([self.answers], [], [], timeout)[0]:
                raise TimeoutError("the browser does not answer")
            self.rest += (more := os.read(self.answers, 1 << 20))
            if not more:
                raise ConnectionError("the browser has ended")
        message, self.rest = self.rest.split(b"\0", 1)
        return json.loads(message)

    def open(self, path, width=1200, height=900, touch=False, ready="true"):
        """Open a file and wait until the JavaScript expression `ready` is true."""
        self.events.clear()
        self.width(width, height, touch)
        self("Emulation.setTouchEmulationEnabled", enabled=touch)
        self("Page.navigate", url=path.as_uri())
        self.wait(f"document.readyState == 'complete' && ({ready})")

    def width(self, width, height=900, mobile=False):
        """Make the window as wide as that, also while it shows a page."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": mobile}
        self("Emulation.setDeviceMetricsOverride", **size)

    def wait(self, expression, seconds=30):
        end = time.monotonic() + seconds
        while not self.js(expression):
            if time.monotonic() > end:
                raise TimeoutError(
                    f"not true within {seconds} s: {expression}; {self.complaints()}"
                )
            time.sleep(0.02)

    def js(self, expression):
        """The value of a JavaScript expression, JSON-able or a promise of that."""
        done = self(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        if "exceptionDetails" in done:
            raise RuntimeError(
                done["exceptionDetails"]["exception"].get("description", "") + f" in {expression}"
            )
        return done["result"].get("value")

    def boxes(self, selector, within="document.body"):
        """Left, top, width and height of every element of `selector` below `within`, shadow
        trees included, the first in sight."""
        found = self.js(f"{BOXES}({FIND}({within}, {json.dumps(selector)}))")
        assert found, f"no {selector} in the page"
        return found

    def text(self, selector):
        """The text of the first element of `selector`, shadow trees included, once there is one."""
        found = f"{FIND}(document.body, {json.dumps(selector)})"
        self.wait(f"{found}.length > 0")
        return self.js(f"(node => (node.shadowRoot ?? node).textContent)({found}[0])")

    def mouse(self, kind, x, y, **more):
        """`kind`: mouseMoved, mousePressed or mouseReleased; x, y from the top left of the
        window, which must show them."""
        self("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)

    def click(self, x, y):
        self.mouse("mouseMoved", x, y)
        for kind in ("mousePressed", "mouseReleased"):
            self.mouse(kind, x, y, button="left", clickCount=1)

    def drag(self, *points):
        """One finger put down at the first of `points` and drawn along the others."""
        for kind, (x, y) in zip(
            ("touchStart", *["touchMove"] * (len(points) - 1)), points, strict=True
        ):
            self("Input.dispatchTouchEvent", type=kind, touchPoints=[{"x": x, "y": y}])
        self("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])

    def key(self, key, modifiers=0, text=""):
        for kind in ("keyDown", "keyUp"):
            more = {"text": text} if text and kind == "keyDown" else {}
            self("Input.dispatchKeyEvent", type=kind, key=key, modifiers=modifiers, **more)

    def scheme(self, name):
        """Prefer the colour scheme `name`: light or dark."""
        preference = {"name": "prefers-color-scheme", "value": name}
        self("Emulation.setEmulatedMedia", features=[preference])

    def screenshot(self, path):
        shot = self("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(shot["data"]))

    def print(self, path):
        path.write_bytes(base64.b64decode(self("Page.printToPDF", printBackground=True)["data"]))

    def complaints(self):
        """What the page threw, logged as a warning or an error, or could not load."""
        found = []
        for event in self.events:
            method, params = event.get("method"), event.get("params", {})
            if method == "Runtime.exceptionThrown":
                found.append(
                    params["exceptionDetails"].get("exception", {}).get("description", "exception")
                )
            elif method == "Runtime.consoleAPICalled" and params["type"] in (
                "error",
                "warning",
                "assert",
            ):
                found.append(
                    str([part.get("value", part.get("description")) for part in params["args"]])
                )
            elif method == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
                found.append(params["entry"]["text"])
        return found

    def requests(self):
        """Every address that the page asked for, itself included."""
        return [
            event["params"]["request"]["url"]
            for event in self.events
            if event.get("method") == "Network.requestWillBeSent"
        ]

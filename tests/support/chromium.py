"""A headless Chromium, driven by its command line: what a page looks like, and what a script in it finds."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from html import unescape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
)


@dataclass
class Site:
    """Pages served on the loopback; `asked` notes every path that was asked for."""

    url: str
    pages: dict[str, tuple[str, Mapping[str, str]]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def serve(self, path: str, html: str, headers: Mapping[str, str] | None = None) -> str:
        """Offer a page; its address."""
        self.pages[path] = (html, headers or {})
        return self.url + path


@contextmanager
def site() -> Iterator[Site]:
    """A small web server on a port of the kernel's choice."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            served.asked.append(self.path)
            html, headers = served.pages.get(self.path, ("", {}))
            self.send_response(200 if self.path in served.pages else 404)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(html.encode())

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served = Site(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, args=[0.02], daemon=True)
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def run(url: str, *flags: str) -> str:
    """What Chromium writes to its standard output for this address; fails where there is no Chromium."""
    program = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chromium-browser")
    if program is None:
        pytest.fail("these tests need headless Chromium: apt-get install chromium")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [program, *FLAGS, f"--user-data-dir={profile}", *flags, url]
        done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=True)
    return done.stdout


def screenshot(url: str, into: Path, *flags: str, width: int = 1000, height: int = 1400) -> Image.Image:
    """The page's first screen as a picture."""
    run(url, f"--screenshot={into}", f"--window-size={width},{height}", *flags)
    return Image.open(into).convert("RGB")


def evaluate(served: Site, html: str, script: str, *flags: str, width: int = 1000) -> Any:
    """The JSON value of a JavaScript function of (document, window) of the page, laid out `width` pixels wide."""
    served.serve("/page", html)
    driver = f"""<!DOCTYPE html><body><iframe id="f" src="/page" width="{width}" height="900"></iframe><pre id="out"></pre>
    <script>f.onload = async () => {{
      const found = await ({script})(f.contentDocument, f.contentWindow);
      out.textContent = "RESULT" + JSON.stringify(found) + "END";
    }}</script>"""
    patience = ("--dump-dom", "--virtual-time-budget=20000", "--window-size=1400,1000")
    dumped = run(served.serve("/driver", driver), *patience, *flags)
    match = re.search(r"RESULT(.*)END</pre>", dumped, re.DOTALL)
    assert match, dumped[-2000:]
    return json.loads(unescape(match.group(1)))

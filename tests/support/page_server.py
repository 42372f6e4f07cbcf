"""A small web server on the loopback interface for pages that a test makes up, or for a folder of files."""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


@dataclass
class Site:
    """Pages that are served under `url`; `requested` lists every path that was requested, in order."""

    url: str
    pages: dict[str, tuple[str, Mapping[str, str]]] = field(default_factory=dict)
    requested: list[str] = field(default_factory=list)

    def serve(self, path: str, html: str, headers: Mapping[str, str] | None = None) -> str:
        """Serve this page from now on; returns its address."""
        self.pages[path] = (html, headers or {})
        return self.url + path


@contextmanager
def served_pages() -> Iterator[Site]:
    """A web server without pages; `Site.serve` adds them."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            site.requested.append(self.path)
            html, headers = site.pages.get(self.path, ("", {}))
            self.send_response(200 if self.path in site.pages else 404)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(html.encode())

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it
            pass

    with _running(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as url:
        site = Site(url)
        yield site


@contextmanager
def served_folder(folder: Path) -> Iterator[str]:
    """The address of a web server of this folder's files."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it
            pass

    with _running(ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))) as url:
        yield url


@contextmanager
def _running(server: ThreadingHTTPServer) -> Iterator[str]:
    # polled often: the default of half a second would be added to every test that stops a server
    thread = threading.Thread(target=server.serve_forever, args=[0.02], daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

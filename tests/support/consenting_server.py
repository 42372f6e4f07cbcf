"""A small upload server at a real address, which consents (or not) by a file; run in a network namespace of its own.

    python consenting_server.py ADDRESS PORT FOLDER

Says "ready" and its port, which is one of the kernel's choice for PORT 0.

PUT keeps the photo's digest and answers 201. FOLDER/consent is what /.well-known/load-test-consent answers: a status in the
first line, headers until an empty line, then the body; without it 404, and "silent" answers nothing. FOLDER/consent-CLIENT goes
before it for a client with that address. FOLDER/redirect makes uploads answer 307 to its content. FOLDER/requests gets a line a
request: time, method, path, and header names with values.
"""

import hashlib
import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

FOLDER = Path(sys.argv[-1])
LOCK = threading.Lock()
STORED: dict[str, str] = {}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    wbufsize = -1
    disable_nagle_algorithm = True

    def do_GET(self):
        self.note()
        if self.path == "/.well-known/load-test-consent":
            self.consent()
        elif self.path == "/stored":
            self.say(200, "".join(f"{digest}  {path}\n" for path, digest in STORED.items()).encode())
        elif self.path == "/metrics":
            self.say(200, f"own_uploads_total {len(STORED)}\nharness_pages_delivered_total 1e9\n".encode())
        else:
            self.say(404, b"")

    def do_PUT(self):
        self.note()
        body = self.rfile.read(int(self.headers["Content-Length"]))
        redirect = FOLDER / "redirect"
        if redirect.exists():
            self.say(307, b"", {"Location": redirect.read_text().strip()})
            return
        STORED[self.path] = hashlib.sha256(body).hexdigest()
        self.say(201, b"")

    def do_POST(self):
        self.note()
        self.rfile.read(int(self.headers["Content-Length"]))
        self.say(200, json.dumps({"token": "given-at-the-login"}).encode())

    def consent(self):
        own = FOLDER / f"consent-{self.client_address[0]}"
        try:
            text = (own if own.exists() else FOLDER / "consent").read_text()
        except FileNotFoundError:
            self.say(404, b"")
            return
        if text == "silent":
            time.sleep(30)
            self.close_connection = True
            return
        head, _, body = text.partition("\n\n")
        status, *headers = head.split("\n")
        self.say(int(status), body.encode(), dict(header.split(": ", 1) for header in headers))

    def note(self):
        with LOCK, (FOLDER / "requests").open("a") as file:
            file.write(json.dumps([time.monotonic(), self.command, self.path, dict(self.headers)]) + "\n")

    def say(self, status, body, headers=None):
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def log_request(self, code="-", size="-"):
        """Say nothing."""


class Server(ThreadingHTTPServer):
    request_queue_size = 512
    daemon_threads = True


if __name__ == "__main__":
    server = Server((sys.argv[1], int(sys.argv[2])), Handler)
    sys.stdout.write(f"ready {server.server_port}\n")
    sys.stdout.flush()
    server.serve_forever()

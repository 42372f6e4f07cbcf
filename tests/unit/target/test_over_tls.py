"""Consent, what is stored and metrics of a target that speaks TLS: read where the certificate is good, refused with the reason else."""

from __future__ import annotations

import contextlib
import http.server
import json
import socket
import threading
import time
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from harness.base.address import Origin
from harness.base.errors import UsageError
from harness.measure.scraper import Scraper
from harness.plan import make_plan
from harness.run_folder import scrape_log
from harness.runner.server import collect_stored
from harness.scenario.loader import load_scenario
from harness.scenario.target import TargetApi
from harness.target import consent
from harness.target.connect import TlsPeer, make_tls_context
from harness.target.consent_reader import ConsentUnreadableError, load_machine_secret, read_consent, state_folder
from harness.target.external import ExternalTarget, admit_target
from mock_server.net import tls as server_tls

TOKEN = "ltc1-" + "0" * 40
NAME = "/{station}/{form}/{page}.jpg"


@pytest.fixture(scope="module")
def plan():
    return make_plan(load_scenario("smoke", ["photos.size=2KB", "photos.bank=1", "stations.count=2"]))


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    return server_tls.make_certificate(tmp_path_factory.mktemp("certificate"), "127.0.0.1")


@pytest.fixture(scope="module")
def authority(certificate):
    return certificate[0]


def document(token=TOKEN):
    until = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    return json.dumps(
        {"token": token, "contact": "me@example.org", "until": until, "max_requests_per_s": 1000}
    ).encode()


@contextlib.contextmanager
def serving(certificate, answers):
    """A real server that speaks TLS with this certificate; `answers` maps paths to bodies. Gives its port."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = answers.get(self.path)
            self.send_response(404 if body is None else 200)
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            self.wfile.write(body or b"")

        def log_request(self, code="-", size="-"):
            """Say nothing."""

    class Server(http.server.ThreadingHTTPServer):
        def handle_error(self, request, client_address):
            """A handshake that the other side gives up is what this is about."""

    server = Server(("127.0.0.1", 0), Handler)
    server.socket = server_tls.server_context(*certificate).wrap_socket(
        server.socket, server_side=True, do_handshake_on_connect=False
    )
    thread = threading.Thread(target=server.serve_forever, args=[0.02])
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def contexts(authority):
    """(what is trusted, the name that is asked for, what is wrong with it)."""
    ours = make_tls_context(authority.read_text())
    return [
        (ours, "127.0.0.1", ""),
        (make_tls_context(None), "127.0.0.1", "CERTIFICATE_VERIFY_FAILED.*self.signed certificate"),
        (None, "127.0.0.1", "CERTIFICATE_VERIFY_FAILED.*self.signed certificate"),
        (ours, "photos.example", "CERTIFICATE_VERIFY_FAILED.*Hostname mismatch"),
    ]


@pytest.mark.heavy
@pytest.mark.parametrize("case", range(4))
def test_a_consent_is_read_over_tls_and_one_behind_a_wrong_certificate_is_none(certificate, authority, case):
    context, name, wrong = contexts(authority)[case]
    with serving(certificate, {consent.CONSENT_PATH: document()}) as port:
        origin = Origin("https", name, port)
        if wrong:
            with pytest.raises(ConsentUnreadableError, match=wrong):
                read_consent(origin, "127.0.0.1", TOKEN, context)
        else:
            assert read_consent(origin, "127.0.0.1", TOKEN, context).contact == "me@example.org"


@pytest.mark.heavy
def test_a_target_that_never_ends_its_handshake_is_given_up_in_time():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        with pytest.raises(ConsentUnreadableError, match="TimeoutError"):
            read_consent(Origin("https", "127.0.0.1", silent.getsockname()[1]), "127.0.0.1", TOKEN)
        assert time.monotonic() - began < 10 * consent.READ_TIMEOUT_S


@pytest.mark.heavy
@pytest.mark.parametrize("trusted", [True, False])
def test_a_target_elsewhere_is_examined_over_tls_and_refused_where_its_certificate_is_wrong(
    certificate, authority, plan, tmp_path, monkeypatch, trusted
):
    monkeypatch.setattr("harness.target.external.is_loopback", lambda _: False)
    environment = {"XDG_STATE_HOME": str(tmp_path)}
    sets = [f"client.tls.authority={authority}"] if trusted else []
    scenario = load_scenario("smoke", ["photos.size=2KB", "photos.bank=1", "stations.count=2", *sets])
    answers: dict[str, bytes] = {}
    with serving(certificate, answers) as port:
        origin = Origin("https", "127.0.0.1", port)
        token = consent.derive_token(load_machine_secret(state_folder(environment)), origin)
        answers[consent.CONSENT_PATH] = document(token)
        if trusted:
            found = admit_target(str(origin), scenario, plan, 1, environment, allow_command=False)
            assert (found.token, found.consent is not None, found.context is not None) == (token, True, True)
        else:
            with pytest.raises(UsageError, match=r"it has not consented to this.*CERTIFICATE_VERIFY_FAILED"):
                admit_target(str(origin), scenario, plan, 1, environment, allow_command=False)


@pytest.mark.heavy
@pytest.mark.parametrize(
    "stored", [{"kind": "url", "path": "/list", "format": "digests"}, {"kind": "fetch", "path": NAME}]
)
@pytest.mark.parametrize("case", range(4))
def test_what_is_stored_is_read_over_tls_and_unread_with_the_reason_behind_a_wrong_certificate(
    certificate, authority, plan, tmp_path, stored, case
):
    context, name, wrong = contexts(authority)[case]
    files = {NAME.format(**plan.key(n)._asdict()): b"".join(map(bytes, plan.photo(n))) for n in range(plan.pages)}
    listing = "".join(f"{page.sha256}\n" for page in plan).encode()
    with serving(certificate, {"/list": listing, **files}) as port:
        api = TargetApi.model_validate({"path": "/x", "stored": stored})
        foreign = ExternalTarget(Origin("https", name, port), "127.0.0.1", api, context=context)
        folder = SimpleNamespace(stored=tmp_path / "stored.parquet")
        spec: Any = SimpleNamespace(external=foreign, plan=plan, folder=folder)
        nobody: Any = None
        record = collect_stored(nobody, spec, None)
    assert folder.stored.exists() is not bool(wrong)
    if wrong:
        assert "CERTIFICATE_VERIFY_FAILED" in record.reason
        assert not record.accepted
    else:
        assert record.reason == ""


@pytest.mark.heavy
@pytest.mark.parametrize("case", [0, 1, 3])
def test_metrics_are_scraped_over_tls_and_a_wrong_certificate_is_a_scrape_that_failed(
    certificate, authority, tmp_path, case
):
    context, name, wrong = contexts(authority)[case]
    api = TargetApi.model_validate({"path": "/x", "metrics": [{"name": "app", "port": 1, "tls": True}]})
    with serving(certificate, {"/metrics": b"up 1\n"}) as port:
        foreign = ExternalTarget(Origin("https", name, 443), "127.0.0.1", api, context=context)
        assert foreign.metrics() == {"app": "https://127.0.0.1:1/metrics"}
        secure = foreign.secure
        assert secure == TlsPeer(context, name)
        targets = {"app": f"https://127.0.0.1:{port}/metrics"}
        Scraper(tmp_path, targets, lambda: 1.0, secure=secure).scrape_now()
    (scrape,) = scrape_log.read_scrapes(tmp_path, "app")
    if wrong:
        assert scrape.text == ""
        assert "CERTIFICATE_VERIFY_FAILED" in scrape.error
    else:
        assert (scrape.text, scrape.error) == ("up 1\n", "")

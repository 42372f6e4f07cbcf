"""Uploads as a scenario's [target] says: what goes on the wire, and what the answers mean."""

import hashlib
from email.parser import BytesParser
from email.policy import HTTP

import pytest

from harness.base.errors import UsageError
from harness.base.model import Outcome
from harness.drive.client.outcomes import MalformedResponseError
from harness.drive.client.protocols import multipart, put
from harness.drive.client.protocols.base import Photo, UploadContext
from harness.drive.client.protocols.templated import TemplatedContext, build_api
from harness.drive.client.response import HttpResponse
from harness.scenario.target import TargetApi

BODY, TAIL = b"\xff\xd8 a photo \r\n--", b"its tail\xff\xd9"
READING = '{"chart":{"100025":7}}'
PHOTO = Photo("3509191001001", "ppwp", 2, memoryview(BODY), TAIL, hashlib.sha256(BODY + TAIL).hexdigest(), READING)
CONTEXT = UploadContext("127.0.0.1:80", "t0ken", 3, 10.0, idempotency_key=True)


def api(environment=None, **table):
    return build_api(TargetApi.model_validate({"path": "/x", **table}), environment or {})


def sent(target, context=CONTEXT):
    """(request line, headers, body) as a parser of mail's and HTTP's messages understands them."""
    before, after = target.frame(PHOTO, context)
    line, _, rest = before.partition(b"\r\n")
    message = BytesParser(policy=HTTP).parsebytes(rest + BODY + TAIL + after)
    body = (rest + BODY + TAIL + after).partition(b"\r\n\r\n")[2]
    assert int(message["Content-Length"]) == len(body)
    return line.decode(), message, body


def test_a_raw_upload_is_the_photo_with_the_scenarios_headers_and_no_others():
    headers = {
        "Authorization": "Bearer ${TARGET_KEY}",
        "X-Digest": "sha-256=:{digest}:",
        "X-What": "{form}/{page} {size} {attempt}",
    }
    line, message, body = sent(
        api({"TARGET_KEY": "{page}"}, path="/p/{station}/{page}.jpg?r={reading}", headers=headers)
    )
    assert line == "PUT /p/3509191001001/2.jpg?r=%7B%22chart%22%3A%7B%22100025%22%3A7%7D%7D HTTP/1.1"
    assert body == BODY + TAIL
    assert message["Authorization"] == "Bearer {page}"  # what the environment says is filled in once
    assert message["X-What"] == f"ppwp/2 {len(BODY + TAIL)} 3"
    assert set(message.keys()) == {"Host", "Authorization", "X-Digest", "X-What", "Content-Type", "Content-Length"}
    assert message["Content-Type"] == "image/jpeg"


def test_a_multipart_upload_has_its_parts_in_their_order_around_the_photo():
    parts = [
        {"name": "meta", "value": '{"station": "{station}", "reading": {reading}}', "content_type": "application/json"},
        {"name": "photo", "filename": "{station}-{page}.jpg"},
        {"name": "key", "value": "${TARGET_KEY}"},
    ]
    line, message, _ = sent(api({"TARGET_KEY": "k"}, method="POST", body="multipart", parts=parts))
    assert line == "POST /x HTTP/1.1"
    meta, photo, key = message.iter_parts()
    assert meta.get_content().decode().strip() == f'{{"station": "3509191001001", "reading": {READING}}}'
    assert meta.get_content_type() == "application/json"
    assert photo.get_payload(decode=True) == BODY + TAIL
    assert (photo.get_filename(), photo.get_content_type()) == ("3509191001001-2.jpg", "image/jpeg")
    assert key.get_payload() == "k"
    names = [part.get_param("name", header="content-disposition") for part in (meta, photo, key)]
    assert names == ["meta", "photo", "key"]


def test_tus_gets_the_scenarios_headers_and_nothing_of_the_mocks():
    target = api({"TARGET_KEY": "k"}, path="/files", headers={"X-Api-Key": "${TARGET_KEY}"})
    context = TemplatedContext("h", "", 1, 10.0, idempotency_key=True, api=target)
    assert context.headers(PHOTO, 3.0) == ["Host: h", "X-Api-Key: k"]
    assert target.path == "/files"


LOGIN = {
    "path": "/login",
    "token": "/data/0/token",
    "body": '{"who": "{station}", "pin": "{pin}", "app": "${TARGET_APP}"}',
}


def answer(body=b"", status=200, **headers):
    return HttpResponse(
        status, [(name.encode(), value.encode()) for name, value in headers.items()], body, keep_alive=True
    )


def test_a_login_is_filled_in_and_its_token_found_where_the_scenario_says():
    target = api({"TARGET_APP": "a"}, login=LOGIN)
    head, _, body = target.format_login("h", "3509191001001", "001001").partition(b"\r\n\r\n")
    assert head.startswith(b"POST /login HTTP/1.1\r\nHost: h\r\n")
    assert body == b'{"who": "3509191001001", "pin": "001001", "app": "a"}'
    assert target.parse_token(answer(b'{"data": [{"token": "abc"}]}')) == "abc"
    assert api(login={"path": "/l", "token": "header:X-Token"}).parse_token(answer(**{"x-token": "abc"})) == "abc"


@pytest.mark.parametrize("body", [b"", b"[]", b'{"data": []}', b'{"data": [{"token": 7}]}', b'{"data": [{"token": "a\\r\\nX: y"}]}', b'{"data": [{"token": ""}]}', b"[" * 100_000])  # fmt: skip
def test_a_token_that_is_none_or_would_break_a_header_is_malformed(body):
    with pytest.raises(MalformedResponseError):
        api({"TARGET_APP": "a"}, login=LOGIN).parse_token(answer(body))


def test_a_status_that_the_scenario_does_not_mention_is_never_an_acknowledgement():
    target = api(statuses={"accepted": [201], "replayed": [409]})
    assert [target.classify_status(status) for status in (201, 409, 200, 302, 404)] == [
        Outcome.ACCEPTED, Outcome.REPLAYED, Outcome.MALFORMED, Outcome.MALFORMED, Outcome.REJECTED,
    ]  # fmt: skip


def test_percent_signs_of_a_scenario_stay_as_they_are():
    target = api(
        {"TARGET_KEY": "100%s"},
        method="PUT",
        path="/a%20b/{page}",
        headers={"X-Rate%": "5%d {station}", "X": "${TARGET_KEY}"},
    )
    head, _ = target.frame(PHOTO, CONTEXT)
    assert b"PUT /a%20b/2 HTTP/1.1\r\n" in head
    assert b"X-Rate%: 5%d 3509191001001\r\n" in head
    assert b"X: 100%s\r\n" in head


@pytest.mark.parametrize(
    ("told", "makes"),
    [({"path": "/{station}/{page}"}, False), ({"path": "/{sha256}"}, True), ({"headers": {"Content-Digest": "sha-256=:{digest}:"}}, True), ({"headers": {"Votes": "{reading}"}}, True)],
)  # fmt: skip
def test_a_target_that_is_told_neither_digest_nor_reading_is_known(told, makes):
    assert api(**told).makes_claims is makes


def test_a_variable_that_is_not_set_is_named_before_anything_is_sent():
    with pytest.raises(UsageError, match="TARGET_KEY"):
        api(headers={"X": "${TARGET_KEY}"})


OWN = Photo(
    "CLINIC 7/ä", "consent form", 2, memoryview(BODY), TAIL, "ab" * 32, "",
    {"station.email": "a@example.org", "account.key": "geheim"}, "application/pdf", "pdf",
)  # fmt: skip


def test_columns_of_the_users_files_are_filled_in_and_any_code_is_encoded_in_a_path():
    target = api(
        path="/p/{station}/{form}/{page}?m={station.email}",
        headers={"X-Station": "{station}", "X-Key": "{account.key}"},
    )
    before, _ = target.frame(OWN, CONTEXT)
    head = before.decode()
    assert head.startswith("PUT /p/CLINIC%207%2F%C3%A4/consent%20form/2?m=a%40example.org HTTP/1.1\r\n")
    assert "X-Station: CLINIC 7/ä\r\nX-Key: geheim\r\n" in head
    assert "Content-Type: application/pdf\r\n" in head


def test_a_login_may_use_the_columns_too():
    login = {"path": "/login", "body": '{"who": "{station.email}", "password": "{account.key}"}', "token": "/t"}
    request = api(login=login).format_login("h", "CLINIC-7", "1", {"station.email": "a@b", "account.key": "geheim"})
    assert request.endswith(b'{"who": "a@b", "password": "geheim"}')


@pytest.mark.parametrize("build", [put.build_head, multipart.build_head])
def test_the_mocks_own_requests_take_any_code_too(build):
    head = build(OWN, CONTEXT)
    assert b" /v1/stations/CLINIC%207%2F%C3%A4/forms/consent%20form/pages/2 HTTP/1.1\r\n" in head
    assert b'Idempotency-Key: "CLINIC%207%2F%C3%A4/consent%20form/2/abababababababab"\r\n' in head
    assert b"Content-Type: application/pdf\r\n" in head

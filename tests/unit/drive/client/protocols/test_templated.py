"""Uploads as a scenario's [target] says: what goes on the wire, and what the answers mean."""

import hashlib
import json
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any

import pytest

from harness.base.address import Origin
from harness.base.errors import UsageError
from harness.base.model import MalformedReason, Outcome
from harness.drive.client.outcomes import MalformedResponseError
from harness.drive.client.protocols import make_upload, multipart, put
from harness.drive.client.protocols.base import LoginRefusedError, UploadContext
from harness.drive.client.protocols.single import SingleUpload
from harness.drive.client.protocols.templated import Elsewhere, TemplatedContext, TemplatedUpload, build_api
from harness.protocol import Photo
from harness.scenario.client import ClientOptions
from harness.scenario.target import TargetApi
from tests.support.fake_connection import CutError, FakeConnection, answer

BODY, TAIL = b"\xff\xd8 a photo \r\n--", b"its tail\xff\xd9"
READING = '{"chart":{"100025":7}}'
PHOTO = Photo("3509191001001", "ppwp", 2, memoryview(BODY), TAIL, hashlib.sha256(BODY + TAIL).hexdigest(), READING)
ORIGIN, OTHER = Origin("http", "127.0.0.1", 80), Origin("http", "files", 9000)


def api(environment=None, **table):
    if "steps" not in table:
        table.setdefault("path", "/x")
    return build_api(TargetApi.model_validate(table), environment or {})


def context_of(target):
    found = TemplatedContext("127.0.0.1:80", "", 3, 10.0, idempotency_key=True, api=target)
    found.pin, found.origin = "001001", ORIGIN
    return found


def connect(*answers):
    """A connection to a server that gives these answers, one after another."""
    left = list(answers)

    def respond(_):
        found = left.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    connection: Any = FakeConnection(respond)
    return connection


def upload(target, *answers, context=None):
    """One attempt: its result and the requests."""
    connection = connect(*answers)
    context = context or context_of(target)
    result = TemplatedUpload(PHOTO, target, context.station).attempt(connection, context)
    return result, connection.requests


def sent(target, *answers):
    """(request line, headers, body) of the last request, as a parser of mail's and HTTP's messages understands them."""
    _, requests = upload(target, *answers, answer(201))
    request = requests[-1]
    head = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
    message = BytesParser(policy=HTTP).parsebytes(head.encode() + b"\r\n" + request.body)
    assert int(message["Content-Length"]) == len(request.body)
    return f"{request.method} {request.path}", message, request.body


def test_a_raw_upload_is_the_photo_with_the_scenarios_headers_and_no_others():
    headers = {
        "Authorization": "Bearer ${TARGET_KEY}",
        "X-Digest": "sha-256=:{digest}:",
        "X-What": "{form}/{page} {size} {attempt}",
    }
    line, message, body = sent(
        api({"TARGET_KEY": "{page}"}, path="/p/{station}/{page}.jpg?r={reading}", headers=headers)
    )
    assert line == "PUT /p/3509191001001/2.jpg?r=%7B%22chart%22%3A%7B%22100025%22%3A7%7D%7D"
    assert body == BODY + TAIL
    assert message["Authorization"] == "Bearer {page}"  # what the environment says is filled in once
    assert message["X-What"] == f"ppwp/2 {len(BODY + TAIL)} 3"
    names = {"host", "authorization", "x-digest", "x-what", "content-type", "content-length"}
    assert set(message.keys()) == names
    assert message["Content-Type"] == "image/jpeg"


def test_a_multipart_upload_has_its_parts_in_their_order_around_the_photo():
    parts = [
        {"name": "meta", "value": '{"station": "{station}", "reading": {reading}}', "content_type": "application/json"},
        {"name": "photo", "filename": "{station}-{page}.jpg"},
        {"name": "key", "value": "${TARGET_KEY}"},
    ]
    line, message, _ = sent(api({"TARGET_KEY": "k"}, method="POST", body="multipart", parts=parts))
    assert line == "POST /x"
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
    assert context_of(target).headers(PHOTO, 3.0) == ["Host: 127.0.0.1:80", "X-Api-Key: k"]
    assert target.path == "/files"


LOGIN = {
    "path": "/login",
    "token": "/data/0/token",
    "body": '{"who": "{station}", "pin": "{pin}", "app": "${TARGET_APP}"}',
}
BEARER = {"Authorization": "Bearer {token}"}


def test_a_login_is_filled_in_and_its_token_found_where_the_scenario_says():
    target = api({"TARGET_APP": "a"}, login=LOGIN, headers=BEARER)
    _, (login, photo) = upload(target, answer(200, b'{"data": [{"token": "abc"}]}'), answer(201))
    assert (login.method, login.path, login.headers["host"]) == ("POST", "/login", "127.0.0.1:80")
    assert login.headers["content-type"] == "application/json"
    assert login.body == b'{"who": "3509191001001", "pin": "001001", "app": "a"}'
    assert photo.headers["authorization"] == "Bearer abc"
    in_header = api(login={"path": "/l", "token": "header:X-Token"}, headers=BEARER)
    _, (_, photo) = upload(in_header, answer(302, x_token="abc"), answer(201))
    assert photo.headers["authorization"] == "Bearer abc"


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b'{"data": []}', b'{"data": [{"token": null}]}', b'{"data": [{"token": "a\\r\\nX: y"}]}', b'{"data": [{"token": ""}]}', b"[" * 100_000],
)  # fmt: skip
def test_a_token_that_is_none_or_would_break_a_header_is_malformed(body):
    result, requests = upload(api({"TARGET_APP": "a"}, login=LOGIN, headers=BEARER), answer(200, body))
    assert (result.outcome, result.reason, len(requests)) == (Outcome.MALFORMED, MalformedReason.TOKEN, 1)


def test_a_station_logs_in_once_and_again_after_a_401():
    target = api({"TARGET_APP": "a"}, login=LOGIN, headers=BEARER)
    context = context_of(target)
    token = answer(200, b'{"data": [{"token": "abc"}]}')
    upload(target, token, answer(201), context=context)
    _, second = upload(target, answer(401), context=context)
    _, third = upload(target, token, answer(201), context=context)
    assert [[one.path for one in requests] for requests in (second, third)] == [["/x"], ["/login", "/x"]]


@pytest.mark.parametrize(
    ("status", "outcome"), [(404, "rejected"), (409, "rejected"), (429, "throttled"), (503, "unavailable"), (500, "server_error")]
)  # fmt: skip
def test_a_refused_login_is_never_an_acknowledgement(status, outcome):
    target = api({"TARGET_APP": "a"}, login=LOGIN, headers=BEARER, statuses={"replayed": [409]})
    result, requests = upload(target, answer(status))
    assert (result.outcome, len(requests)) == (Outcome(outcome), 1)
    context = context_of(target)
    with pytest.raises(LoginRefusedError) as refused:  # as tus logs in
        TemplatedUpload(PHOTO, target, context.station).prepare(connect(answer(status)), context)
    assert refused.value.uploaded.outcome is Outcome(outcome)


def test_a_status_that_the_scenario_does_not_mention_is_never_an_acknowledgement():
    target = api(statuses={"accepted": [201], "replayed": [409]})
    found = [upload(target, answer(status))[0].outcome for status in (201, 409, 200, 302, 404)]
    assert found == [Outcome.ACCEPTED, Outcome.REPLAYED, Outcome.MALFORMED, Outcome.MALFORMED, Outcome.REJECTED]


def test_percent_signs_of_a_scenario_stay_as_they_are():
    target = api(
        {"TARGET_KEY": "100%s"},
        method="PUT",
        path="/a%20b/{page}",
        headers={"X-Rate%": "5%d {station}", "X": "${TARGET_KEY}"},
    )
    line, message, _ = sent(target)
    assert line == "PUT /a%20b/2"
    assert message["x-rate%"] == "5%d 3509191001001"
    assert message["x"] == "100%s"


@pytest.mark.parametrize(
    ("told", "makes"),
    [({"path": "/{station}/{page}"}, False), ({"path": "/{sha256}"}, True), ({"headers": {"Content-Digest": "sha-256=:{digest}:"}}, True), ({"headers": {"Votes": "{reading}"}}, True)],
)  # fmt: skip
def test_a_target_that_is_told_neither_digest_nor_reading_is_known(told, makes):
    assert api(**told).makes_claims is makes


def test_a_variable_that_is_not_set_is_named_before_anything_is_sent():
    with pytest.raises(UsageError, match="TARGET_KEY"):
        api(headers={"X": "${TARGET_KEY}"})


CREATE = {
    "name": "create",
    "path": "/uploads",
    "body": "json",
    "content": '{"station": "{station}", "page": {page}, "votes": {reading}}',
    "take": {"upload_url": "/url", "id": "header:X-Id"},
}
PUT = {"name": "put", "method": "PUT", "url": "{upload_url}", "body": "raw"}
DONE = {"name": "done", "method": "PATCH", "path": "/uploads/{id}", "body": "form", "content": "state=done&id={id}"}


def test_steps_carry_what_earlier_answers_gave_each_escaped_for_its_place():
    target = api(steps=[CREATE, PUT, DONE], headers={"X-Id": "{id}"})
    created = answer(201, b'{"url": "/raw/7?sig=a%2Fb"}', x_id="a b/c&d")
    result, (create, put, done) = upload(target, created, answer(200), answer(204))
    assert result.outcome is Outcome.ACCEPTED
    assert json.loads(create.body) == {"station": "3509191001001", "page": 2, "votes": json.loads(READING)}
    assert create.headers["content-type"] == "application/json"
    assert (put.method, put.path, put.body) == ("PUT", "/raw/7?sig=a%2Fb", BODY + TAIL)
    assert (done.method, done.path, done.body) == ("PATCH", "/uploads/a%20b%2Fc%26d", b"state=done&id=a+b%2Fc%26d")
    assert done.headers["content-type"] == "application/x-www-form-urlencoded"
    # Of the target's headers, those that a step knows the values for; none where an answer said where to send.
    assert ["x-id" in request.headers for request in (create, put, done)] == [False, False, True]


def test_every_request_of_an_attempt_has_a_row_with_its_own_times():
    target = api(steps=[CREATE, PUT, DONE])
    connection = connect(answer(201, b'{"url": "/raw/7"}', x_id="7"), answer(200), answer(503))
    context = context_of(target)
    result = TemplatedUpload(PHOTO, target, context.station).attempt(connection, context)
    rows = connection.progress.steps
    assert [(row.step, row.status, row.outcome, row.sent_s, row.done_s) for row in rows] == [
        (1, 201, Outcome.ACCEPTED, 0.0, 1.0), (2, 200, Outcome.ACCEPTED, 1.0, 2.0), (3, 503, Outcome.UNAVAILABLE, 2.0, 3.0),
    ]  # fmt: skip
    assert (result.outcome, connection.progress.step) == (Outcome.UNAVAILABLE, 3)
    assert sum(row.sent_bytes for row in rows) == connection.progress.sent_bytes


def test_a_url_elsewhere_is_followed_only_to_a_server_that_was_named():
    target = api(steps=[CREATE, PUT])
    context = context_of(target)
    created = answer(201, b'{"url": "http://files:9000/raw/7?s=1"}', x_id="7")
    with pytest.raises(MalformedResponseError, match="--also-target http://files:9000") as refused:
        upload(target, created, context=context)
    assert refused.value.reason is MalformedReason.URL
    source: Any = object()
    context.elsewhere = {OTHER: Elsewhere(source, "files:9000")}
    connection, files = connect(created), connect(answer(200))
    connection.others = {source: files}
    assert TemplatedUpload(PHOTO, target, context.station).attempt(connection, context).outcome is Outcome.ACCEPTED
    (put,) = files.requests
    assert (put.path, put.headers["host"], put.body) == ("/raw/7?s=1", "files:9000", BODY + TAIL)


@pytest.mark.parametrize("url", ["http://user@files:9000/", "ftp://files/x", "/raw/a b", "http://[::", "/raw/\u00e9"])
def test_an_address_that_is_none_is_malformed_and_never_connected_to(url):
    target = api(steps=[CREATE, PUT])
    with pytest.raises(MalformedResponseError) as refused:
        upload(target, answer(201, json.dumps({"url": url}).encode(), x_id="7"))
    assert refused.value.reason is MalformedReason.URL


@pytest.mark.parametrize("value", ["7\r\nX-Evil: 1", "7\x00", "\u2603", " 7", ""])
def test_a_value_that_a_header_can_not_hold_is_malformed_and_never_sent(value):
    step = {**PUT, "url": None, "path": "/x", "headers": {"X-Id": "{id}"}}
    take = {**CREATE, "take": {"id": "/id"}}
    result, requests = upload(api(steps=[take, step]), answer(201, json.dumps({"id": value}).encode()))
    assert (result.outcome, result.reason, len(requests)) == (Outcome.MALFORMED, MalformedReason.VALUE, 1)
    assert "X-Evil" not in result.detail


def test_cookies_go_back_and_one_can_be_taken_for_a_form():
    login = {
        "name": "login", "once": "station", "path": "/login", "body": "form", "content": "user={station}&csrf={csrf}",
        "statuses": {"accepted": [302]},
    }  # fmt: skip
    form = {"name": "form", "once": "station", "method": "GET", "path": "/login", "take": {"csrf": "cookie:csrftoken"}}
    target = api(steps=[form, login, {**PUT, "url": None, "path": "/x"}])
    answers = [
        answer(200, set_cookie=["csrftoken=c+1; Path=/", "theme=dark; Path=/settings"]),
        answer(302, set_cookie=["sid=9; HttpOnly; Path=/", "csrftoken=; Max-Age=0; Path=/"]),
        answer(201),
    ]
    _, (got, posted, put) = upload(target, *answers)
    assert "cookie" not in got.headers
    assert "content-length" not in got.headers
    assert (posted.headers["cookie"], posted.body) == ("csrftoken=c+1", b"user=3509191001001&csrf=c%2B1")
    assert put.headers["cookie"] == "sid=9"


PARTS = [
    {"name": "create", "path": "/x?uploads", "take": {"id": "regex:<UploadId>(.*?)</UploadId>"}},
    {"name": "part", "method": "PUT", "path": "/x?n={part}&id={id}", "headers": {"Content-Range": "bytes {part_start}-{part_end}/{size}"}, "body": "raw", "part_size": "1KB", "take": {"etag": "header:ETag"}},
    {"name": "complete", "path": "/x?id={id}", "body": "text", "content": "<Done>{parts}</Done>", "each_part": "<P><N>{part}</N>{etag}</P>"},
]  # fmt: skip
LARGE = Photo("3509191001001", "ppwp", 1, memoryview(bytes(2300)), b"tail", "00" * 32, "")


def test_a_photo_in_parts_is_sent_whole_and_completed_with_what_each_part_answered():
    target, created = api(steps=PARTS), answer(200, b"<R><UploadId>u/1</UploadId></R>")
    context = context_of(target)
    connection = connect(created, *(answer(200, ETag=f'"e{number}"') for number in (1, 2, 3)), answer(200))
    page = TemplatedUpload(LARGE, target, context.station)
    assert page.attempt(connection, context).outcome is Outcome.ACCEPTED
    create, *parts, complete = connection.requests
    assert create.headers["content-length"] == "0"
    assert [part.path for part in parts] == [f"/x?n={number}&id=u%2F1" for number in (1, 2, 3)]
    assert b"".join(part.body for part in parts) == bytes(2300) + b"tail"
    assert parts[2].headers["content-range"] == "bytes 2000-2303/2304"
    assert complete.body == b'<Done><P><N>1</N>"e1"</P><P><N>2</N>"e2"</P><P><N>3</N>"e3"</P></Done>'
    assert [row.resent_bytes for row in connection.progress.steps] == [0, 1, 2, 3, 0]  # the number of the part
    assert page.high_water.resent_bytes == 0


@pytest.mark.parametrize("resumable", [True, False])
def test_a_resumable_flow_goes_on_at_the_part_that_broke_and_others_begin_anew(resumable):
    target, created = api(steps=PARTS, resumable=resumable), answer(200, b"<R><UploadId>u1</UploadId></R>")
    context = context_of(target)
    page = TemplatedUpload(LARGE, target, context.station)
    with pytest.raises(CutError):
        page.attempt(connect(created, answer(200, ETag="e1"), CutError(400)), context)
    rest = [answer(200, ETag="e2"), answer(200, ETag="e3"), answer(200)]
    connection = connect(*rest) if resumable else connect(created, answer(200, ETag="e1"), *rest)
    assert page.attempt(connection, context).outcome is Outcome.ACCEPTED
    assert connection.requests[0].path == ("/x?n=2&id=u1" if resumable else "/x?uploads")
    assert b"<N>1</N>e1" in connection.requests[-1].body
    assert page.high_water.resent_bytes == (400 if resumable else 1400)


OWN = Photo(
    "CLINIC 7/ä", "consent form", 2, memoryview(BODY), TAIL, "ab" * 32, "",
    {"station.email": "a@example.org", "account.key": 'ge"heim'}, "application/pdf", "pdf",
)  # fmt: skip


def upload_own(target, *answers):
    connection, context = connect(*answers), context_of(target)
    TemplatedUpload(OWN, target, context.station).attempt(connection, context)
    return connection.requests


def test_columns_of_the_users_files_are_filled_in_and_any_code_is_encoded_in_a_path():
    login = {"path": "/login", "body": "{station.email}:{account.key}", "token": "/t"}
    target = api(
        path="/p/{station}/{form}/{page}?m={station.email}",
        headers={"X-Station": "{station}", "X-Key": "{token}"},
        login=login,
    )
    asked, put_request = upload_own(target, answer(200, b'{"t": "T"}'), answer(201))
    assert asked.body == b'a@example.org:ge"heim'
    assert put_request.path == "/p/CLINIC%207%2F%C3%A4/consent%20form/2?m=a%40example.org"
    assert put_request.headers["content-type"] == "application/pdf"


def test_steps_know_the_columns_too_each_escaped_for_its_place():
    step = {
        "name": "send", "path": "/x", "body": "multipart",
        "parts": [{"name": "key", "value": "{account.key}"}, {"name": "photo", "filename": 'a"{station}'.replace('"', "")}],
    }  # fmt: skip
    first = {"name": "ask", "path": "/ask", "body": "json", "content": '{"key": "{account.key}"}'}
    asked, sent_request = upload_own(
        api(steps=[first, step], headers={"X-Mail": "{station.email}"}), answer(200), answer(201)
    )
    assert json.loads(asked.body) == {"key": 'ge"heim'}
    assert sent_request.headers["x-mail"] == "a@example.org"
    assert b"Content-Type: application/pdf\r\n" in sent_request.body


@pytest.mark.parametrize("build", [put.build_head, multipart.build_head])
def test_the_mocks_own_requests_take_any_code_too(build):
    head = build(OWN, UploadContext("127.0.0.1:80", "t0ken", 3, 10.0, idempotency_key=True))
    assert b" /v1/stations/CLINIC%207%2F%C3%A4/forms/consent%20form/pages/2 HTTP/1.1\r\n" in head
    assert b'Idempotency-Key: "CLINIC%207%2F%C3%A4/consent%20form/2/abababababababab"\r\n' in head
    assert b"Content-Type: application/pdf\r\n" in head


SINGLE = [
    {"path": "/{station}/{form}/{page}"},
    {"path": "/fixed", "headers": {"Content-Type": "a/b"}},
    {
        "path": "/a%20b?n={size}&d={sha256}",
        "method": "POST",
        "headers": {"X-R": "{reading}", "X-P": "100 % {station}", "X-E": ""},
    },
]


@pytest.mark.parametrize("photo", [PHOTO, OWN])
@pytest.mark.parametrize("table", SINGLE)
def test_an_upload_of_one_request_sends_and_means_the_same_as_a_flow_of_one_step(table, photo):
    target = api(**table, statuses={"replayed": [409]})
    context = context_of(target)
    assert target.single is not None
    assert isinstance(make_upload(ClientOptions(protocol="put"), photo, context), SingleUpload)
    for status in (201, 409, 299, 503):
        made, sent = [], []
        for build in (SingleUpload(photo, target.single), TemplatedUpload(photo, target, context.station)):
            connection = connect(answer(status))
            result = build.attempt(connection, context)
            made.append((result.outcome, connection.progress.step, build.high_water))
            sent.append(connection.requests)
        assert made[0] == made[1]
        assert sent[0] == sent[1]


@pytest.mark.parametrize(
    "table",
    [
        {"headers": {"X-Attempt": "{attempt}"}},
        {"path": "/{reading}"},
        {"headers": {"X-D": "{digest}"}},
        {"headers": {"X-C": "{station.email}"}},
        {"login": LOGIN, "headers": BEARER},
        {"body": "multipart", "parts": [{"name": "photo", "filename": "x"}]},
        {"steps": [{"name": "put", "method": "PUT", "path": "/x", "body": "raw"}]},
    ],
)
def test_an_upload_that_depends_on_more_than_the_photo_is_a_flow(table):
    target = api({"TARGET_APP": "a"}, **table)
    assert target.single is None
    assert isinstance(make_upload(ClientOptions(), PHOTO, context_of(target)), TemplatedUpload)

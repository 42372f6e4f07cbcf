"""Repr-Digest as the structured field that it is."""

import pytest

from mock_server.http.responses import Problem
from mock_server.upload.photo import PhotoSink, ReceivedUpload, check_digest
from mock_server.upload.readings import Reading
from tests.support.mock_in_process import photo, repr_digest

RIGHT, WRONG = repr_digest(photo()), repr_digest(b"another")


@pytest.fixture(name="upload")
def _upload() -> ReceivedUpload:
    sink = PhotoSink(keep=False)
    sink.feed(memoryview(photo()))
    return sink.upload(Reading())


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "  ",
        RIGHT,
        f"  {RIGHT}  ",
        f"{WRONG}, {RIGHT}",
        f"md5=:AAAA:\t,{RIGHT}",
        f'{RIGHT};note="a, sha-256=:AAAA:";n=1.5, unixsum=30637, other, l=(a "b" :AA==:;x);y, t=?1',
        "sha-512=:AAAA:",
        'note="sha-256=:AAAA:"',
    ],
)
def test_what_agrees_or_says_nothing_of_sha_256_goes_through(upload, header):
    check_digest(header, upload)


@pytest.mark.parametrize(
    "header",
    [
        WRONG,
        f"{RIGHT}, {WRONG}",
        "sha-256=AAAA",
        "sha-256",
        "sha-256=:AAA:",
        "sha-256=:AA=A:",
        "SHA-256=:AAAA:",
        f"{RIGHT},",
        f",{RIGHT}",
        f"{RIGHT} {RIGHT}",
        f"{RIGHT}, sha-512=:",
        f"{RIGHT}, x=(a b",
        f"{RIGHT}, é=1",
        RIGHT.replace("=:", " = :"),
    ],
)
def test_what_is_malformed_or_disagrees_is_refused(upload, header):
    with pytest.raises(Problem) as caught:
        check_digest(header, upload)
    assert caught.value.status == 400

"""Signature Version 4 against AWS' published examples, and against botocore as an oracle."""

import hashlib
import random
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import pytest
from botocore import auth
from botocore.awsrequest import AWSRequest
from botocore.compat import HTTPHeaders
from botocore.credentials import Credentials

from harness.base.errors import UsageError
from harness.scenario.request import RequestSigning
from harness.target.aws_signature import EMPTY_SHA256, UNSIGNED, AwsSigner, make_signer, signed_headers

SUITE = AwsSigner("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "us-east-1", "service")
SUITE_TIME = datetime(2015, 8, 30, 12, 36, tzinfo=UTC)
S3 = AwsSigner("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "us-east-1", "s3")
S3_TIME = datetime(2013, 5, 24, tzinfo=UTC)
S3_HOST = "examplebucket.s3.amazonaws.com"


@pytest.mark.parametrize(
    ("method", "path", "signature"),
    [
        ("GET", "/", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),  # get-vanilla
        ("GET", "/?Param2=value2&Param1=value1", "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"),
        ("POST", "/", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),  # post-vanilla
        ("GET", "/example/..", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),  # get-relative
        ("GET", "//", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),  # get-slash
        ("GET", "/./", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),  # get-slash-dot-slash
    ],
)
def test_aws_test_suite(method, path, signature):
    added = SUITE.sign(method, path, {"Host": "example.amazonaws.com"}, EMPTY_SHA256, SUITE_TIME)
    assert added == {
        "X-Amz-Date": "20150830T123600Z",
        "Authorization": "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "
        f"SignedHeaders=host;x-amz-date, Signature={signature}",
    }


@pytest.mark.parametrize(
    ("method", "path", "more", "body", "signature"),
    [
        ("GET", "/test.txt", {"Range": "bytes=0-9"}, b"", "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"),
        ("PUT", "/test$file.text", {"Date": "Fri, 24 May 2013 00:00:00 GMT", "x-amz-storage-class": "REDUCED_REDUNDANCY"}, b"Welcome to Amazon S3.", "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"),
        ("GET", "/?lifecycle", {}, b"", "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"),
        ("GET", "/?max-keys=2&prefix=J", {}, b"", "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"),
    ],
)  # fmt: skip
def test_the_examples_of_s3s_documentation(method, path, more, body, signature):
    added = S3.sign(method, path, {"Host": S3_HOST, **more}, hashlib.sha256(body).hexdigest(), S3_TIME)
    assert added["Authorization"].endswith(f"Signature={signature}")


def by_botocore(signer, method, path, headers, payload, monkeypatch):
    """The Authorization header that botocore makes for the same request."""
    credentials = Credentials(signer.access_key, signer.secret_key, signer.session_token or None)
    kind: Any = auth.S3SigV4Auth if signer.service == "s3" else auth.SigV4Auth
    monkeypatch.setattr(kind, "payload", lambda *_: payload)
    request: Any = AWSRequest(method, f"https://{headers['Host']}{path}", headers=dict(headers))
    request.headers = HTTPHeaders.from_dict(headers)
    request.context = {"timestamp": "20240214T101500Z"}
    monkeypatch.setattr(auth, "get_current_datetime", lambda *_, **__: datetime(2024, 2, 14, 10, 15))  # noqa: DTZ001
    kind(credentials, signer.service, signer.region).add_auth(request)
    return request.headers["Authorization"]


@pytest.mark.parametrize("service", ["s3", "execute-api"])
@pytest.mark.parametrize("token", ["", "a+token/="])
def test_botocore_makes_the_same_signatures(service, token, monkeypatch):
    rng = random.Random(7)
    signer = AwsSigner("AK", "secret", "eu-west-3", service, token)
    letters = "abcXYZ019-._~ /&=+%$,:@é☃"
    for _ in range(40):
        path = "/" + quote("".join(rng.choices(letters, k=rng.randrange(12))), safe="/-._~")
        names = ["".join(rng.choices("abcXYZ-._~ é&=", k=3)) for _ in range(rng.randrange(4))]
        query = "&".join(f"{quote(name, safe='')}={quote(rng.choice(letters), safe='')}" for name in names)
        path += f"?{query}" if query else ""
        headers = {"Host": "store.example:9000", "X-Amz-Meta-Note": f"a  b {rng.random()}"}
        payload = UNSIGNED if service == "s3" else hashlib.sha256(path.encode()).hexdigest()
        added = signer.sign("PUT", path, headers, payload, datetime(2024, 2, 14, 10, 15, tzinfo=UTC))
        assert added["Authorization"] == by_botocore(signer, "PUT", path, headers, payload, monkeypatch), path


def test_a_signature_covers_host_and_every_amz_header_and_no_other():
    headers = {"Host": "x", "Content-Type": "image/jpeg", "X-Amz-Meta-Attempt": "1", "Accept": "*/*"}
    assert signed_headers(headers) == {"Host": "x", "X-Amz-Meta-Attempt": "1"}


def test_keys_come_from_the_environment_and_are_never_shown():
    signing = RequestSigning(kind="aws-v4", region="us-east-1")
    with pytest.raises(UsageError, match="TARGET_ACCESS_KEY_ID and TARGET_SECRET_ACCESS_KEY"):
        make_signer(signing, {})
    signer = make_signer(signing, {"TARGET_ACCESS_KEY_ID": "id", "TARGET_SECRET_ACCESS_KEY": "sesame"})
    assert "sesame" not in repr(signer)
    assert make_signer(None, {}) is None


def test_what_only_s3_allows_is_refused_elsewhere():
    with pytest.raises(ValueError, match='execute-api needs payload = "digest"'):
        RequestSigning(kind="aws-v4", region="us-east-1", service="execute-api")

"""Upload servers that no one here wrote, each driven by its scenario in docs/targets: moto's S3, @tus/server, Python's frameworks."""

import contextlib
import hashlib
import http.client
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import boto3
import pytest

from harness.analysis.summarise import load_summary
from harness.base.errors import ExitCode
from harness.run_folder.layout import RunFolder
from tests.support.foreign_servers import TARGETS, delivered_and_stored, serving
from tests.support.free_port import free_port
from tests.support.real_runs import PATIENCE_S, harness, in_time, wait_for, was_late

pytestmark = pytest.mark.peers

AUTHORIZATION = (
    "AWS4-HMAC-SHA256 Credential=AKIASESAME/20261123/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=sesame"
)


def test_an_s3_like_server_takes_every_photo_and_gives_it_back(tmp_path):
    port = free_port()
    with serving([str(Path(sys.executable).with_name("moto_server")), "-H", "127.0.0.1", "-p", str(port)], port, tmp_path) as url:  # fmt: skip
        bucket = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        bucket.request("PUT", "/photos", headers={"Authorization": AUTHORIZATION})
        assert bucket.getresponse().status == 200
        bucket.close()
        code, output = harness(
            "run", TARGETS / "s3.toml", "--target", url, "--out", "run", cwd=tmp_path, TARGET_AUTHORIZATION=AUTHORIZATION
        )  # fmt: skip
    assert code in {ExitCode.PASSED, ExitCode.INVALID}, output
    delivered_and_stored(tmp_path / "run")
    headers = json.loads((tmp_path / "run" / "run.json").read_text())["scenario"]["target"]["headers"]
    assert headers["Authorization"] == "${TARGET_AUTHORIZATION}"
    for path in (tmp_path / "run").rglob("*"):
        assert not path.is_file() or b"AKIASESAME" not in path.read_bytes(), path


def test_a_tus_server_is_resumed_over_lines_that_break_and_every_photo_is_whole(tmp_path, npm):
    (tmp_path / "node_modules").symlink_to(npm("tus-server") / "node_modules")
    shutil.copy(TARGETS / "tus-server.mjs", tmp_path / "tus-server.mjs")
    files = tmp_path / "files"
    files.mkdir()
    port = free_port()
    with serving(["node", "tus-server.mjs", str(port), str(files)], port, tmp_path) as url:
        code, output = harness(
            "run", TARGETS / "tus.toml", "--target", url, "--out", "run", "--allow-command",
            cwd=tmp_path, TARGET_ROOT=str(files), TARGET_LISTER=str(TARGETS / "tus-stored.mjs"),
        )  # fmt: skip
    assert code in {ExitCode.PASSED, ExitCode.INVALID}, output
    summary = delivered_and_stored(tmp_path / "run")
    assert summary.attempts.total > summary.pages.planned  # the line broke, and it went on


def saboteur(name, arguments, cwd, photos, remove_photo, **variables):
    """A run that loses two photos once many are stored: `photos` lists them, `remove_photo` removes one. Its summary."""
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "harness", "run", str(TARGETS / f"{name}.toml"), *arguments, "--out", "sabotaged"],
        cwd=cwd, env={**os.environ, **variables}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    wait_for(lambda: len(photos()) >= 12 or process.poll() is not None)
    for photo in photos()[:2]:
        remove_photo(photo)
    output, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == ExitCode.FAILED, output
    assert load_summary(RunFolder(cwd / "sabotaged")).audit.lost == 2


def python_server(name, port, *arguments):
    return [sys.executable, str(TARGETS / f"{name}-server.py"), str(port), *map(str, arguments)]


def whole_files(folder):
    """The photos in a folder that were written a moment ago, and so are whole; oldest first."""
    return sorted((path for path in folder.iterdir() if path.suffix == ".jpg"), key=lambda path: path.stat().st_mtime)[
        :-2
    ]


@pytest.mark.parametrize(("name", "allowed"), [("fastapi", []), ("django", ["--allow-command"])])
def test_a_framework_with_a_session_takes_every_photo_and_one_that_is_lost_is_found(tmp_path, name, allowed):
    files = tmp_path / "files"
    files.mkdir()
    port, root = free_port(), {"TARGET_ROOT": str(files)}
    with serving(python_server(name, port, files), port, tmp_path) as url:
        arguments = ["--target", url, *allowed]
        code, output = harness("run", TARGETS / f"{name}.toml", *arguments, "--out", "run", cwd=tmp_path, **root)
        assert code in {ExitCode.PASSED, ExitCode.INVALID}, output
        summary = delivered_and_stored(tmp_path / "run")
        assert {step.name for step in summary.steps if step.requests >= 20} == {step.name for step in summary.steps}
        for path in files.iterdir():
            path.unlink()
        saboteur(name, arguments, tmp_path, lambda: whole_files(files), Path.unlink, **root)


def test_tuspyserver_is_resumed_over_lines_that_break_and_a_photo_that_is_lost_is_found(tmp_path):
    files, port = tmp_path / "files", free_port()
    files.mkdir()
    with serving(python_server("tus-fastapi", port, files), port, tmp_path) as url:
        code, output = harness("run", TARGETS / "tus-fastapi.toml", "--target", url, "--out", "run", cwd=tmp_path)
        assert code in {ExitCode.PASSED, ExitCode.INVALID}, output
        delivered_and_stored(tmp_path / "run")

        def listed():
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            connection.request("GET", "/stored")
            answer = connection.getresponse()
            content = answer.read()
            connection.close()
            # while uploads go on its listing may fail; it is polled again, and the audit reads it at the end
            return [json.loads(line)["sha256"] for line in content.splitlines()] if answer.status == 200 else []

        def remove(digest):
            for path in [path for path in files.iterdir() if path.is_file() and not path.suffix]:  # not its notes
                if hashlib.sha256(path.read_bytes()).hexdigest() == digest:
                    path.unlink()

        for digest in listed():
            remove(digest)
        saboteur("tus-fastapi", ["--target", url], tmp_path, listed, remove)


KEYS = {"aws_access_key_id": "AKIAEXAMPLE", "aws_secret_access_key": "example"}


def s3_client(url, **keys):
    return boto3.client("s3", endpoint_url=url, region_name="us-east-1", **(keys or KEYS))


def stored_keys(client, bucket):
    """Names of a bucket's objects, oldest first."""
    try:
        found = client.list_objects_v2(Bucket=bucket).get("Contents", [])
    except client.exceptions.NoSuchBucket:
        return []
    return [one["Key"] for one in sorted(found, key=lambda one: one["LastModified"])]


@contextlib.contextmanager
def moto(cwd):
    port = free_port()
    argv = [str(Path(sys.executable).with_name("moto_server")), "-H", "127.0.0.1", "-p", str(port)]
    with serving(argv, port, cwd, S3_UPLOAD_PART_MIN_SIZE="1000") as url:
        yield url


def test_presigned_addresses_on_another_server_take_every_photo_and_one_that_is_lost_is_found(tmp_path):
    port = free_port()
    with moto(tmp_path) as store, serving(python_server("presigned", port, store), port, tmp_path) as url:
        client, arguments = s3_client(store), ["--target", url, "--also-target", store]
        code, output = harness("run", TARGETS / "presigned.toml", *arguments, "--out", "run", cwd=tmp_path)
        assert code in {ExitCode.PASSED, ExitCode.INVALID}, output
        delivered_and_stored(tmp_path / "run")
        for key in stored_keys(client, "presigned"):
            client.delete_object(Bucket="presigned", Key=key)
        # Of those that were stored a while ago: the confirmation asks for the photo's size.
        saboteur(
            "presigned", arguments, tmp_path, lambda: stored_keys(client, "presigned")[:-10],
            lambda key: client.delete_object(Bucket="presigned", Key=key),
        )  # fmt: skip


def test_signed_parts_are_accepted_where_signatures_are_verified_and_one_photo_that_is_lost_is_found(tmp_path):
    with moto(tmp_path) as url:
        iam = boto3.client("iam", endpoint_url=url, region_name="us-east-1", **KEYS)
        iam.create_user(UserName="phones")
        policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}
        iam.put_user_policy(UserName="phones", PolicyName="s3", PolicyDocument=json.dumps(policy))
        made = iam.create_access_key(UserName="phones")["AccessKey"]
        keys = {"aws_access_key_id": made["AccessKeyId"], "aws_secret_access_key": made["SecretAccessKey"]}
        s3_client(url).create_bucket(Bucket="photos")
        reset = http.client.HTTPConnection(url.removeprefix("http://"), timeout=10)
        reset.request("POST", "/moto-api/reset-auth", "0")  # from now on signatures are verified
        assert reset.getresponse().status == 200
        reset.close()
        client = s3_client(url, **keys)
        right = {"TARGET_ACCESS_KEY_ID": made["AccessKeyId"], "TARGET_SECRET_ACCESS_KEY": made["SecretAccessKey"]}
        wrong, arguments = {**right, "TARGET_SECRET_ACCESS_KEY": "sesame"}, ["--target", url]
        place = tmp_path / "refused"
        place.mkdir()
        code, output, refused = in_time(
            TARGETS / "s3-multipart.toml", *arguments, "--set", "deadline=3s", cwd=place, **wrong
        )
        assert code == ExitCode.FAILED or was_late(refused), output
        (failure,) = load_summary(RunFolder(refused)).attempts.failures
        assert (failure.step, failure.status) == ("create", 403)
        code, output = harness("run", TARGETS / "s3-multipart.toml", *arguments, "--out", "run", cwd=tmp_path, **right)
        assert code in {ExitCode.PASSED, ExitCode.INVALID}, output
        delivered_and_stored(tmp_path / "run")
        for path in (tmp_path / "run").rglob("*"):
            assert not path.is_file() or made["SecretAccessKey"].encode() not in path.read_bytes(), path
        for key in stored_keys(client, "photos"):
            client.delete_object(Bucket="photos", Key=key)
        saboteur(
            "s3-multipart", arguments, tmp_path, lambda: stored_keys(client, "photos")[:-2],
            lambda key: client.delete_object(Bucket="photos", Key=key), **right,
        )  # fmt: skip

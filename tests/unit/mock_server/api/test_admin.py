"""The file of the admin token."""

import signal
import subprocess
import sys

import pytest

from mock_server.api.admin import TOKEN_FILE_PREFIX, remove_stale_files, token_file


def test_the_file_holds_the_token_for_its_owner_only_and_is_gone_at_the_end(tmp_path):
    with token_file(tmp_path) as (token, path):
        assert path.read_text() == token
        assert oct(path.stat().st_mode & 0o777) == "0o600"
        assert path.name.startswith(TOKEN_FILE_PREFIX)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.heavy
def test_a_killed_servers_file_is_cleared_away_and_a_living_ones_is_not(tmp_path):
    code = (
        "import sys; from pathlib import Path; from mock_server.api.admin import token_file\n"
        "with token_file(Path(sys.argv[1])) as (_, path): print(path, flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        left = tmp_path / other.stdout.readline().strip()
        with token_file(tmp_path) as (_, mine):
            assert {left, mine} == set(tmp_path.iterdir())
        other.send_signal(signal.SIGKILL)
        other.wait()
    assert left.exists()
    with token_file(tmp_path) as (_, mine):
        assert [mine] == list(tmp_path.iterdir())


def test_what_is_no_file_of_a_server_is_left_alone(tmp_path):
    (tmp_path / "other").write_text("x")
    (tmp_path / f"{TOKEN_FILE_PREFIX}link").symlink_to(tmp_path / "other")
    (tmp_path / f"{TOKEN_FILE_PREFIX}folder").mkdir()
    remove_stale_files(tmp_path)
    assert len(list(tmp_path.iterdir())) == 3

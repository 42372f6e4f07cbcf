"""Temporary folders: private, named, removed; and what a killed process left behind is removed by the next."""

import subprocess
import sys

from harness.base.temporary import temporary_folder

HOLD = (
    "import sys; from pathlib import Path; from harness.base.temporary import temporary_folder\n"
    "with temporary_folder('run', Path(sys.argv[1])) as path:\n"
    "    (path / 'photo').write_bytes(b'x'); print(path, flush=True); sys.stdin.read()"
)


def test_a_folder_is_private_named_after_its_purpose_and_removed(tmp_path):
    with temporary_folder("run", tmp_path) as path:
        assert path.name.startswith("upload-harness-run-")
        assert path.stat().st_mode & 0o777 == 0o700
        (path / "inside").mkdir()
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_is_removed_and_what_a_living_one_has_stays(tmp_path):
    (tmp_path / "upload-harness-file").write_text("somebody's own")
    (tmp_path / "upload-harness-link").symlink_to(tmp_path)
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        theirs = tmp_path / other.stdout.readline().strip()
        with temporary_folder("run", tmp_path):
            assert (theirs / "photo").exists()
        other.kill()
        other.wait()
    assert theirs.exists()
    with temporary_folder("run", tmp_path) as mine:
        assert sorted(tmp_path.iterdir()) == sorted(
            [mine, tmp_path / "upload-harness-file", tmp_path / "upload-harness-link"]
        )

"""The folder of a server without --data: one per server that runs, emptied when the next one takes it."""

import os

import pytest

from mock_server.storage.temporary_data import claim_temporary_folder


@pytest.fixture
def claim(tmp_path):
    locks: list[int] = []

    def claimed():
        path, lock = claim_temporary_folder(tmp_path)
        locks.append(lock)
        return path, lock

    yield claimed
    for lock in locks:
        os.close(lock)


def test_a_second_server_gets_a_folder_of_its_own(claim):
    names = [claim()[0].name for _ in range(3)]
    assert names == [f"mock-server-{os.getuid()}-{number}" for number in (1, 2, 3)]


def test_what_a_server_left_stays_until_the_next_one_starts(tmp_path):
    path, lock = claim_temporary_folder(tmp_path)
    (path / "store.sqlite").write_bytes(b"pages")
    (path / "uploads").mkdir()
    (path / "elsewhere").symlink_to(tmp_path)
    os.close(lock)  # as the kernel does when a process is killed
    assert (path / "store.sqlite").exists()
    again, lock = claim_temporary_folder(tmp_path)
    assert (again, list(again.iterdir()), path.stat().st_mode & 0o777) == (path, [], 0o700)
    os.close(lock)
    assert tmp_path.exists()


def test_a_name_that_is_taken_by_something_else_is_left_alone(tmp_path, claim):
    (tmp_path / "target").mkdir()
    (tmp_path / f"mock-server-{os.getuid()}-1").symlink_to(tmp_path / "target")
    (tmp_path / f"mock-server-{os.getuid()}-2").write_text("a file")
    assert claim()[0].name.endswith("-3")
    assert (tmp_path / f"mock-server-{os.getuid()}-2").read_text() == "a file"

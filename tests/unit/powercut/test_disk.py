"""What is on the disk after a power cut, by the rules of POSIX: content and names are synced apart."""

import stat

import pytest

from powercut.disk import Disk
from powercut.nodes import PAGE_BYTES, DirectoryNode, FileNode, SymlinkNode

OWNER = (0, 0)


@pytest.fixture
def disk(tmp_path):
    (tmp_path / "old").write_bytes(b"before")
    return Disk(tmp_path)


def create(disk, path, content=b""):
    file = FileNode(0o644, OWNER)
    disk.add(path, file)
    disk.write(file, 0, content)
    return file


def make_folder(disk, path):
    folder = DirectoryNode(0o755, OWNER)
    disk.add(path, folder)
    return folder


def left(folder):
    """The files on the disk with their content, by path."""
    return {str(one.relative_to(folder)): one.read_bytes() for one in folder.rglob("*") if one.is_file()}


def lose(disk, tmp_path):
    report = disk.cut(1, torn=False)
    return report, left(tmp_path)


def test_what_was_written_is_there_until_the_power_fails(disk, tmp_path):
    file = create(disk, "/new", b"photo")
    assert bytes(disk.content(disk.find("/new"))) == b"photo"
    assert (list(disk.entries(disk.find("/"))), file.size_bytes) == (["old", "new"], 5)
    report, found = lose(disk, tmp_path)
    assert (report.lost_pages, report.lost_names, found) == (1, 1, {"old": b"before"})


def test_a_file_that_was_synced_has_no_name_until_its_folder_is(disk, tmp_path):
    disk.sync_file(create(disk, "/new", b"photo"))
    assert lose(disk, tmp_path)[1] == {"old": b"before"}


def test_a_name_that_was_synced_has_no_content_until_its_file_is(disk, tmp_path):
    create(disk, "/new", b"photo")
    disk.sync_directory(disk.find("/"))
    assert lose(disk, tmp_path)[1] == {"old": b"before", "new": b""}


@pytest.mark.parametrize("is_file_first", [True, False])
def test_both_together_survive_in_either_order(disk, tmp_path, is_file_first):
    file = create(disk, "/new", b"photo")
    syncs = [lambda: disk.sync_file(file), lambda: disk.sync_directory(disk.find("/"))]
    for sync in syncs if is_file_first else reversed(syncs):
        sync()
    assert lose(disk, tmp_path)[1]["new"] == b"photo"


def test_an_overwritten_file_is_as_it_was(disk, tmp_path):
    old = disk.find("/old")
    disk.write(old, 0, b"AFTER THAT")
    disk.truncate(old, 5)
    assert bytes(disk.content(old)) == b"AFTER"
    assert lose(disk, tmp_path)[1] == {"old": b"before"}


def test_a_file_replaced_by_a_rename_is_the_old_one_or_the_new_one(disk, tmp_path):
    new = create(disk, "/new", b"after")
    disk.sync_file(new)
    disk.rename("/new", "/old")
    assert lose(disk, tmp_path)[1] == {"old": b"before"}


def test_a_rename_whose_folder_was_synced_before_its_content_leaves_an_empty_file(disk, tmp_path):
    create(disk, "/new", b"after")
    disk.rename("/new", "/old")
    disk.sync_directory(disk.find("/"))
    assert lose(disk, tmp_path)[1] == {"old": b""}


def test_a_rename_between_folders_happens_in_both_or_in_neither(disk, tmp_path):
    there = make_folder(disk, "/there")
    disk.sync_directory(disk.find("/"))
    disk.rename("/old", "/there/old")
    disk.sync_directory(there)
    assert lose(disk, tmp_path)[1] == {"there/old": b"before"}


def test_syncing_a_folder_keeps_the_names_of_others_out(disk, tmp_path):
    first, second = make_folder(disk, "/first"), make_folder(disk, "/second")
    disk.sync_directory(disk.find("/"))
    for folder in ("first", "second"):
        disk.sync_file(create(disk, f"/{folder}/a", b"x"))
    disk.sync_directory(second)
    assert (first.on_disk, lose(disk, tmp_path)[1]) == ({}, {"old": b"before", "second/a": b"x"})


def test_a_folder_that_has_no_name_takes_what_is_in_it_along(disk, tmp_path):
    inside = make_folder(disk, "/inside")
    disk.sync_file(create(disk, "/inside/a", b"x"))
    disk.sync_directory(inside)
    assert lose(disk, tmp_path)[1] == {"old": b"before"}


def test_a_removed_file_is_back(disk, tmp_path):
    disk.remove("/old")
    assert list(disk.entries(disk.find("/"))) == []
    assert lose(disk, tmp_path)[1] == {"old": b"before"}


def test_a_file_that_is_removed_while_it_is_open_can_still_be_synced(disk, tmp_path):
    file = create(disk, "/new", b"photo")
    disk.sync_all()
    disk.remove("/new")
    disk.sync_directory(disk.find("/"))
    disk.write(file, 5, b"graph")
    disk.sync_file(file)
    assert bytes(disk.content(file)) == b"photograph"
    assert lose(disk, tmp_path)[1] == {"old": b"before"}


def test_hard_links_and_symbolic_links_are_names_too(disk, tmp_path):
    disk.add("/again", disk.find("/old"))
    disk.add("/pointer", SymlinkNode("old", OWNER))
    disk.sync_directory(disk.find("/"))
    disk.cut(1, torn=False)
    assert (tmp_path / "again").samefile(tmp_path / "old")
    assert (tmp_path / "pointer").readlink().name == "old"


def test_an_orderly_end_puts_everything_on_the_disk(disk, tmp_path):
    make_folder(disk, "/there")
    file = create(disk, "/there/new", b"photo")
    file.mode = stat.S_IFREG | 0o600
    disk.close()
    assert left(tmp_path) == {"old": b"before", "there/new": b"photo"}
    assert (tmp_path / "there" / "new").stat().st_mode & 0o777 == 0o600
    assert sorted(one.name for one in tmp_path.iterdir()) == ["old", "there"]


def test_holes_read_as_zeros(disk):
    file = create(disk, "/new", b"a")
    disk.write(file, 3, b"b")
    assert bytes(disk.content(file)) == b"a\0\0b"


@pytest.mark.parametrize(
    ("act", "error"),
    [
        (lambda disk: disk.find("/none"), FileNotFoundError),
        (lambda disk: disk.find("/old/x"), NotADirectoryError),
        (lambda disk: disk.add("/old", FileNode(0o644, OWNER)), FileExistsError),
        (lambda disk: (disk.add("/d", DirectoryNode(0o755, OWNER)), create(disk, "/d/x"), disk.remove("/d")), OSError),
    ],
)
def test_errors_are_those_of_the_kernel(disk, act, error):
    with pytest.raises(error):
        act(disk)


def torn(tmp_path, seed):
    tmp_path.mkdir()
    disk = Disk(tmp_path)
    for number in range(6):
        create(disk, f"/{number}", bytes([65 + number]) * PAGE_BYTES * 4)
    report = disk.cut(seed, torn=True)
    return report, left(tmp_path)


def test_a_torn_cut_keeps_some_pages_and_the_first_names_as_the_seed_says(tmp_path):
    cuts = [torn(tmp_path / str(seed), seed) for seed in range(20)]
    assert torn(tmp_path / "again", 7) == cuts[7]
    for report, found in cuts:
        assert list(map(str, range(report.kept_names))) == sorted(found)
        pages = [
            content[at : at + PAGE_BYTES] for content in found.values() for at in range(0, len(content), PAGE_BYTES)
        ]
        whole = [page for page in pages if page.strip(b"\0")]
        assert len(whole) == report.kept_pages
        assert report.kept_names + report.lost_names == 6
        assert all(len(set(page)) == 1 for page in pages), "a page is there as a whole or not at all"
    zeros = [
        page
        for _, found in cuts
        for content in found.values()
        for page in [content[:PAGE_BYTES]]
        if page and not page.strip(b"\0")
    ]
    assert zeros, "a hole before what is there"


def test_what_was_synced_is_never_torn(tmp_path):
    for seed in range(20):
        folder = tmp_path / str(seed)
        folder.mkdir()
        disk = Disk(folder)
        file = create(disk, "/kept", b"x" * 3 * PAGE_BYTES)
        disk.sync_all()
        disk.write(file, 3 * PAGE_BYTES, b"y" * 3 * PAGE_BYTES)
        disk.cut(seed, torn=True)
        assert left(folder)["kept"][: 3 * PAGE_BYTES] == b"x" * 3 * PAGE_BYTES

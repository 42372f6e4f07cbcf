"""Loading an own client: what is run, what is refused before anything is sent, and how its bugs are reported."""

import hashlib
import sys
from typing import Any

import pytest

from harness.base.errors import UsageError
from harness.drive.client.own_client import load_own_client

GOOD = """
import dataclasses
@dataclasses.dataclass
class Delivery:
    photo: object
    def attempt(self, sender):
        return self.photo["no such key"]
"""


def load(folder, source, name="Delivery", sha256="", file="my_upload.py"):
    (folder / file).write_text(source, "utf-8")
    return load_own_client(f"{folder / file}:{name}", sha256, {"TARGET_KEY": "hush", "PASSWORD": "not theirs"})


def test_it_is_loaded_with_the_target_variables_and_leaves_nothing_beside_the_scenario(tmp_path):
    digest = hashlib.sha256(GOOD.encode()).hexdigest()
    client = load(tmp_path, GOOD, sha256=digest)
    assert client.name == "my_upload.py:Delivery"
    assert client.variables == {"TARGET_KEY": "hush"}
    assert [path.name for path in tmp_path.iterdir()] == ["my_upload.py"]


def test_a_file_called_like_an_installed_module_replaces_nothing(tmp_path):
    before = sys.modules["json"]
    load(tmp_path, GOOD, file="json.py")
    assert sys.modules["json"] is before


def test_other_code_than_the_leaders_is_not_run(tmp_path):
    with pytest.raises(UsageError, match="is not the one that the leader has: copy the same code to every machine"):
        load(tmp_path, "raise AssertionError('it was run')", sha256="ab" * 32)


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        (
            "import no_such_module_anywhere",
            "can't be imported: ModuleNotFoundError: No module named 'no_such_module_anywhere'",
        ),
        ("class Delivery:\n  def attempt(self sender): ...", "can't be imported: SyntaxError: "),
        ("class Other: ...\nDelivery_ = 1", "has no class Delivery; it defines Other"),
        ("x = 1", "has no class Delivery; it defines none"),
        ("Delivery = 3", r"is not a class with a method attempt\(sender\)"),
        ("class Delivery: ...", r"is not a class with a method attempt\(sender\)"),
    ],
)
def test_what_can_t_be_used_is_refused_with_the_reason(tmp_path, source, problem):
    with pytest.raises(UsageError, match=problem):
        load(tmp_path, source)


def test_the_traceback_of_a_failed_import_begins_in_the_clients_own_file(tmp_path):
    with pytest.raises(UsageError) as refused:
        load(tmp_path, "def helper():\n    return {}['url']\nhelper()\n")
    lines = str(refused.value).splitlines()
    assert lines[0].endswith("can't be imported: KeyError: 'url'")
    assert lines[2] == f'  File "{tmp_path / "my_upload.py"}", line 3, in <module>'
    assert "own_client.py" not in str(refused.value)


def test_only_the_first_bug_is_kept_with_its_place(tmp_path, capsys):
    client = load(tmp_path, GOOD)
    nothing: Any = {}
    for photo in (nothing, None):
        try:
            client.make(photo).attempt(nothing)
        except (KeyError, TypeError) as error:
            client.note_bug(error)
    assert client.bug.startswith("KeyError: 'no such key'\nTraceback (most recent call last):\n")
    assert f'File "{tmp_path / "my_upload.py"}", line 7, in attempt' in client.bug
    assert "test_own_client" not in client.bug
    assert capsys.readouterr().err.count("the own client my_upload.py:Delivery: KeyError") == 1


def test_a_name_that_no_package_offers_is_refused():
    with pytest.raises(UsageError, match=r'client\.protocol = "acme": no installed package offers it'):
        load_own_client("acme", "", {})

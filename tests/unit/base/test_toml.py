"""Every file of the user's is read the same way, whatever it holds."""

import pytest
from pydantic import BaseModel, ConfigDict

from harness.base.errors import ConfigurationError
from harness.base.toml import load_toml


class Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    size: int
    name: str = ""


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_file_is_its_model_with_or_without_the_mark_of_an_editor(encoding, tmp_path):
    file = tmp_path / "a.toml"
    file.write_text('size = 3\nname = "ä"\n', encoding)
    assert load_toml(file, Settings) == Settings(size=3, name="ä")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, ["can't be read"]),
        (b"name = \xff", ["can't be read"]),
        (b"size = ", ["is not TOML"]),
        (b"size = 'three'\nsise = 3", ["size", "sise"]),
    ],
)
def test_what_is_wrong_with_a_file_is_said_all_at_once_with_its_name(content, says, tmp_path):
    file = tmp_path / "a.toml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigurationError) as caught:
        load_toml(file, Settings)
    assert str(file) in str(caught.value)
    assert len(caught.value.problems) == len(says)
    for problem, said in zip(sorted(caught.value.problems), sorted(says), strict=True):
        assert said in problem

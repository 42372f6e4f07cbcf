"""What an installed wheel is to its users: names of programs, and a README that works outside the repository."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import zipfile
from email import message_from_bytes
from pathlib import Path

import pytest

from tests.support.documents import ROOT

REPOSITORY = "https://example.org/somebody/upload-harness"


def wheel(place: Path, **environment: str) -> zipfile.ZipFile:
    """The wheel that hatchling builds of this tree."""
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", place], check=True, cwd=ROOT, env=environment, capture_output=True,
    )  # fmt: skip
    (path,) = place.glob("*.whl")
    return zipfile.ZipFile(path)


def metadata(built: zipfile.ZipFile) -> tuple[dict[str, list[str]], str]:
    """The fields and the README of a wheel."""
    (name,) = (one for one in built.namelist() if one.endswith("/METADATA"))
    message = message_from_bytes(built.read(name))
    return {key: message.get_all(key, []) for key in message}, str(message.get_payload())


def links(readme: str) -> list[str]:
    """What the README's images and links point at."""
    return re.findall(r"\]\(([^)\s]+)\)", readme)


def test_a_readme_of_an_unknown_repository_has_no_link_that_leads_nowhere(tmp_path):
    fields, readme = metadata(wheel(tmp_path))
    assert [link for link in links(readme) if not re.match("https?://|#", link)] == []
    assert "Project-URL" not in fields
    assert fields["Description-Content-Type"] == ["text/markdown"]
    assert "make run" in readme
    assert "every change, measured and simulated" in readme, "the words of a link stay"


def test_a_release_links_into_its_repository_at_its_tag(tmp_path):
    fields, readme = metadata(wheel(tmp_path, UPLOAD_HARNESS_REPOSITORY=f"{REPOSITORY}/", UPLOAD_HARNESS_REF="v1.2.3"))
    found = links(readme)
    images = [link for link in found if link.startswith(f"{REPOSITORY}/raw/v1.2.3/docs/images/")]
    assert len(images) == (ROOT / "README.md").read_text("utf-8").count("![")
    assert all(re.match("https?://|#", link) for link in found)
    for link in found:
        if link.startswith(REPOSITORY):
            path = re.sub(r"^(raw|blob)/v1\.2\.3/", "", link.removeprefix(f"{REPOSITORY}/")).partition("#")[0]
            assert (ROOT / path).exists(), link
    assert f"Repository, {REPOSITORY}" in fields["Project-URL"]


def test_an_installed_wheel_has_its_files_and_programs(tmp_path):
    built = wheel(tmp_path / "dist")
    site = tmp_path / "site"
    built.extractall(site)
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["scripts"]
    assert {"harness", "upload-harness", "mock-upload-server"} <= set(scripts)
    for name, target in scripts.items():
        module, _, function = target.partition(":")
        # as pip's script does, with the wheel before everything else, away from the repository
        code = f"import sys; sys.path.insert(0, {str(site)!r}); sys.argv[0] = {name!r}; from {module} import {function}; sys.exit({function}())"
        told = subprocess.run(
            [sys.executable, "-P", "-c", code, "--help"], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert told.returncode == 0, told.stderr
        assert name == "upload-harness" or name in told.stdout
    code = f"import sys; sys.path.insert(0, {str(site)!r}); sys.argv = ['harness', 'simulate', 'smoke', '--out', 'out']; from harness.__main__ import main; sys.exit(main())"
    played = subprocess.run(
        [sys.executable, "-P", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert played.returncode == 0, played.stderr
    assert (tmp_path / "out" / "report" / "index.html").exists()


def test_classifiers_name_the_versions_of_python_that_ci_runs():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    ci = (ROOT / ".github" / "workflows" / "ci.yml").read_text("utf-8")
    (versions,) = re.findall(r"python: \[(.*)\]", ci)
    for version in re.findall(r"[\d.]+", versions):
        assert f"Programming Language :: Python :: {version}" in project["classifiers"]


@pytest.mark.parametrize("name", ["README.md", "docs/how-to/locust.md"])
def test_what_is_read_outside_the_repository_names_no_module_of_it(name):
    assert "locustfile.py" not in (ROOT / name).read_text("utf-8")

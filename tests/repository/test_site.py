"""The documentation site: pages made from the code are as the code is, and it builds without a warning and without the net."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, get_args, get_origin

import pytest
from pydantic import BaseModel

from docs._generate.__main__ import DOCS, PAGES
from docs._generate.markdown import prose
from harness.scenario.experiment import Experiment
from harness.scenario.scenario import Scenario
from mock_server.faults.registry import KINDS
from mock_server.profile.key_texts import key_texts
from mock_server.profile.units import Fixed
from mock_server.profile_file import Profile
from tests.support.documents import DOCUMENTS, ROOT
from tests.support.documents import prose as without_code

ROW = re.compile(r"^\| `([\w.]+)` \| (.*?) \| (?:`(.*?)`|needed|) \| (.*) \|$", re.MULTILINE)


@cache  # not when the tests are collected, by each of several processes
def made(name: str) -> str:
    return PAGES[name]()


@cache
def reference() -> str:
    return "".join(map(made, PAGES))


@pytest.mark.parametrize("name", PAGES)
def test_every_page_that_is_made_from_the_code_is_as_made(name: str) -> None:
    assert (DOCS / name).read_text("utf-8") == made(name), "make docs writes it anew"


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """Every model that an annotation leads to, through unions, lists and other models; distributions have a table of their own."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        if not issubclass(annotation, Fixed.__mro__[1]):
            yield annotation
            for field in annotation.model_fields.values():
                yield from models_in(field.annotation)
    elif get_origin(annotation) is not None:
        for inner in get_args(annotation):
            yield from models_in(inner)


@pytest.mark.parametrize("model", dict.fromkeys([*models_in(Scenario), *models_in(Profile), *models_in(Experiment), *KINDS]))  # fmt: skip
def test_every_key_of_every_table_is_in_the_reference_with_its_own_words(model: type[BaseModel]) -> None:
    tag, texts = {"kind", "strategy"}, key_texts(model)
    for key, field in model.model_fields.items():
        name = field.alias or key
        if get_origin(field.annotation) is not None and key in tag:
            assert re.search(rf"^## .*\b{get_args(field.annotation)[0]}$", reference(), re.MULTILINE), model
        elif model.__name__ == "StatusMeanings":
            assert f"`target.statuses.{name}`" in reference()
        else:
            assert texts.get(key), f"{model.__name__}.{key} has no text below it"
            row = rf"^\| `(?:[\w.]+\.)?{name}` \| .* \| {re.escape(prose(texts[key]))} \|$"
            assert re.search(row, reference(), re.MULTILINE), f"{model.__name__}.{key}"


def test_a_scenario_with_every_default_of_the_reference_written_out_is_the_one_without() -> None:
    needed = 'name = "plain"\ndeadline = "60s"\narrivals = { kind = "poisson", over = "10s" }\n'
    tables = {"stations", "photos", "client", "audit"}
    written = [
        f"{key} = {value}"
        for key, _, value, _ in ROW.findall(made("reference/scenario-keys.md").split("## [client.tus]")[0])
        if value and (key.partition(".")[0] in tables or "." not in key)
    ]
    server = [f"server.{key} = {value}" for key, _, value, _ in ROW.findall(made("reference/server-keys.md")) if value and key not in {"seed", "forms"}]  # fmt: skip
    assert len(written) > 10
    assert len(server) > 25
    full = Scenario.model_validate(tomllib.loads(needed + "\n".join(written + server)))
    assert full == Scenario.model_validate(tomllib.loads(needed))


OLD_PAGES = [
    "adding-a-chart",
    "adding-a-fault",
    "adding-a-protocol",
    "adding-a-strategy",
    "charts",
    "ci",
    "compare",
    "consent",
    "doctor",
    "domain",
    "experiments",
    "locust",
    "many-machines",
    "measuring",
    "metrics",
    "mock-server",
    "mock-server-tests",
    "prometheus",
    "run-folder",
    "scenario",
    "security",
    "thresholds",
    "what-the-audit-catches",
]
"""Pages that were at the root of the site before they moved into folders."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the built site."""
    folder = tmp_path_factory.mktemp("site")
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", folder],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert built.returncode == 0, built.stderr
    return folder


def test_the_site_builds_without_a_warning_with_every_page_and_fetches_nothing_from_elsewhere(site: Path) -> None:
    written = {str(path.relative_to(site)): path.read_text("utf-8") for path in site.rglob("*.html")}
    for path in DOCS.rglob("*.md"):
        assert str(path.relative_to(DOCS).with_suffix(".html")).replace("README", "index") in written
    redirects = {f"{page}.html" for page in OLD_PAGES}
    assert redirects <= set(written)
    for name, html in written.items():
        if name not in redirects:
            assert fetched_from_elsewhere(html) == [], name
            assert left_unread(html) == [], name
    for sheet in site.rglob("*.css"):
        assert not re.search(r"url\(\s*[\"']?(?:https?:)?//", sheet.read_text("utf-8")), sheet


def anchors(page: Path) -> set[str]:
    """The anchors of the headings of a built page."""
    return set(re.findall(r"<h[1-6][^>]* id=\"?([^\" >]+)", page.read_text("utf-8")))


def test_the_builder_that_comes_next_builds_the_same_pages_with_the_same_anchors(site: Path, tmp_path: Path) -> None:
    """Zensical takes no folder on its command line, and builds what lies beside its settings."""
    shutil.copytree(DOCS, tmp_path / "docs", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "mkdocs.yml", tmp_path)
    program = Path(sys.executable).parent / "zensical"
    built = subprocess.run(
        [program, "build", "--strict", "-f", tmp_path / "mkdocs.yml"], cwd=tmp_path, capture_output=True, text=True, check=False
    )  # fmt: skip
    assert built.returncode == 0, built.stdout + built.stderr
    redirects = {f"{page}.html" for page in OLD_PAGES}
    pages = {str(path.relative_to(site)) for path in site.rglob("*.html")} - redirects
    assert pages <= {str(path.relative_to(tmp_path / "site")) for path in (tmp_path / "site").rglob("*.html")}
    for name in pages - {"404.html"}:
        assert anchors(site / name) == anchors(tmp_path / "site" / name), name


def test_language_models_find_every_page(site: Path) -> None:
    listed = re.findall(r"^- \[[^]]+\]\(([^)]+)\)", (site / "llms.txt").read_text("utf-8"), re.MULTILINE)
    navigation = (ROOT / "mkdocs.yml").read_text("utf-8").partition("\nnav:\n")[2]
    pages = [page.replace("README", "index") for page in re.findall(r"[-:] (\S+)\.md$", navigation, re.MULTILINE)]
    assert listed == [f"{page}.html" for page in pages if page != "index"]
    assert [page for page in listed if not (site / page).exists()] == []


@pytest.mark.parametrize("page", OLD_PAGES)
def test_an_old_address_leads_to_the_page_and_keeps_the_anchor(site: Path, page: str) -> None:
    html = (site / f"{page}.html").read_text("utf-8")
    (address,) = re.findall(r'http-equiv="refresh" content="0; url=([^"]+)"', html)
    assert Path(address).name == f"{page}.html"
    assert "<article" in (site / address).read_text("utf-8")
    assert f'location.replace("{address}" + location.hash)' in html
    assert f'<link rel="canonical" href="{address}">' in html
    assert f'<a href="{address}">' in html


def test_the_old_address_of_the_verdicts_schema_still_has_it(site: Path) -> None:
    assert (site / "verdict.schema.json").read_bytes() == (DOCS / "reference" / "verdict.schema.json").read_bytes()


def test_old_addresses_are_in_neither_search_nor_navigation(site: Path) -> None:
    index = json.loads((site / "search" / "search_index.json").read_text("utf-8"))
    found = {entry["location"].partition("#")[0] for entry in index["docs"]}
    assert "reference/scenario.html" in found
    nav = (site / "index.html").read_text("utf-8")
    assert 'href="reference/scenario.html"' in nav
    for page in OLD_PAGES:
        assert f"{page}.html" not in found
        assert f'href="{page}.html"' not in nav


def test_the_site_has_no_source_files(site: Path) -> None:
    assert [path for path in site.rglob("*") if path.suffix in {".py", ".pyc"}] == []


def fetched_from_elsewhere(html: str) -> list[str]:
    """Addresses on other hosts that a browser would ask by itself."""
    fetched = re.findall(r"<(?:script|img|iframe|source)\b[^>]*\bsrc=[\"']?([^\"' >]+)", html)
    fetched += re.findall(r"<link\b(?=[^>]*rel=[\"']?(?:stylesheet|icon|preconnect|preload))[^>]*href=[\"']?([^\"' >]+)", html)  # fmt: skip
    assert fetched
    return [one for one in fetched if re.match(r"(?:https?:)?//", one)]


def left_unread(html: str) -> list[str]:
    """Markdown that is still Markdown: a table, a block, a list, a link or a heading that was not taken for one."""
    (article,) = re.findall(r"<article.*?</article>", html, re.DOTALL)
    text = re.sub(r"<[^>]+>", "", re.sub(r"<(pre|code)\b.*?</\1>", "", article, flags=re.DOTALL))
    return re.findall(r"\|\s*---|```|^- |\]\(\S+\)|^#{1,6} ", text, re.MULTILINE)


def test_what_would_be_fetched_or_left_unread_is_seen() -> None:
    assert fetched_from_elsewhere('<script src="https://cdn.example.org/x.js"></script>') == [
        "https://cdn.example.org/x.js"
    ]
    assert left_unread("<article><p>| a |\n| --- |</p></article>") == ["| ---"]


def test_what_belongs_to_an_item_of_a_list_is_indented_by_four() -> None:
    for path in DOCUMENTS:
        shallow = re.findall(r"\n\n( {1,3}\S.*)", without_code(path.read_text("utf-8")))
        assert shallow == [], f"{path}: with less than four the list ends there on the site, and begins again at 1"

"""Lists in pages, arrays and S3's XML: read whole or not at all, and never from another server."""

import json
from dataclasses import replace

import pytest
from pydantic import ValidationError

from harness.plan import make_plan
from harness.plan.own_stations import ListedStation
from harness.scenario.loader import load_scenario
from harness.scenario.target import StoredUrl
from harness.target import listing
from harness.target.listing import StoreUnreadableError, parse_s3_listing
from harness.target.planned_pages import UNVERIFIED, PlannedPages
from harness.target.stored_pages import read_listing
from tests.unit.target.test_stored_pages import door

NAME = "/{station}/{form}/{page}.jpg"


@pytest.fixture(scope="module")
def plan():
    return make_plan(load_scenario("smoke", ["photos.size=2KB", "photos.bank=1", "stations.count=2"]))


def source(**keys):
    return StoredUrl.model_validate({"kind": "url", "path": "/list", "name": NAME, "format": "array", **keys})


def item(plan, number):
    page = plan.page(number)
    return {"station": page.station, "form": page.form, "page": page.page, "sha256": page.sha256}


def read(plan, answers, links=None, **keys):
    """Rows of a list whose pages are `answers` by path; `links` are their Link headers."""
    with door(lambda path: (200, answers[path], None) if path in answers else (404, b"", None), links=links) as client:
        keys = {
            name: json.loads(json.dumps(value).replace("ORIGIN", str(client.origin))) for name, value in keys.items()
        }
        texts = {path: text.replace(b"ORIGIN", str(client.origin).encode()) for path, text in answers.items()}
        answers.update(texts)
        return list(read_listing(source(**keys), client, plan))


def keys_of(rows):
    return [(row["station"], row["form"], row["page"]) for row in rows]


def as_json(content):
    return json.dumps(content).encode()


def test_an_array_may_stand_anywhere_and_its_fields_too(plan):
    page = plan.page(2)
    items = [{"meta": {"site": page.station}, "kind": "ppwp", "n": "3", "hash": page.sha256}]
    fields = {"station": "/meta/site", "form": "/kind", "page": "/n", "sha256": "/hash"}
    (row,) = read(plan, {"/list": as_json({"data": {"files": items}})}, items="/data/files", fields=fields)
    assert (keys_of([row]), row["sha256"]) == ([page.key], page.sha256)


@pytest.mark.parametrize(
    ("keys", "answers"),
    [
        ({"next": "/next", "items": "/items"}, {"/list": {"items": [0, 1], "next": "/list?after=1"}, "/list?after=1": {"items": [2], "next": None}}),
        ({"next": "/next", "items": "/items"}, {"/list": {"items": [0, 1], "next": "ORIGIN/other?x=1"}, "/other?x=1": {"items": [2]}}),
        ({"next": "/cursor", "items": "/items", "path": "/list?after={cursor}"}, {"/list?after=": {"items": [0, 1], "cursor": "a/b"}, "/list?after=a%2Fb": {"items": [2], "cursor": ""}}),
        ({"next": "number", "path": "/list?page={number}"}, {"/list?page=1": [0, 1], "/list?page=2": [2], "/list?page=3": []}),
        ({"next": "number", "path": "/list?page={number}", "first": 0}, {"/list?page=0": [0, 1], "/list?page=1": [2], "/list?page=2": []}),
    ],
)  # fmt: skip
def test_pages_are_followed_to_the_last(plan, keys, answers):
    def filled(content):
        if isinstance(content, list):
            return [item(plan, number) for number in content]
        return {**content, "items": filled(content["items"])}

    rows = read(plan, {path: as_json(filled(content)) for path, content in answers.items()}, **keys)
    assert keys_of(rows) == [plan.key(number) for number in range(3)]


def test_the_link_header_leads_to_the_next_page(plan):
    links = {"/list": '</list?p=0>; rel="prev", </list?p=2>; rel="next last"'}
    answers = {"/list": as_json([item(plan, 0)]), "/list?p=2": as_json([item(plan, 1)])}
    assert keys_of(read(plan, answers, links, next="link")) == [plan.key(0), plan.key(1)]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ({"items": [], "next": "http://elsewhere.example/list"}, "not on the target"),
        ({"items": [], "next": "//elsewhere.example/list"}, "not on the target"),
        ({"items": [], "next": "file:///etc/passwd"}, "not on the target"),
        ({"items": [], "next": "/list"}, "leads back"),
        ({"items": [], "next": {"a": 1}}, "it is dict"),
        ({"items": [], "next": "/a\r\nX: y"}, "is not a URL"),
        ({"items": {}}, "not an array at /items"),
        ({"items": [[]]}, "an item that can't be read"),
        ({"items": [{"station": "1", "form": "ppwp", "page": 1}]}, "neither sha256 nor size_bytes"),
    ],
)
def test_a_list_that_leads_elsewhere_or_nowhere_leaves_the_store_unread(plan, content, why):
    with pytest.raises(StoreUnreadableError, match=why):
        read(plan, {"/list": as_json(content)}, items="/items", next="/next")


def test_a_list_is_bounded_in_size_and_number_of_pages(plan, monkeypatch):
    endless = {f"/list?page={number}": as_json([item(plan, 0)]) for number in range(1, 9)}
    monkeypatch.setattr(listing, "MAX_DOCUMENTS", 4)
    with pytest.raises(StoreUnreadableError, match="more than 4 pages"):
        read(plan, dict(endless), next="number", path="/list?page={number}")
    monkeypatch.setattr(listing, "MAX_DOCUMENT_BYTES", 100)
    with pytest.raises(StoreUnreadableError, match="too large"):
        read(plan, dict(endless), next="number", path="/list?page={number}")


def test_a_size_without_a_digest_is_weaker_evidence(plan):
    page = plan.page(0)
    sized = [{**item(plan, 0), "size_bytes": page.size_bytes}, {**item(plan, 1), "size_bytes": 5}]
    for one in sized:
        del one["sha256"]
    good, bad = read(plan, {"/list": as_json(sized)})
    assert (good["sha256"], good[UNVERIFIED]) == (page.sha256, True)
    assert (bad["sha256"], bad[UNVERIFIED]) == ("", False)


# --- S3

S3_PAGE = """<?xml version="1.0" encoding="UTF-8"?>
<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>photos</Name><IsTruncated>{truncated}</IsTruncated>
{token}<Contents><Key>{key}</Key><ETag>&quot;{etag}&quot;</ETag><Size>{size}</Size><Owner><ID>7</ID></Owner></Contents></ListBucketResult>"""


def s3(key, etag="", size=2000, token=""):
    more = f"<NextContinuationToken>{token}</NextContinuationToken>" if token else ""
    return S3_PAGE.format(key=key, etag=etag, size=size, truncated="true" if token else "false", token=more).encode()


def md5_of(plan, number):
    return plan.bank[0].md5(plan.photo(number)[1])


def test_a_bucket_is_listed_to_its_last_page_and_md5_etags_prove_the_bytes(plan):
    first, second = (f"{plan.key(n).station}%2Fppwp%2F{plan.key(n).page}.jpg" for n in (0, 1))
    answers = {
        "/list?list-type=2&encoding-type=url": s3(first, md5_of(plan, 0), token="t/1"),
        "/list?list-type=2&encoding-type=url&continuation-token=t%2F1": s3(second, md5_of(plan, 4)),
    }
    good, misfiled = read(plan, answers, format="s3", etag="md5")
    assert (keys_of([good]), good["sha256"]) == ([plan.key(0)], plan.page(0).sha256)
    assert (keys_of([misfiled]), misfiled["sha256"]) == ([plan.key(1)], plan.page(4).sha256)


@pytest.mark.parametrize(("etag", "digest"), [("0" * 32, "md5:" + "0" * 32), ("0" * 32 + "-3", "planned")])
def test_an_etag_is_other_bytes_or_of_an_object_in_parts_whose_size_remains(plan, etag, digest):
    page = plan.page(0)
    answer = {"/list?list-type=2&encoding-type=url": s3(f"{page.station}/ppwp/1.jpg", etag, page.size_bytes)}
    (row,) = read(plan, answer, format="s3", etag="md5")
    assert row["sha256"] == (page.sha256 if digest == "planned" else digest)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('<!DOCTYPE a [<!ENTITY b "c">]><ListBucketResult/>', "document type"),
        ("<Error><Code>NoSuchBucket</Code></Error>", "no ListBucketResult"),
        ("<ListBucketResult><Contents><Key>a</Key></Contents></ListBucketResult>", "without Key and Size"),
        ("<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>", "without NextContinuationToken"),
        ("<ListBucketResult><Name>" + "x" * 9_000 + "</Name></ListBucketResult>", "8,192 characters"),
        ("<ListBucketResult>", "no element found"),
        ("", "no element found"),
    ],
)
def test_xml_that_is_not_a_whole_list_is_refused(text, why):
    with pytest.raises(StoreUnreadableError, match=why):
        parse_s3_listing(text.encode(), "/list")


@pytest.mark.parametrize(
    "keys",
    [{"next": "/next", "format": "json"}, {"next": "number"}, {"path": "/l?p={number}"}, {"path": "/l?p={cursor}", "next": "link"}, {"etag": "md5"}, {"next": "somewhere"}, {"items": "data"}],
)  # fmt: skip
def test_keys_that_do_not_go_together_are_refused(keys):
    with pytest.raises(ValidationError):
        source(**keys)


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("p/Zürich/Nord 1/consent form/2.jpg", ("Zürich/Nord 1", "consent form", 2)),
        ("p/Z%C3%BCrich%2FNord%201/consent%20form/2.jpg", ("Zürich/Nord 1", "consent form", 2)),
        ("p/CLINIC-1/intake/1.jpg", ("CLINIC-1", "intake", 1)),
        ("p/unknown/intake/1.jpg", ("p/unknown", "intake", 1)),
        ("p/CLINIC-1/other/1.jpg", ("p/CLINIC-1/other/1.jpg", "", 0)),
    ],
)
def test_names_of_the_users_own_stations_are_found_whatever_separators_they_have(plan, name, key):
    stations = [ListedStation(code, "") for code in ("CLINIC-1", "Zürich/Nord 1")]
    own = replace(plan, stations=stations, slots=(("intake", 1), ("consent form", 2)))
    planned = PlannedPages(own)
    assert planned.named(name, planned.name_pattern(NAME)) == key

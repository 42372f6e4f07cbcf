"""The table [target]: what it may say, and what it refuses with a word on what is allowed."""

import pytest

from harness.base.errors import ConfigurationError
from harness.base.model import Outcome
from harness.scenario.loader import load_scenario
from harness.scenario.request import StatusMeanings
from harness.scenario.scenario import parse_resolved

MINIMAL = 'name = "a"\ndeadline = "9s"\n[arrivals]\nkind = "surge"\nover = "1s"\n'


def scenario(tmp_path, table, head=MINIMAL):
    path = tmp_path / "mine.toml"
    path.write_text(f"{head}[target]\n{table}\n", "utf-8")
    return load_scenario(str(path))


def problem(tmp_path, table, head=MINIMAL):
    with pytest.raises(ConfigurationError) as caught:
        scenario(tmp_path, table, head)
    return str(caught.value)


def test_a_target_survives_run_json_with_its_templates_as_they_were_written(tmp_path):
    loaded = scenario(tmp_path, 'path = "/{station}/{form}/{page}"\nheaders = { X-Api-Key = "${TARGET_KEY}" }')
    resolved = loaded.resolved()
    assert resolved["target"]["headers"] == {"X-Api-Key": "${TARGET_KEY}"}
    assert "server" not in resolved
    assert "faults" not in resolved
    assert parse_resolved(resolved) == loaded


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("table", "word"),
    [
        ("", "path is missing (or [[target.steps]]"),
        ('path = "http://elsewhere/x"', "should be a path on the target"),
        ('path = "//elsewhere/x"', "should be a path on the target"),
        ('path = "/x y"', "should be a path on the target"),
        ('path = "/x\\r\\nHost: y"', "should be a path on the target"),
        ('path = "/{nobody}"', "{nobody} is not available here"),
        ('path = "/${TARGET_KEY}"', "use a header"),
        ('path = "/x"\nheaders = { Authorization = "Bearer abc" }', "take the secret from the environment"),
        ('path = "/x"\nheaders = { X-Access-Token = "abc" }', "take the secret from the environment"),
        ('path = "/x"\nheaders = { Ocp-Apim-Subscription-Key = "abc" }', "take the secret from the environment"),
        ('path = "/x"\nheaders = { X-Auth = "abc" }', "take the secret from the environment"),
        ('path = "/x"\nheaders = { Authorization = "Basic abc{page}" }', "take the secret from the environment"),
        (
            'path = "/x"\nstored = { kind = "fetch", path = "/{page}", headers = { Cookie = "id=abc{page}" } }',
            "Cookie: take the secret",
        ),
        (
            'path = "/x"\nlogin = { path = "/l", token = "/t", headers = { X-Api-Key = "abc-{station}" } }',
            "take the secret from the environment",
        ),
        ('path = "/x"\nlogin = { path = "/l", token = "/t", body = "password={pin}abc" }', "contains a password"),
        (
            'path = "/x"\nbody = "multipart"\nparts = [{ name = "photo" }, { name = "token", value = "abc{page}" }]',
            "token: take the secret",
        ),
        ('path = "/x"\nheaders = { Host = "y" }', "one that the client sets itself"),
        ('path = "/x"\nheaders = { "A B" = "y" }', "not a header name"),
        ('path = "/x"\nheaders = { A = "y\\r\\nB: c" }', "control characters"),
        ('path = "/x"\nheaders = { A = "${HOME}" }', "must begin with TARGET_"),
        ('path = "/x"\nheaders = { A = "{token}" }', "needs [target.login]"),
        ('path = "/x"\nlogin = { path = "/l", token = "/t", body = "password=abc" }', "contains a password"),
        ('path = "/x"\nbody = "multipart"', "exactly one of them without a value"),
        ('path = "/x"\nparts = [{ name = "a" }]', 'parts belong to body = "multipart"'),
        ('path = "/x"\nstatuses = { accepted = [500] }', "is not a success status"),
        ('path = "/x"\nstatuses = { accepted = [302] }', "is not a success status"),
        ('path = "/x"\nstatuses = { accepted = [200], replayed = [200] }', "means both accepted and replayed"),
        ('path = "/x"\nstatuses = { throttled = ["4x"] }', "neither a status"),
        ('path = "/x"\nmetrics = [{ name = "worker-0", port = 1 }]', "reserved name"),
        ('path = "/x"\nmetrics = [{ name = "../a", port = 1 }]', "pattern"),
        ('path = "/x"\nstored = { kind = "sql" }', "is not one of url, command, fetch, none"),
    ],
)
def test_a_wrong_target_is_refused_with_what_is_allowed(tmp_path, table, word):
    said = problem(tmp_path, table)
    assert word in said
    assert "abc" not in said  # a secret is not repeated


def test_a_target_and_the_mocks_own_tables_exclude_each_other(tmp_path):
    head = MINIMAL + "[server]\nworkers = 2\n"
    assert "[server] describes the mock" in problem(tmp_path, 'path = "/x"', head)
    head = MINIMAL + '[[faults]]\nkind = "down"\nstart = "1s"\nduration = "1s"\n'
    assert "[faults] describes the mock" in problem(tmp_path, 'path = "/x"', head)


def test_tus_takes_one_path_for_all(tmp_path):
    head = MINIMAL + '[client]\nprotocol = "tus"\n'
    assert scenario(tmp_path, 'path = "/files"', head).target is not None
    assert "tus" in problem(tmp_path, 'path = "/files/{station}"', head)


def test_a_number_goes_before_its_class_and_what_stands_nowhere_means_nothing():
    meanings = StatusMeanings(replayed=("409", "412"), throttled=("429", "503"), unavailable=()).outcomes()
    assert meanings[201 - 1] is Outcome.ACCEPTED
    assert (meanings[409], meanings[404], meanings[503], meanings[500]) == (
        Outcome.REPLAYED, Outcome.REJECTED, Outcome.THROTTLED, Outcome.SERVER_ERROR,
    )  # fmt: skip
    assert 302 not in meanings
    assert 206 not in meanings

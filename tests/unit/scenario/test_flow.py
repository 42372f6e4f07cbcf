"""[[target.steps]]: what may stand there, and what is refused with a word on what is allowed."""

import pytest

from harness.base.errors import ConfigurationError
from harness.scenario.loader import load_scenario
from harness.scenario.scenario import parse_resolved
from harness.simulate.unsupported import find_unsupported

HEAD = 'name = "a"\ndeadline = "9s"\n[arrivals]\nkind = "surge"\nover = "1s"\n'
LOGIN = 'name = "login"\nonce = "station"\npath = "/login"\ntake = { token = "/t" }'
PUT = 'name = "put"\nmethod = "PUT"\npath = "/x/{station}"\nbody = "raw"'


def scenario(tmp_path, *steps, table="", head=HEAD):
    path = tmp_path / "mine.toml"
    text = "".join(f"[[target.steps]]\n{step}\n" for step in steps)
    path.write_text(f"{head}[target]\n{table}\n{text}", "utf-8")
    return load_scenario(str(path))


def test_steps_survive_run_json_and_the_twin_refuses_them_by_name(tmp_path):
    loaded = scenario(tmp_path, LOGIN, PUT, table='headers = { Authorization = "Bearer {token}" }\nresumable = true')
    assert parse_resolved(loaded.resolved()) == loaded
    assert loaded.target is not None
    assert [step.name for step in loaded.target.steps] == ["login", "put"]
    (refusal,) = find_unsupported(loaded)
    assert "[[target.steps]] (login, put)" in refusal


@pytest.mark.parametrize(
    ("steps", "word"),
    [
        ([LOGIN], "exactly one step sends the photo"),
        ([PUT, PUT.replace('"put"', '"put2"')], "put and put2 do"),
        ([PUT, PUT], "duplicate name put"),
        ([PUT, LOGIN], 'steps.login: once = "station" must come before put'),
        ([PUT + '\nurl = "{a}"'], "either a path on the target, or a url"),
        ([PUT.replace('path = "/x/{station}"', 'url = "http://elsewhere/x"')], "should begin with a value that an earlier step has taken"),
        ([PUT.replace('path = "/x/{station}"', 'url = "{upload_url}"')], "steps.put: {upload_url} is not available here"),
        ([PUT.replace("{station}", "{token}") ], "steps.put: {token} is not available here; allowed: {attempt}"),
        ([LOGIN.replace('"/login"', '"/login/{page}"'), PUT], "steps.login: {page} is not available here; allowed: {pin}, {station}"),
        ([LOGIN.replace("token =", "page ="), PUT], '"page" is a value that every page has'),
        ([LOGIN.replace("token =", "To-ken ="), PUT], '"To-ken" is not a valid name'),
        ([LOGIN.replace('"/t"', '"t"'), PUT], 'should be a JSON pointer such as "/data/url"'),
        ([LOGIN.replace('"/t"', '"regex:(a"'), PUT], "is not a valid regular expression"),
        ([LOGIN.replace('"/t"', '"regex:a"'), PUT], "exactly one is needed"),
        ([LOGIN.replace('"/t"', '"header:"'), PUT], "should be a JSON pointer"),
        ([LOGIN + '\nbody = "json"\ncontent = "{{station}"', PUT], "content is not JSON"),
        ([LOGIN + '\nbody = "json"\ncontent = \'{"password": "sesame"}\'', PUT], "take it from the environment"),
        ([LOGIN + '\ncontent = "x"', PUT], 'content belongs to body = "text", "json" or "form", not to "none"'),
        ([LOGIN + '\nbody = "raw"', PUT], "can't have the photo in its body"),
        ([LOGIN + '\nmethod = "GET"\nbody = "text"', PUT], "a GET has no body"),
        ([LOGIN + '\nbody = "multipart"', PUT], 'body = "multipart" needs [[target.steps.parts]]'),
        ([PUT + "\nagain_after = [403]"], 'again_after belongs to a step with once = "station"'),
        ([PUT + "\nstatuses = { accepted = [302] }"], "the last step acknowledges the page: only 2xx"),
        ([PUT + "\nstatuses = { accepted = [404] }"], "404 is not a success status"),
        ([PUT + '\nsuccess = { pointer = "/ok" }'], "needs exactly one of equals, matches and exists; it has none"),
        ([PUT + "\nsuccess = { equals = true }"], "equals needs a pointer"),
        ([PUT + '\nsuccess = { pointer = "/ok", equals = true, exists = true }'], "it has equals and exists"),
        ([PUT + '\npart_size = "10B"'], "greater than or equal to 1000"),
        ([LOGIN + '\npart_size = "10KB"', PUT], 'part_size needs body = "raw"'),
        ([PUT, 'name = "d"\npath = "/"\nbody = "text"\ncontent = "{parts}"'], "one needs the other"),
        ([PUT, 'name = "d"\npath = "/"\nbody = "text"\ncontent = "{parts}"\neach_part = "{part}"'], "each_part needs an earlier step with part_size"),
        ([PUT + '\nheaders = { Authorization = "Bearer abc" }'], "take the secret from the environment"),
        ([PUT + '\nheaders = { Host = "x" }'], '"Host" cannot be set'),
        ([PUT + '\nmethd = "PUT"'], "methd"),
    ],
)  # fmt: skip
def test_steps_that_do_not_fit_are_refused(tmp_path, steps, word):
    with pytest.raises(ConfigurationError) as refused:
        scenario(tmp_path, *steps)
    assert word in str(refused.value)


@pytest.mark.parametrize(
    ("table", "head", "word"),
    [
        ('path = "/x"', HEAD, "path describes an upload of one request"),
        ('login = { path = "/l", token = "/t" }', HEAD, "login describes an upload of one request"),
        ('headers = { X = "{token}" }', HEAD, "headers.X: no step takes {token}"),
        ("", f'{HEAD}[client]\nprotocol = "tus"\n', 'client.protocol = "tus" defines its own requests'),
    ],
)
def test_what_can_not_stand_beside_steps_is_refused(tmp_path, table, head, word):
    with pytest.raises(ConfigurationError) as refused:
        scenario(tmp_path, PUT, table=table, head=head)
    assert word in str(refused.value)


def test_one_request_can_not_be_resumed(tmp_path):
    with pytest.raises(ConfigurationError, match="resumable needs"):
        scenario(tmp_path, table='path = "/x"\nresumable = true')

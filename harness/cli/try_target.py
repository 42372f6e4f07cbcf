"""`harness try`: one station's pages to a server of one's own, with every request and its answer."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from http import HTTPStatus
from typing import Annotated, Any

import typer

from harness.base.errors import ConfigurationError, ExitCode, UsageError
from harness.base.model import DELIVERED
from harness.cli.options import (
    AllowCode,
    AllowCommand,
    AlsoTarget,
    Overrides,
    ScenarioName,
    Seed,
    check_code_allowed,
    check_listening,
    planning,
)
from harness.plan import Plan, make_plan
from harness.plan.own_stations import find_station_problems
from harness.run_folder.tables import read_planned_due
from harness.runner.trial import send_one_station
from harness.scenario import loader
from harness.scenario.scenario import Scenario
from harness.target.earlier_store import EarlierStore
from harness.target.external import ExternalTarget, admit_target
from harness.target.listing import StoreUnreadableError
from harness.target.planned_pages import StoredRow
from reports.number_format import escape_control_characters

_SHOWN_LINES = 12
_SHOWN_WIDTH = 300
_UNINTERESTING = ("content-length", "date", "server", "connection", "host")


def try_target(
    source: ScenarioName,
    target: Annotated[str, typer.Option(metavar="URL", help="URL of the server to try.")] = "",
    also_target: AlsoTarget = [],
    overrides: Overrides = [],
    seed: Seed = None,
    allow_command: AllowCommand = False,
    allow_code: AllowCode = False,
) -> None:
    """Send one station's pages to a server of yours and print each request, its answer, and what it was taken for.

    Every page is sent once, without retries; secrets are masked. Exit code 0 all pages are acknowledged and stored, 99 not, 3 if
    some were stored before, so that nobody can tell.
    """
    if not target:
        message = f"harness try needs --target URL: harness try {source} --target http://127.0.0.1:8080"
        raise UsageError(message)
    loaded = loader.load_scenario(source, overrides, seed, read_planned_due)
    check_code_allowed(source, loaded, allow_code=allow_code)
    problems = find_station_problems(loaded)
    if problems:
        raise ConfigurationError(source, problems)
    scenario = _only_one_station(loaded)
    with planning(source):
        plan = make_plan(scenario)
    external = admit_target(target, scenario, plan, 1, os.environ, allow_command=allow_command, also=also_target)
    check_listening(external)
    earlier = _read_store_before(external, plan)
    acknowledged = 0
    for happened in send_one_station(scenario, external):
        if happened["event"] == "request":
            _print_request(happened)
        else:
            acknowledged += happened["outcome"] in DELIVERED
            _print_page(happened)
    code = _print_store(external, plan, earlier)
    print(f"\n{acknowledged} of {plan.pages} pages acknowledged.")
    if acknowledged < plan.pages:
        raise typer.Exit(ExitCode.FAILED)
    options = _options_as_given(target, also_target, overrides, allow_command=allow_command, allow_code=allow_code)
    if code is ExitCode.INVALID:
        print("To see whether the server stores them, remove them from the store and try again.")
        _print_next("try", [source, *options], loaded, seed)
    elif code is ExitCode.PASSED and external.has_readable_store:
        print("They stay in the store: remove them, because a run that finds photos of its own plan there is refused.")
        _print_next("run", [source, *options], loaded, seed)
    elif code is ExitCode.PASSED:
        _print(f"Next: harness run {shlex.join([source, *options, *_seed_option(seed)])}")
    if code is not ExitCode.PASSED:
        raise typer.Exit(code)


def _options_as_given(
    target: str, also_target: Sequence[str], overrides: Sequence[str], *, allow_command: bool, allow_code: bool
) -> list[str]:
    """The options of this command but for --seed, for the next one."""
    return [
        "--target", target,
        *(word for url in also_target for word in ("--also-target", url)),
        *(word for override in overrides for word in ("--set", override)),
        *(["--allow-command"] if allow_command else []),
        *(["--allow-code"] if allow_code else []),
    ]  # fmt: skip


def _seed_option(seed: int | None) -> list[str]:
    return [] if seed is None else ["--seed", str(seed)]


def _print_next(command: str, arguments: Sequence[str], loaded: Scenario, seed: int | None) -> None:
    """Print the next command, once the pages are removed; and with another seed, if that makes other photos."""
    _print(f"Next: harness {command} {shlex.join([*arguments, *_seed_option(seed)])}")
    if loaded.photos.folder is None:  # of files of the user's own no seed makes others
        other = shlex.join([*arguments, *_seed_option(loaded.seed + 1)])
        print("Or leave them there and send other photos, if the server takes these under the same names:")
        _print(f"      harness {command} {other}")


def _only_one_station(loaded: Scenario) -> Scenario:
    """The scenario with its first station alone, without readers."""
    stations = loaded.stations.model_copy(update={"count": 1})
    return loaded.model_copy(update={"stations": stations, "readers": None})


def _print_request(it: dict[str, Any]) -> None:
    photo = f"  + {it['photo_bytes']:,} bytes of the photo" if it["photo_bytes"] else ""
    print()
    _print(f"{it['name'] or 'request'}: {it['line']}{photo}")
    for header in it["headers"]:
        if not header.lower().startswith(_UNINTERESTING):
            _print(f"  > {header}")
    _print_text(">", it["body"], len(it["body"].encode()))
    for interim in it["interim"]:
        _print(f"  < {interim['status']} (interim)")
        for header in interim["headers"]:
            _print(f"  < {header}")
    if not it["status"]:
        _print(f"  < no answer within {it['took_s']:.1f} s")
        return
    phrase = HTTPStatus(it["status"]).phrase if it["status"] in HTTPStatus._value2member_map_ else ""
    _print(f"  < {it['status']} {phrase} after {1000 * it['took_s']:.0f} ms")
    for header in it["answer_headers"]:
        if not header.lower().startswith(_UNINTERESTING):
            _print(f"  < {header}")
    _print_text("<", it["answer"], it["answer_bytes"])
    if it["outcome"]:
        return
    _print(f"  = goes on{'; takes ' + ', '.join(it['takes']) if it['takes'] else ''}")


def _print_text(mark: str, text: str, size: int) -> None:
    lines = text.splitlines()
    for line in lines[:_SHOWN_LINES]:
        _print(f"  {mark} {line[:_SHOWN_WIDTH]}{'…' if len(line) > _SHOWN_WIDTH else ''}")
    if len(lines) > _SHOWN_LINES:
        _print(f"  {mark} … ({size:,} bytes)")


def _print_page(it: dict[str, Any]) -> None:
    why = it["detail"] or it["reason"]
    meaning = (
        "the page is acknowledged" if it["outcome"] in DELIVERED else f"not acknowledged{f': {why}' if why else ''}"
    )
    _print(f"  = {it['outcome']}: {meaning}")
    _print(f"Page {it['station']}/{it['form']}/{it['page']}: {it['outcome']} after {1000 * it['took_s']:.0f} ms")


def _read_store_before(external: ExternalTarget, plan: Plan) -> EarlierStore:
    """What was stored before the try; a store that can't be read yet is taken for empty, as before a run."""
    if not external.has_readable_store:
        return EarlierStore()
    try:
        return EarlierStore(external.stored(plan, str))
    except StoreUnreadableError as error:
        _print(f"The store can't be read before the try, and is taken for empty: {error}")
        return EarlierStore()


def _print_store(external: ExternalTarget, plan: Plan, earlier: EarlierStore) -> ExitCode:
    """Print what is stored of the pages.

    FAILED if one is missing or the store could not be read, INVALID if a page's copy was there before the try.
    """
    if not external.has_readable_store:
        print(
            "\nWhat is stored can't be checked: [target.stored] doesn't say how to read it, so a run's safety stays unknown."
        )
        return ExitCode.PASSED
    try:
        rows = list(external.stored(plan, str))
    except StoreUnreadableError as error:
        print()
        _print(f"What is stored could not be read: {error}")
        return ExitCode.FAILED
    planned = {page.key: page.sha256 for page in plan}
    expected = [(_key(row), planned.get(_key(row))) for row in rows]  # type: ignore[call-overload]
    right = {key for row, (key, sha256) in zip(rows, expected, strict=True) if row["sha256"] == sha256}
    new = {_key(row) for row in earlier.without(rows)} & right
    wrong = sum(sha256 not in {None, row["sha256"]} for row, (_, sha256) in zip(rows, expected, strict=True))
    others = sum(sha256 is None for _, sha256 in expected)
    before = len(right - new)
    more = f", {wrong} with other bytes" if wrong else ""
    more += f", {before} stored before this try, which may not have stored them again" if before else ""
    print(f"\nStored as sent: {len(new)} of {len(planned)} pages{more}; {others} other photos are in the store.")
    if len(right) < len(planned):
        return ExitCode.FAILED
    return ExitCode.INVALID if before else ExitCode.PASSED


def _key(row: StoredRow) -> tuple[object, object, object]:
    return row["station"], row["form"], row["page"]


def _print(text: str) -> None:
    print(escape_control_characters(text), flush=True)

"""`harness try`: one station's pages to a server of one's own, with every request and its answer."""

from __future__ import annotations

import os
from http import HTTPStatus
from typing import Annotated, Any

import typer

from harness.base.errors import ExitCode, UsageError
from harness.base.model import DELIVERED
from harness.cli.options import AllowCommand, AlsoTarget, Overrides, ScenarioName, Seed, check_listening
from harness.plan import Plan, make_plan
from harness.run_folder.tables import read_planned_due
from harness.runner.trial import send_one_station
from harness.scenario import loader
from harness.scenario.scenario import Scenario
from harness.target.external import ExternalTarget, admit_target
from harness.target.listing import StoreUnreadableError
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
) -> None:
    """Send one station's pages to a server of yours and print each request, its answer, and what it was taken for.

    Every page is sent once, without retries; secrets are masked. Exit code 0 all pages are acknowledged and stored, 99 not.
    """
    if not target:
        message = f"harness try needs --target URL: harness try {source} --target http://127.0.0.1:8080"
        raise UsageError(message)
    loaded = loader.load_scenario(source, overrides, seed, read_planned_due)
    scenario = _only_one_station(loaded)
    plan = make_plan(scenario)
    external = admit_target(target, scenario, plan, 1, os.environ, allow_command=allow_command, also=also_target)
    check_listening(external)
    acknowledged = 0
    for happened in send_one_station(scenario, external):
        if happened["event"] == "request":
            _print_request(happened)
        else:
            acknowledged += happened["outcome"] in DELIVERED
            _print_page(happened)
    complete = _print_store(external, plan)
    print(f"\n{acknowledged} of {plan.pages} pages acknowledged.")
    if acknowledged == plan.pages and complete:
        also = "".join(f" --also-target {url}" for url in also_target)
        print("They stay in the store: remove them before a run, whose audit counts what is there.")
        _print(f"Next: harness run {source} --target {target}{also}{' --allow-command' if allow_command else ''}")
        return
    raise typer.Exit(ExitCode.FAILED)


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


def _print_store(external: ExternalTarget, plan: Plan) -> bool:
    """Print what is stored of the pages; False if one is missing although the store could be read."""
    if not external.has_readable_store:
        print(
            "\nWhat is stored can't be checked: [target.stored] doesn't say how to read it, so a run's safety stays unknown."
        )
        return True
    planned = {page.key: page.sha256 for page in plan}
    right, wrong, others = 0, 0, 0
    try:
        for row in external.stored(plan, lambda: ""):
            expected = planned.get((row["station"], row["form"], row["page"]))  # type: ignore[call-overload]
            right += expected == row["sha256"]
            wrong += expected not in {None, row["sha256"]}
            others += expected is None
    except StoreUnreadableError as error:
        print()
        _print(f"What is stored could not be read: {error}")
        return False
    more = f", {wrong} with other bytes" if wrong else ""
    print(f"\nStored as sent: {right} of {len(planned)} pages{more}; {others} other photos are in the store.")
    return right == len(planned)


def _print(text: str) -> None:
    print(escape_control_characters(text), flush=True)

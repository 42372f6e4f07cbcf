"""The pages of keys: everything that can stand in a scenario, a profile and an experiment."""

from __future__ import annotations

import sys
from typing import Any, get_args

from pydantic import BaseModel

from docs._generate.markdown import NOTICE, markdown, sentence, table
from docs._generate.value_text import default
from harness.scenario import flow, request, scenario, stations, target
from harness.scenario.arrivals import ArrivalsConfig, BurstOptions
from harness.scenario.capacity_file import CapacityFile
from harness.scenario.client import ClientOptions, Link, LinkQuality, Outages, ResumableOptions, TlsOptions, TusOptions
from harness.scenario.experiment import Experiment, Variant
from harness.scenario.readers import ReaderOptions
from harness.scenario.recapitulation import RecapitulationOptions
from harness.scenario.retry import NoRetry, RetryConfig
from harness.scenario.simulation import FittedRange, SimulationCosts
from mock_server.faults.abort import WeightedStatus
from mock_server.faults.base import Fault, Match
from mock_server.faults.registry import KINDS
from mock_server.profile import units
from mock_server.profile.server_profile import ServerProfile
from mock_server.profile_file import Profile

QUANTITIES = (
    "Durations, sizes, rates and ratios are [written with their units](scenario.md#quantities). A key without a "
    "default may be left out unless it is needed.\n"
)
HIT_BY_SCOPE = {
    "request": "any request that matches",
    "rows": "rows about to be stored",
    "acknowledgement": "an upload about to be acknowledged",
    "resumable": "a resumable upload that is queried or continued",
    "work": "the work on an upload",
    "server": "the server as a whole",
}
"""What a fault of each scope hits (mock_server/faults/base.py)."""
DISTRIBUTIONS = (units.Fixed, units.Uniform, units.Exponential, units.Lognormal)


def scenario_keys() -> str:
    """Every key of a scenario that has no page of its own."""
    sections: list[tuple[str, type[BaseModel], str]] = [
        ("Top level", scenario.Scenario, ""),
        ("[stations]", stations.StationOptions, "stations."),
        ("[photos]", scenario.PhotoOptions, "photos."),
        ("[client]", ClientOptions, "client."),
        ("[client.tus]", TusOptions, "client.tus."),
        ("[client.resumable]", ResumableOptions, "client.resumable."),
        ("[client.tls]", TlsOptions, "client.tls."),
        ("[client.link]", Link, "client.link."),
        ("[client.link.poor]", LinkQuality, "client.link.poor."),
        ("[client.link.outages]", Outages, "client.link.outages."),
        ("[readers]", ReaderOptions, "readers."),
        ("[simulate]", SimulationCosts, "simulate."),
        ("[simulate.fitted]", FittedRange, "simulate.fitted."),
        ("[audit]", scenario.AuditOptions, "audit."),
        ("[recapitulation]", RecapitulationOptions, "recapitulation."),
        ("[[thresholds]]", scenario.Threshold, ""),
    ]
    parts = [_head("Every key of a scenario", "What they are for, with examples: [a scenario](scenario.md).")]
    parts += [_section(title, model, prefix) for title, model, prefix in sections]
    parts.append(
        "## Distributions\n\nA plain quantity is `fixed`. Each may have a `max`: values above are cut to it.\n"
    )
    rows = [[f"`{_tag(one, 'distribution')}`", _own_keys(one), sentence(one)] for one in DISTRIBUTIONS]
    parts.append(markdown(["`distribution`", "keys", "what is drawn"], rows))
    return "\n".join(parts)


def arrivals() -> str:
    """Every way in which stations arrive."""
    parts = [_head("Arrivals: when stations arrive", "Which to choose: [a scenario](scenario.md#arrivals).")]
    parts += [
        f"## {_tag(kind, 'kind')}\n\n{sentence(kind)}\n\n{table(kind, 'arrivals.', without=['kind'])}"
        for kind in _kinds(ArrivalsConfig)
    ]
    parts.append(_section("[arrivals.burst]", BurstOptions, "arrivals.burst."))
    return "\n".join(parts)


def strategies() -> str:
    """Every retry strategy."""
    about = "What a station does when an attempt fails. Which to choose, and where each is from: [a scenario](scenario.md#retries)."
    parts = [_head("Retry strategies", about)]
    parts.append(f"## All of them\n\n{table(NoRetry, 'client.retry.', without=['strategy'])}")
    for kind in _kinds(RetryConfig):
        shared = [
            key
            for key, field in NoRetry.model_fields.items()
            if kind.model_fields[key].annotation == field.annotation and default(kind, key) == default(NoRetry, key)
        ]
        parts.append(f"## {_tag(kind, 'strategy')}\n\n{sentence(kind)}\n")
        own = {*shared, "strategy"}
        if set(kind.model_fields) - own:
            parts.append(table(kind, "client.retry.", without=own))
    return "\n".join(parts)


def server_keys() -> str:
    """Every key of the mock server's ordinary day."""
    about = (
        "In a scenario these stand in `[server]`; in a profile of the [mock server](mock-server.md) alone at its "
        "top level, with `seed` and `[[faults]]`."
    )
    profile = table(Profile, without=ServerProfile.model_fields)
    return "\n".join(
        [
            _head("The mock server's keys", about),
            _section("[server]", ServerProfile, ""),
            f"## Of a profile alone\n\n{profile}",
        ]
    )


def faults() -> str:
    """Every kind of fault."""
    about = "The `[[faults]]` of a scenario or a profile. How they are drawn and logged: [the mock server](mock-server.md#faults)."
    parts = [_head("Faults", about), _section("All of them", Fault, ""), _section("match", Match, "match.")]
    for kind in KINDS:
        parts.append(
            f"## {_tag(kind, 'kind')}\n\n{_what_happens(kind)} {sentence(kind)} It hits {HIT_BY_SCOPE[kind.scope]}.\n"
        )
        own = [*Fault.model_fields]
        if set(kind.model_fields) - set(own):
            parts.append(table(kind, without=own))
    parts.append(_section("status, weighted", WeightedStatus, ""))
    return "\n".join(parts)


def target_keys() -> str:
    """Every key of the table [target]."""
    parts = [
        _head(
            "The keys of [target]",
            "How a server of yours is spoken to, with the placeholders: [a scenario](scenario.md#target).",
        )
    ]
    parts.append(_section("[target]", target.TargetApi, "target."))
    parts.append(_section("[[target.parts]]", request.MultipartPart, ""))
    parts.append(_section("[target.login]", request.LoginRequest, "target.login."))
    parts.append(_section("[[target.steps]]", flow.Step, ""))
    parts.append(_section("[target.steps.success]", flow.Success, "success."))
    parts.append(
        f"## [target.sign], kind {_tag(request.RequestSigning, 'kind')}\n\n{sentence(request.RequestSigning)}\n\n"
        f"{table(request.RequestSigning, 'target.sign.', without=['kind'])}"
    )
    parts.append(_meanings())
    for kind in _kinds(target.Stored):
        keys = table(kind, "target.stored.", without=["kind"]) if len(kind.model_fields) > 1 else ""
        parts.append(f"## [target.stored], kind {_tag(kind, 'kind')}\n\n{sentence(kind)}\n\n{keys}")
        if kind is target.StoredUrl:
            parts.append(_section("[target.stored.fields]", target.ListedFields, "target.stored.fields."))
    parts.append(_section("[[target.metrics]]", target.MetricsEndpoint, ""))
    return "\n".join(parts)


def _meanings() -> str:
    intro = (
        f"{sentence(request.StatusMeanings)} What each stands for: [outcomes](../explanation/measuring.md#outcomes)."
    )
    keys = request.StatusMeanings.model_fields
    rows = [[f"`target.statuses.{key}`", default(request.StatusMeanings, key) or "none"] for key in keys]
    return f"## [target.statuses]\n\n{intro}\n\n{markdown(['list of statuses', 'default'], rows)}"


def experiment_keys() -> str:
    """Every key of an experiment's file."""
    return "\n".join(
        [
            _head(
                "The keys of an experiment", "How one is run and read: [experiments](../explanation/experiments.md)."
            ),
            _section("Top level", Experiment, ""),
            _section("[[variants]]", Variant, ""),
        ]
    )


def capacity_file() -> str:
    """Every key of a capacity file."""
    about = "How such a file is used: [results of a capacity search](capacity.md#a-capacity-file)."
    return "\n".join([_head("The keys of a capacity file", about), _section("Top level", CapacityFile, "")])


def _head(title: str, about: str) -> str:
    return f"{NOTICE}\n# {title}\n\n{about}\n\n{QUANTITIES}"


def _section(title: str, model: type[BaseModel], prefix: str) -> str:
    return f"## {title}\n\n{sentence(model)}\n\n{table(model, prefix)}"


def _kinds(union: Any) -> list[type[BaseModel]]:
    """The models of a union, through its Annotated and nested unions, in their order."""
    if isinstance(union, type):
        return [union]
    inner = [one for one in get_args(union) if isinstance(one, type) or get_args(one)]
    return [kind for one in inner for kind in _kinds(one)]


def _tag(model: type[BaseModel], key: str) -> str:
    return str(get_args(model.model_fields[key].annotation)[0])


def _own_keys(model: type[BaseModel]) -> str:
    return ", ".join(f"`{key}`" for key in model.model_fields if key not in {"distribution", "max"})


def _what_happens(kind: type[Fault]) -> str:
    """The first line of a fault's module, which is "kind: what happens."."""
    first = (sys.modules[kind.__module__].__doc__ or "").splitlines()[0].partition(": ")[2]
    return sentence_case(first)


def sentence_case(text: str) -> str:
    """The text, beginning with a capital."""
    return text[:1].upper() + text[1:]

"""deploy/ is what compose and Kubernetes read, and its commands are ours as they are written."""

import subprocess
import sys
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml  # type: ignore[import-untyped]

from docs._generate.cli_page import parser
from harness.drive.distributed.auth import JOIN_TOKEN
from harness.drive.distributed.join import DEFAULT_PORT
from tests.support.documents import ROOT

DEPLOY = ROOT / "deploy"
KUSTOMIZATION = yaml.safe_load((DEPLOY / "kustomization.yaml").read_text("utf-8"))
RESOURCES = [
    resource
    for path in KUSTOMIZATION["resources"]
    for resource in yaml.safe_load_all((DEPLOY / path).read_text("utf-8"))
]
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))
CONTAINERS: dict[str, dict[str, Any]] = {
    container["name"]: container
    for resource in RESOURCES
    if resource["kind"] == "Job"
    for container in [*resource["spec"]["template"]["spec"].get("initContainers", []), *resource["spec"]["template"]["spec"]["containers"]]
}  # fmt: skip
JOBS = {resource["metadata"]["name"]: resource["spec"] for resource in RESOURCES if resource["kind"] == "Job"}


def options(words):
    """What our own parser makes of a command line; it must take all of it."""
    name, *rest = [str(word) for word in words]
    with parser().commands[name].make_context(name, rest) as context:
        return context.params


def follows_compose(path):
    return subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", path],
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_the_compose_file_follows_the_published_schema(tmp_path):
    checked = follows_compose(DEPLOY / "compose.yaml")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    broken = tmp_path / "compose.yaml"
    broken.write_text((DEPLOY / "compose.yaml").read_text("utf-8").replace("ulimits:", "ulimit:"), "utf-8")
    assert follows_compose(broken).returncode != 0


@pytest.mark.parametrize("resource", RESOURCES, ids=lambda it: f"{it['kind']} {it['metadata']['name']}")
def test_every_kubernetes_resource_follows_its_schema_strictly(resource):
    kubernetes_validate.validate(resource, "1.37", strict=True)
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate({**resource, "spec": {**resource["spec"], "replica": 1}}, "1.37", strict=True)


def test_both_start_server_leader_workers_prometheus_and_grafana():
    assert set(COMPOSE["services"]) == set(CONTAINERS) == {"leader", "worker", "prometheus", "grafana"}
    for leader in (COMPOSE["services"]["leader"]["command"], CONTAINERS["leader"]["args"]):
        assert "--target" not in leader  # so that it starts the mock server


def test_the_commands_are_ours_and_leader_and_workers_agree():
    filled = [str(word).replace("${SCENARIO:-kaliwates}", "kaliwates").replace("${WORKERS:-2}", "2") for word in COMPOSE["services"]["leader"]["command"]]  # fmt: skip
    led = options(filled)
    works = options(COMPOSE["services"]["worker"]["command"])
    network = COMPOSE["services"]["leader"]["networks"]["load"]
    assert led["bind"] == network["ipv4_address"] == works["master"]
    assert led["remote_workers"] == COMPOSE["services"]["worker"]["scale"]

    led, works = options(CONTAINERS["leader"]["args"]), options(CONTAINERS["worker"]["args"])
    (service,) = [resource for resource in RESOURCES if resource["kind"] == "Service"]
    assert works["master"] == service["metadata"]["name"]
    assert service["spec"]["clusterIP"] == "None"  # a virtual address is not where the mock is
    assert service["spec"]["ports"][0]["port"] == DEFAULT_PORT
    assert service["spec"]["selector"] == JOBS["harness-leader"]["template"]["metadata"]["labels"]
    assert led["remote_workers"] == JOBS["harness-worker"]["completions"] == JOBS["harness-worker"]["parallelism"]
    assert led["bind"] == "$(POD_IP)"


def test_every_file_that_is_mounted_is_there_and_every_volume_declared():
    for service in COMPOSE["services"].values():
        for volume in service.get("volumes", []):
            source = volume.partition(":")[0]
            assert (DEPLOY / source).exists() if source.startswith("./") else source in COMPOSE["volumes"], volume
    made = {generator["name"] for generator in KUSTOMIZATION["configMapGenerator"]}
    for generator in KUSTOMIZATION["configMapGenerator"]:
        for file in generator["files"]:
            assert (DEPLOY / file).is_file(), file
    for job in JOBS.values():
        pod = job["template"]["spec"]
        volumes = {volume["name"]: volume for volume in pod.get("volumes", [])}
        mounted = {mount["name"] for it in [*pod.get("initContainers", []), *pod["containers"]] for mount in it.get("volumeMounts", [])}  # fmt: skip
        assert mounted == set(volumes)
        assert {volume["configMap"]["name"] for volume in volumes.values() if "configMap" in volume} <= made


def test_the_join_token_comes_from_outside_and_stands_in_no_file():
    assert COMPOSE["x-harness"]["environment"][JOIN_TOKEN].startswith(f"${{{JOIN_TOKEN}:?")
    for name in ("leader", "worker"):
        (variable,) = [it for it in CONTAINERS[name]["env"] if it["name"] == JOIN_TOKEN]
        assert set(variable) == {"name", "valueFrom"}

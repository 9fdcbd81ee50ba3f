"""kubeflow/flink against what scripts/flink.sh is known to run."""

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "kubeflow" / "flink"


def load_script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look it up, and one script the other
    spec.loader.exec_module(module)
    return module


CLUSTER, SCRIPT = load_script("cluster"), load_script("flink_cluster")


@pytest.fixture(scope="module")
def manifests() -> dict[tuple[str, str], dict[str, Any]]:
    documents = yaml.safe_load_all((FOLDER / "session-cluster.yaml").read_text("utf-8"))
    return {(each["kind"], each["metadata"]["name"]): each for each in documents}


@pytest.fixture(scope="module")
def containers(manifests: dict[tuple[str, str], Any]) -> dict[str, dict[str, Any]]:
    return {
        container["name"]: container
        for (kind, _), each in manifests.items()
        if kind == "Deployment"
        for container in each["spec"]["template"]["spec"]["containers"]
    }


@pytest.fixture(scope="module")
def flink(manifests: dict[tuple[str, str], Any]) -> dict[str, Any]:
    return yaml.safe_load(manifests["ConfigMap", "flink-config"]["data"]["config.yaml"])


@pytest.fixture(scope="module")
def options() -> dict[str, str]:
    """Beam's options as README.md tells them."""
    [block] = re.findall(r"```yaml\n(.*?)```", (FOLDER / "README.md").read_text("utf-8"), re.DOTALL)
    return dict(each.split("=", 1) for each in yaml.safe_load(block)["beam"]["default"])


def test_versions_are_those_that_the_script_runs(containers: dict[str, Any]) -> None:
    [flink] = re.findall(r"apache-flink-libraries==([\d.]+)", SCRIPT.FLINK.pins.read_text("utf-8"))
    [(minor, beam)] = re.findall(
        r"<artifactId>beam-runners-flink-([\d.]+)</artifactId>\s*<version>([\d.]+)<",
        SCRIPT.FLINK.pom.read_text("utf-8"),
    )
    assert flink.startswith(f"{minor}.")
    assert containers["jobmanager"]["image"] == f"flink:{flink}-java17"
    assert containers["taskmanager"]["image"] == containers["jobmanager"]["image"]
    assert containers["jobserver"]["image"] == f"apache/beam_flink{minor}_job_server:{beam}"


def test_settings_that_jobs_need_are_those_of_the_script(flink: dict[str, Any]) -> None:
    here = SCRIPT._flink_config(Path("/state"), 1, 2, 3, 1024)
    for key in ("restart-strategy.type", "restart-strategy.fixed-delay.attempts"):
        assert flink[key] == here[key]
    for key in ("network.sort-shuffle.min-buffers", "memory.network.min", "memory.managed.size"):
        assert flink[f"taskmanager.{key}"] == here[f"taskmanager.{key}"]
    assert flink["cluster.evenly-spread-out-slots"] is True


def test_options_lead_to_the_services_and_the_workers(
    manifests: dict[tuple[str, str], Any],
    containers: dict[str, Any],
    flink: dict[str, Any],
    options: dict[str, str],
) -> None:
    ports = {
        f"{name}:{port['port']}"
        for (kind, name), each in manifests.items()
        if kind == "Service"
        for port in each["spec"]["ports"]
    }
    assert {options["--job_endpoint"], options["--artifact_endpoint"]} <= ports
    workers = containers["workers"]
    assert workers["command"][-2] == CLUSTER.POOL
    port = workers["command"][-1]
    assert options["--environment_config"] == f"localhost:{port}"
    assert f"('localhost', {port})" in workers["readinessProbe"]["exec"]["command"][-1]
    arguments = dict(each.split("=", 1) for each in containers["jobserver"]["args"])
    assert arguments["--flink-master"] in ports
    assert arguments["--job-port"] == options["--job_endpoint"].split(":")[1]
    assert arguments["--artifact-port"] == options["--artifact_endpoint"].split(":")[1]
    slots = flink["taskmanager.numberOfTaskSlots"]
    replicas = manifests["Deployment", "flink-taskmanager"]["spec"]["replicas"]
    assert int(options["--parallelism"]) <= slots * replicas


def test_options_are_those_of_the_script_elsewhere(options: dict[str, str]) -> None:
    cluster = SCRIPT.Cluster(1, 2, 3, {"taskmanager-1": 4}, slots=1, memory_mb=1024)
    here = dict(each.split("=", 1) for each in cluster.options())
    differ = {"--job_endpoint", "--artifact_endpoint", "--environment_config", "--parallelism"}
    for name in ("--runner", "--environment_type", "--sdk_container_image"):
        assert options[name] == here[name]
    assert set(options) - differ <= set(here)


def test_services_find_their_pods(manifests: dict[tuple[str, str], Any]) -> None:
    pods = [
        each["spec"]["template"] for (kind, _), each in manifests.items() if kind == "Deployment"
    ]
    for (kind, name), each in manifests.items():
        if kind != "Service":
            continue
        selector = each["spec"]["selector"].items()
        [pod] = [pod for pod in pods if selector <= pod["metadata"]["labels"].items()]
        [container] = pod["spec"]["containers"]
        there = {port["containerPort"] for port in container["ports"]}
        assert {port["port"] for port in each["spec"]["ports"]} <= there, name


def test_nothing_runs_as_root_and_everything_has_a_memory_limit(
    manifests: dict[tuple[str, str], Any], containers: dict[str, Any]
) -> None:
    for (kind, _), each in manifests.items():
        if kind == "Deployment":
            assert each["spec"]["template"]["spec"]["securityContext"]["runAsNonRoot"] is True
    for container in containers.values():
        assert container["resources"]["limits"]["memory"]
        assert container["securityContext"]["allowPrivilegeEscalation"] is False


def test_flinks_memory_fits_its_containers(
    containers: dict[str, Any], flink: dict[str, Any]
) -> None:
    for name in ("jobmanager", "taskmanager"):
        asked = flink[f"{name}.memory.process.size"]
        limit = containers[name]["resources"]["limits"]["memory"]
        assert int(asked.removesuffix("m")) <= int(limit.removesuffix("Mi"))

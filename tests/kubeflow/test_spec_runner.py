"""Containers run as processes that know only what the backend tells them."""

import json
import sys
from pathlib import Path
from typing import Any, Literal

import pytest

from tests.kubeflow import sandbox
from tests.kubeflow.backend import Generation, Refused, Spec
from tests.kubeflow.object_store import ObjectStore
from tests.kubeflow.small_specs import MODEL, artifact_from, component, constant, spec, task
from tests.kubeflow.spec_runner import Image, Pods, TaskFailed, TaskRun, execute

IMAGE = Image(Path(sys.executable).parent)

MAKE = """
import json, os, sys
told, path = json.loads(sys.argv[1]), sys.argv[2]
model = told["outputs"]["artifacts"]["model"]["artifacts"][0]
os.mkdir(path)
open(path + "/weights", "w").write(told["inputs"]["parameterValues"]["seed"])
open(told["outputs"]["parameters"]["rows"]["outputFile"], "w").write("12")
os.makedirs(os.path.dirname(told["outputs"]["outputFile"]))
made = {"artifacts": [{"uri": model["uri"], "metadata": {"kind": "linear"}}]}
json.dump({"artifacts": {"model": made}}, open(told["outputs"]["outputFile"], "w"))
"""
READ = """
import json, sys
told, rows, path = json.loads(sys.argv[1]), *sys.argv[2:]
[model] = told["inputs"]["artifacts"]["model"]["artifacts"]
assert model["metadata"]["kind"] == "linear", model
assert open(path + "/weights").read() == "7"
assert rows == "12", rows
"""


def python(program: str, *arguments: str) -> dict[str, Any]:
    command = ["python", "-I", "-S", "-c", program]
    return {"container": {"image": "any", "command": command, "args": list(arguments)}}


Place = Literal["paths", "store"]


@pytest.fixture(params=["paths", "store"])
def place(request: pytest.FixtureRequest) -> Place:
    if request.param == "store" and not sandbox.is_available():
        pytest.skip("no mount namespaces here")
    return request.param


def run(
    found: Spec, folder: Path, place: Place = "paths", secrets: Any = None, **options: Any
) -> dict[str, TaskRun]:
    store = ObjectStore(folder / "store") if place == "store" else None
    pods = Pods(IMAGE, folder / "pods", store, secrets=secrets or {})
    root = "s3://bucket/root" if store else str(folder / "root")
    return execute(found, pods, pipeline_root=root, **options)


def test_artifacts_metadata_and_parameters_reach_the_next_task(
    tmp_path: Path, place: Place
) -> None:
    rows = {"taskOutputParameter": {"producerTask": "make", "outputParameterKey": "rows"}}
    done = run(
        spec(
            {
                "read": task(
                    artifacts={"model": artifact_from("make", "model")}, parameters={"rows": rows}
                ),
                "make": task(parameters={"seed": constant("7")}),
            },
            components={
                "make": component(
                    outputs={"model": MODEL},
                    output_parameters={"rows": {"parameterType": "NUMBER_INTEGER"}},
                ),
                "read": component(),
            },
            executors={
                "make": python(MAKE, "{{$}}", "{{$.outputs.artifacts['model'].path}}"),
                "read": python(
                    READ,
                    "{{$}}",
                    "{{$.inputs.parameters['rows']}}",
                    "{{$.inputs.artifacts['model'].path}}",
                ),
            },
        ),
        tmp_path,
        place,
        run_id="r1",
    )
    assert list(done) == ["make", "read"]
    assert done["make"].outputs.parameters == {"rows": 12.0}
    root = "s3://bucket/root" if place == "store" else tmp_path / "root"
    assert done["make"].outputs.artifacts["model"]["uri"].startswith(f"{root}/small/r1/make/")


def test_a_process_has_only_its_own_environment_and_an_empty_folder(
    tmp_path: Path, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OF_THE_PARENT", "x")
    monkeypatch.setenv("PYTHONPATH", "x")
    secret = {"secretName": "store", "keyToEnv": [{"secretKey": "id", "envVar": "KEY_ID"}]}
    show = "import json,os;print(json.dumps([dict(os.environ), os.getcwd(), os.listdir('.')]))"
    container = python(show)["container"] | {"env": [{"name": "OF_THE_SPEC", "value": "y"}]}
    done = run(
        spec(
            {"a": task()},
            executors={"a": {"container": container}},
            kubernetes={"deploymentSpec": {"executors": {"a-e": {"secretAsEnv": [secret]}}}},
        ),
        tmp_path,
        place,
        secrets={"store": {"id": "z"}},
    )
    environ, cwd, files = json.loads((done["a"].folder / "log.txt").read_text())
    environ.pop("LC_CTYPE", None)  # python's own
    assert environ == done["a"].environ
    assert environ.pop("OF_THE_SPEC") == "y"
    assert environ.pop("KEY_ID") == "z"
    assert set(environ) == {"PATH", "HOME", "TMPDIR"}
    programs = IMAGE.bin if place == "paths" else "/opt/tfx-imbalance/bin"
    assert environ["PATH"].split(":")[0] == str(programs)
    assert files == []
    own = tmp_path if place == "paths" else Path("/")
    for folder in (cwd, environ["HOME"], environ["TMPDIR"]):
        assert Path(folder).is_relative_to(own)


def test_a_retry_finds_what_the_attempt_before_left_and_a_fresh_tmp(
    tmp_path: Path,
) -> None:
    second_time = """
import os, sys
uri = sys.argv[1]
assert os.listdir(os.environ["TMPDIR"]) == []
open(os.environ["TMPDIR"] + "/left", "w").close()
if not os.path.exists(uri):
    os.mkdir(uri)
    sys.exit(3)
"""
    done = run(
        spec(
            {"a": task(retryPolicy={"maxRetryCount": 1})},
            components={"a": component(outputs={"model": MODEL})},
            executors={"a": python(second_time, "{{$.outputs.artifacts['model'].uri}}")},
        ),
        tmp_path,
    )
    assert done["a"].attempts == 2


def test_a_failure_says_task_status_and_the_end_of_the_log(tmp_path: Path) -> None:
    broken = spec(
        {"a": task(), "b": task(dependentTasks=["a"])},
        executors={"a": python("import sys; print('the reason'); sys.exit(3)")},
    )
    with pytest.raises(TaskFailed, match=r"(?s)a: exit status 3.*the reason"):
        run(broken, tmp_path)
    assert not list(tmp_path.glob("pods/*/*-b"))


def test_default_values_of_a_component_are_in_what_the_container_is_told(tmp_path: Path) -> None:
    declared = {"n": {"parameterType": "STRING", "defaultValue": "5", "isOptional": True}}
    done = run(
        spec(
            {"a": task()},
            components={"a": component(inputs={"parameters": declared})},
            executors={"a": python("pass", "{{$.inputs.parameters['n']}}")},
        ),
        tmp_path,
    )
    assert done["a"].command[-1] == "5"


def test_a_container_with_a_root_of_its_own_sees_nothing_else_here(tmp_path: Path) -> None:
    if not sandbox.is_available():
        pytest.skip("no mount namespaces here")
    show = "import json,os;print(json.dumps([os.listdir('/tmp'), os.path.exists(os.sys.argv[1])]))"
    done = run(
        spec({"a": task()}, executors={"a": python(f"import sys;{show}", str(tmp_path))}),
        tmp_path,
        "store",
    )
    assert json.loads((done["a"].folder / "log.txt").read_text()) == [[], False]


LEAVE_OUT = """
import os, sys
if sys.argv[2] == "folder":
    os.mkdir(sys.argv[1])
"""


@pytest.mark.parametrize(("made", "generation"), [("", "mlmd"), ("folder", "api"), ("", "api")])
def test_the_newest_launcher_fails_on_an_output_without_a_folder(
    tmp_path: Path, made: str, generation: Generation
) -> None:
    if not sandbox.is_available():
        pytest.skip("no mount namespaces here")
    path = "{{$.outputs.artifacts['model'].path}}"
    leaves_out = spec(
        {"a": task(), "b": task(artifacts={"model": artifact_from("a", "model")})},
        components={"a": component(outputs={"model": MODEL})},
        executors={"a": python(LEAVE_OUT, path, made)},
    )
    if not made and generation == "api":
        with pytest.raises(Refused, match="unable to stat"):
            run(leaves_out, tmp_path, "store", generation=generation)
        return
    done = run(leaves_out, tmp_path, "store", generation=generation)
    assert not list((tmp_path / "store").glob("**/model/*"))
    assert "b" in done  # an input without objects is no error

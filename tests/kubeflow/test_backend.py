"""The model of the backend gives what was read there, and refuses the rest."""

import copy
import json
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tests.kubeflow import backend
from tests.kubeflow.backend import Outputs, Refused, Run
from tests.kubeflow.small_specs import MODEL, artifact_from, component, constant, spec, task

NUMBERS = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**53), 2**53)


def run_of(found: backend.Spec, **values: Any) -> Run:
    return Run(found, "run-1", "/root", backend.root_parameters(found, values))


def test_a_task_comes_after_those_it_names_and_the_producers_of_its_inputs() -> None:
    found = spec(
        {
            "a": task(artifacts={"in": artifact_from("c", "out")}),
            "b": task(),
            "c": task(dependentTasks=["d"]),
            "d": task(),
        }
    )
    assert backend.order(found) == ["b", "d", "c", "a"]


@pytest.mark.parametrize("dependencies", [{"a": ["b"], "b": ["a"]}, {"a": ["gone"]}])
def test_circles_and_unknown_producers_are_refused(dependencies: dict[str, list[str]]) -> None:
    with pytest.raises(Refused, match=r"circle|unknown producer"):
        backend.order(
            spec({key: task(dependentTasks=needs) for key, needs in dependencies.items()})
        )


def test_parameters_of_a_run_are_the_given_ones_and_defaults() -> None:
    found = spec({}, parameters={"path": "here", "span": None, "limit": 3.0})
    assert backend.root_parameters(found, {"path": "there"}) == {
        "path": "there",
        "span": None,
        "limit": 3.0,
    }


@pytest.mark.parametrize("given_values", [{"other": "x"}, {"path": 3}, {"limit": True}])
def test_unknown_parameters_and_wrong_types_are_refused(given_values: dict[str, Any]) -> None:
    with pytest.raises(Refused):
        backend.root_parameters(spec({}, parameters={"path": "x", "limit": 1.0}), given_values)


def test_a_parameter_without_value_is_refused() -> None:
    found = spec({})
    found.pipeline["root"]["inputDefinitions"] = {"parameters": {"p": {"parameterType": "STRING"}}}
    with pytest.raises(Refused, match="neither default nor value"):
        backend.root_parameters(found, {})


def test_inputs_come_from_the_run_from_constants_and_from_finished_tasks() -> None:
    made = {"name": "7", "uri": "/u", "type": {"instanceSchema": ""}, "metadata": {}}
    reader = task(
        parameters={
            "path": {"componentInputParameter": "path"},
            "span": {"componentInputParameter": "span"},
            "epochs": constant(4.0),
            "run": constant("{{$.pipeline_job_uuid}}"),
            "count": {"taskOutputParameter": {"producerTask": "a", "outputParameterKey": "n"}},
        },
        artifacts={"data": artifact_from("a", "out")},
    )
    types = dict.fromkeys(("path", "run", "count"), "STRING") | {"epochs": "NUMBER_INTEGER"}
    optional = {"span": {"parameterType": "STRING", "isOptional": True}}
    declared = {n: {"parameterType": t} for n, t in types.items()} | optional
    found = spec(
        {"a": task(), "b": reader},
        components={"b": component(inputs={"parameters": declared})},
        parameters={"path": "here", "span": None},
    )
    run = run_of(found)
    run.finished["a"] = Outputs({"out": made}, {"n": 12.0})
    inputs = backend.resolve_inputs(run, "b")
    assert inputs["parameterValues"] == {
        "path": "here",
        "epochs": 4.0,
        "run": "run-1",
        "count": "12",  # a text parameter takes any value, as text
    }
    assert inputs["artifacts"] == {"data": {"artifacts": [made]}}


@pytest.mark.parametrize(
    "source",
    [
        {"componentInputParameter": "unknown"},
        {"runtimeValue": {"runtimeParameter": "path"}},
        {"runtimeValue": {"constant": "at {{$.pipeline_root}}"}},
        {"taskFinalStatus": {"producerTask": "a"}},
        {"taskOutputParameter": {"producerTask": "a", "outputParameterKey": "n"}},
        {"componentInputParameter": "path", "parameterExpressionSelector": "x"},
    ],
)
def test_inputs_that_the_backend_cannot_resolve_are_refused(source: dict[str, Any]) -> None:
    found = spec({"a": task(), "b": task(parameters={"p": source})}, parameters={"path": "x"})
    with pytest.raises(Refused):
        backend.resolve_inputs(run_of(found), "b")


def test_outputs_lie_below_the_root_by_pipeline_run_task_and_attempt_free_salt() -> None:
    found = spec({"a": task()}, components={"a": component(outputs={"model": MODEL})})
    outputs = backend.provision_outputs(run_of(found), "a", "salt")
    assert outputs["artifacts"]["model"] == {
        "artifacts": [{"uri": "/root/small/run-1/a/salt/model", "type": MODEL}]
    }
    assert outputs["outputFile"] == "/tmp/kfp_outputs/output_metadata.json"
    logs = outputs["artifacts"]["executor-logs"]["artifacts"][0]
    assert logs["type"] == {"schemaTitle": "system.Artifact"}
    quiet = backend.provision_outputs(run_of(found), "a", "salt", publish_logs=False)
    assert list(quiet["artifacts"]) == ["model"]


WRITTEN = {"yes": True, "n": 3.0, "text": "t", "names": ["a"], "tree": {"k": 1.0}}


def through(generation: backend.Generation, metadata: dict[str, Any]) -> backend.RuntimeArtifact:
    provisioned = {"model": {"artifacts": [{"uri": "/given", "type": MODEL}]}}
    written = {"model": {"artifacts": [{"uri": "/own", "metadata": metadata}]}} if metadata else {}
    published = backend.output_artifacts(
        {"outputs": {"artifacts": provisioned}}, {"artifacts": written}, 41, generation
    )
    return published["model"]


def test_ml_metadata_forgets_the_type_and_wraps_what_it_cannot_hold() -> None:
    artifact = through("mlmd", WRITTEN)
    assert artifact["name"] == "41"
    assert artifact["uri"] == "/own"
    assert artifact["type"] == {"instanceSchema": ""}
    assert artifact["metadata"] == {
        "yes": 1.0,
        "n": 3.0,
        "text": "t",
        "names": {"list": ["a"]},
        "tree": {"struct": {"k": 1.0}},
        "display_name": "model",
        "store_session_info": artifact["metadata"]["store_session_info"],
    }


def test_the_api_server_keeps_metadata_and_gives_the_schema_as_a_title() -> None:
    artifact = through("api", WRITTEN)
    assert artifact["metadata"] == WRITTEN
    assert artifact["type"] == {"schemaTitle": MODEL["instanceSchema"]}
    assert "name" not in artifact


@pytest.mark.parametrize("generation", ["mlmd", "api"])
def test_an_output_that_was_not_made_is_published_all_the_same(
    generation: backend.Generation,
) -> None:
    assert through(generation, {})["uri"] == "/given"


def test_ml_metadata_takes_no_null_and_no_type_without_title() -> None:
    with pytest.raises(Refused, match="null"):
        through("mlmd", {"nothing": None})
    with pytest.raises(Refused, match="No title"):
        backend.through_mlmd("m", "/u", {"instanceSchema": "type: object"}, {}, 1)


def executor_input(**values: Any) -> dict[str, Any]:
    return {
        "inputs": {
            "parameterValues": values,
            "artifacts": {"data": {"artifacts": [{"uri": "s3://bucket/data"}]}},
        },
        "outputs": {
            "artifacts": {"model": {"artifacts": [{"uri": "/out/model"}]}},
            "parameters": {"n": {"outputFile": "/tmp/n"}},
            "outputFile": backend.OUTPUT_METADATA,
        },
    }


def test_placeholders_in_a_command_become_text() -> None:
    told = executor_input(epochs=4.0, names=["a"])
    line = backend.command(
        {
            "command": ["run", "{{$}}"],
            "args": [
                "--epochs={{$.inputs.parameters['epochs']}}",
                "{{$.inputs.parameters['names']}}",
                "{{$.inputs.artifacts['data'].uri}}",
                "{{$.inputs.artifacts['data'].path}}",
                "{{$.outputs.artifacts['model'].path}}",
                "{{$.outputs.parameters['n'].output_file}}",
            ],
        },
        told,
    )
    assert json.loads(line.pop(1)) == told
    assert line == [
        *("run", "--epochs=4", '["a"]', "s3://bucket/data", "/s3/bucket/data", "/out/model"),
        "/tmp/n",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "{{$.outputs.artifacts['model'].metadata['x']}}",
        "{{$.inputs.artifacts['data'].value}}",
        "{{$.pipeline_root}}",
        "{{$.json_escape[1]}}",
        "$(HOME)",
        "a$$b",
    ],
)
def test_what_the_launcher_leaves_or_kubernetes_changes_is_refused(text: str) -> None:
    with pytest.raises(Refused):
        backend.command({"command": [text]}, executor_input())


@pytest.mark.parametrize("value", ["{{$.inputs.parameters['q']}}", "$(HOME)"])
def test_values_that_would_be_replaced_again_are_refused(value: str) -> None:
    with pytest.raises(Refused):
        backend.command({"command": ["run", "{{$}}"]}, executor_input(p=value, q="x"))


def test_executor_output_is_read_strictly() -> None:
    assert backend.read_executor_output(None) == {}
    text = '{"artifacts": {"m": {"artifacts": [{"uri": "u", "metadata": {"n": 1}}]}}}'
    assert backend.read_executor_output(text)["artifacts"]["m"]["artifacts"][0]["uri"] == "u"
    for wrong in ('{"artefacts": {}}', "{", '{"artifacts": {"m": [{"uri": "u"}]}}'):
        with pytest.raises(Refused):
            backend.read_executor_output(wrong)


def test_output_parameters_come_from_the_executor_first_then_from_files() -> None:
    definitions = {
        n: {"parameterType": t} for n, t in {"n": "NUMBER_INTEGER", "s": "STRING"}.items()
    }
    declared = component(output_parameters=definitions)
    written = {"parameterValues": {"s": "said"}}
    found = backend.output_parameters(declared, written, {"n": " 3\n", "s": "filed"})
    assert found == {"n": 3.0, "s": "said"}
    with pytest.raises(Refused, match="read output parameter"):
        backend.output_parameters(declared, {}, {"s": "x"})
    with pytest.raises(Refused, match="NUMBER_INTEGER"):
        backend.output_parameters(declared, {}, {"n": "three", "s": "x"})


@given(NUMBERS)
def test_numbers_as_text_have_no_exponent_and_come_back(value: float) -> None:
    text = backend.as_text(value)
    assert "e" not in text.lower()
    assert not text.endswith(".0")
    assert backend.from_text(text, "NUMBER_DOUBLE") == float(value)


@given(st.booleans() | st.lists(st.text()) | st.dictionaries(st.text(), st.booleans()))
def test_other_values_come_back_from_text(value: Any) -> None:
    kind = {bool: "BOOLEAN", list: "LIST", dict: "STRUCT"}[type(value)]
    assert backend.from_text(backend.as_text(value), kind) == value


@pytest.mark.parametrize("generation", ["mlmd", "api"])
def test_an_importer_gives_its_uri_and_metadata(generation: backend.Generation) -> None:
    importer = {
        "artifactUri": {"constant": "s3://b/m"},
        "typeSchema": MODEL,
        "metadata": {"k": "v"},
    }
    found = spec(
        {"a": task(parameters={"uri": {"componentInputParameter": "where"}})},
        components={"a": component(outputs={"result": MODEL})},
        executors={"a": {"importer": importer}},
        parameters={"where": "s3://b/other"},
    )
    run = Run(found, "r", "/root", backend.root_parameters(found, {}), generation)
    artifact = backend.import_artifact(run, "a", 3).artifacts["result"]
    assert artifact["uri"] == "s3://b/m"
    assert artifact["metadata"]["k"] == "v"
    importer["artifactUri"] = {"runtimeParameter": "uri"}
    assert backend.import_artifact(run, "a", 3).artifacts["result"]["uri"] == "s3://b/other"
    importer["artifactUri"] = {"runtimeParameter": "missing"}
    with pytest.raises(Refused, match="cannot find parameter"):
        backend.import_artifact(run, "a", 3)


def test_secrets_become_variables_and_must_exist() -> None:
    config = {
        "secretAsEnv": [
            {"secretName": "store", "keyToEnv": [{"secretKey": "id", "envVar": "KEY_ID"}]}
        ]
    }
    assert backend.secret_environment(config, {"store": {"id": "v"}}) == {"KEY_ID": "v"}
    with pytest.raises(Refused, match="no key id"):
        backend.secret_environment(config, {"store": {}})


def documents(**changes: Any) -> list[dict[str, Any]]:
    platform = {"platforms": {"kubernetes": {"deploymentSpec": {"executors": {"a-e": {"x": 1}}}}}}
    pipeline = copy.deepcopy(spec({"a": task()}).pipeline)
    return [pipeline | changes, platform]


def test_both_documents_are_read() -> None:
    found = backend.load(yaml.safe_dump_all(documents()))
    assert list(found.tasks) == ["a"]
    assert found.kubernetes_config("a") == {"x": 1}


@pytest.mark.parametrize(
    "changes",
    [
        {"schemaVersion": "2.0.0"},
        {"surprise": 1},
        {"pipelineInfo": {"name": "Not_allowed"}},
        {"root": spec({"a": task(triggerPolicy={"condition": "true"})}).pipeline["root"]},
        {"root": spec({"a": task(parameterIterator={})}).pipeline["root"]},
        {"root": spec({"a": task(taskInfo={"name": "other"})}).pipeline["root"]},
        {"deploymentSpec": {"executors": {"a-e": {"resolver": {}}}}},
        {"deploymentSpec": {"executors": {"a-e": {"customJob": {}}}}},
        {"deploymentSpec": {"executors": {}}},
        {
            "deploymentSpec": {
                "executors": {
                    "a-e": {"container": {"image": "i", "lifecycle": {"preCacheCheck": {}}}}
                }
            }
        },
    ],
)
def test_specs_that_the_backend_does_not_run_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(Refused):
        backend.load(yaml.safe_dump_all(documents(**changes)))


def test_a_platform_document_that_would_be_passed_over_is_refused() -> None:
    pipeline, platform = documents()
    with pytest.raises(Refused, match="PlatformSpec"):
        backend.load(yaml.safe_dump_all([pipeline, platform | {"surprise": 1}]))
    with pytest.raises(Refused, match="more than one"):
        backend.load(yaml.safe_dump_all([pipeline, pipeline]))
    with pytest.raises(Refused, match="no pipeline spec"):
        backend.load(yaml.safe_dump(platform))

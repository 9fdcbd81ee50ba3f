"""Pipeline specs of a few lines."""

from typing import Any

from tests.kubeflow.backend import Spec

Json = dict[str, Any]

MODEL = {"instanceSchema": "title: tfx.Model\ntype: object\n"}


def task(**changes: Any) -> Json:
    """A task; `parameters` and `artifacts` are its inputs."""
    inputs = {name: changes.pop(name) for name in ("parameters", "artifacts") if name in changes}
    return {"inputs": inputs, **changes}


def component(
    inputs: Json | None = None, outputs: Json | None = None, output_parameters: Json | None = None
) -> Json:
    """A component; `outputs` is key -> type of an artifact."""
    return {
        "inputDefinitions": inputs or {},
        "outputDefinitions": {
            "artifacts": {name: {"artifactType": kind} for name, kind in (outputs or {}).items()},
            "parameters": output_parameters or {},
        },
    }


def constant(value: Any) -> Json:
    """A task's input that is a constant."""
    return {"runtimeValue": {"constant": value}}


def artifact_from(producer: str, key: str) -> Json:
    """A task's input that is another one's output."""
    return {"taskOutputArtifact": {"producerTask": producer, "outputArtifactKey": key}}


def spec(
    tasks: Json,
    *,
    components: Json | None = None,
    executors: Json | None = None,
    parameters: Json | None = None,
    kubernetes: Json | None = None,
) -> Spec:
    """A pipeline of these tasks; a component and an executor is made for each that has none.

    `parameters` is name -> default of the pipeline's inputs; None for an optional one without.
    """
    declared = {
        name: {"parameterType": "STRING", "isOptional": True}
        if default is None
        else {
            "parameterType": "STRING" if isinstance(default, str) else "NUMBER_DOUBLE",
            "defaultValue": default,
        }
        for name, default in (parameters or {}).items()
    }
    run_nothing = {"container": {"image": "any", "command": ["true"]}}
    return Spec(
        {
            "pipelineInfo": {"name": "small"},
            "schemaVersion": "2.1.0",
            "root": {
                "inputDefinitions": {"parameters": declared},
                "dag": {
                    "tasks": {
                        key: {"taskInfo": {"name": key}, "componentRef": {"name": key}} | body
                        for key, body in tasks.items()
                    }
                },
            },
            "components": {
                key: {**(components or {}).get(key, component()), "executorLabel": f"{key}-e"}
                for key in tasks
            },
            "deploymentSpec": {
                "executors": {f"{key}-e": (executors or {}).get(key, run_nothing) for key in tasks}
            },
        },
        kubernetes or {},
    )

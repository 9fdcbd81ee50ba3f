"""What a node's container runs on Kubeflow Pipelines.

It does what TFX's `kubeflow_v2_run_executor` does, on the open backend too, which hands artifacts
on otherwise than Vertex AI Pipelines. Each difference is told where it is dealt with; they were
read in kubeflow/pipelines, backend/src/v2 (driver, component/launcher_v2.go, metadata/client.go).
"""

import argparse
import contextlib
import json
import logging
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Any

import tensorflow as tf
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2 as pb
from tfx.dsl.components.base import base_beam_executor, base_executor
from tfx.orchestration.kubeflow.v2.container import kubeflow_v2_entrypoint_utils as utils
from tfx.orchestration.portable import outputs_utils
from tfx.types import Artifact
from tfx.utils import import_utils

from ...components import progress, storage
from ...components.errors import ImbalanceError, recognise
from ...components.text import shown
from ..console import ShownFormatter

ABSENT = "absent"
"""Metadata property, '1', of an output that a node left out: the backend hands it on anyway."""

_BACKENDS_OWN = ("display_name", "store_session_info")
_LOCAL = {"gs": "/gcs/", "s3": "/s3/", "minio": "/minio/"}
"""Where the launcher puts inputs before the node runs, and takes outputs from afterwards."""

ArtifactDict = dict[str, list[Artifact]]


def main(argv: Sequence[str]) -> int:
    """Runs the executor that the arguments name; what Beam is told is left to Beam.

    Returns:
      The exit code: 0, or that of the user's or the data's mistake.
    """
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--executor_class_path", required=True)
    parser.add_argument("--json_serialized_invocation_args", required=True)
    parser.add_argument("--json_serialized_inputs_spec_args", required=True)
    args, beam_args = parser.parse_known_args(argv)
    handler = logging.StreamHandler()
    handler.setFormatter(ShownFormatter(logging.BASIC_FORMAT))
    logging.basicConfig(level=logging.INFO, force=True, handlers=[handler])
    try:
        with progress.shown_by(_say):
            run_executor(
                args.executor_class_path,
                json.loads(args.json_serialized_invocation_args),
                json.loads(args.json_serialized_inputs_spec_args),
                beam_args,
            )
    except Exception as error:
        known = recognise(error)
        if known is None:
            print(shown(traceback.format_exc()), file=sys.stderr, flush=True)
            return ImbalanceError.exit_code
        for line in shown(str(known)).split("\n"):
            print(f"error: {line}", file=sys.stderr, flush=True)
        return known.exit_code
    return 0


def run_executor(
    class_path: str, invocation: dict[str, Any], inputs_spec: dict[str, Any], beam_args: list[str]
) -> None:
    """Runs one executor.

    Args:
      class_path: dotted name of the executor's class.
      invocation: the backend's ExecutorInput.
      inputs_spec: ComponentInputsSpec of the node.
      beam_args: Beam's options.
    """
    inputs = _inputs(invocation.get("inputs", {}).get("artifacts", {}), inputs_spec)
    outputs = _outputs(invocation["outputs"].get("artifacts", {}))
    output_file = invocation["outputs"]["outputFile"]
    made_at = {key: artifact["uri"] for key, artifact in outputs.items()}
    for artifact in (*inputs.values(), *outputs.values()):
        artifact["uri"] = _in_reach(artifact["uri"])
    for key, artifact in outputs.items():
        _make_empty(artifact["uri"], made_at[key])

    spec = json_format.ParseDict(inputs_spec, pb.ComponentInputsSpec(), ignore_unknown_fields=True)
    executor_input = json_format.ParseDict(
        {
            "inputs": {
                "artifacts": {k: {"artifacts": [a]} for k, a in inputs.items()},
                "parameterValues": invocation.get("inputs", {}).get("parameterValues", {}),
            },
            "outputs": {"artifacts": {k: {"artifacts": [a]} for k, a in outputs.items()}},
        },
        pb.ExecutorInput(),
        ignore_unknown_fields=True,
    )
    names: dict[int, str] = {}
    input_dict = utils.parse_raw_artifact_dict(executor_input.inputs.artifacts, names)
    output_dict = utils.parse_raw_artifact_dict(executor_input.outputs.artifacts, names)
    # With a schema of 2.1 all parameters are parameter_values, and none of the second argument.
    exec_properties = utils.parse_execution_properties(
        executor_input.inputs.parameter_values, {}, spec
    )
    # The data, the registry: what is named by a parameter, the launcher has copied nowhere.
    storage.prepare(*(v for v in exec_properties.values() if isinstance(v, str) and "://" in v))
    declared = {key: artifacts[0] for key, artifacts in output_dict.items()}

    _executor(class_path, output_file, beam_args).Do(input_dict, output_dict, exec_properties)

    left_out = [key for key in declared if not output_dict.get(key)]
    for key in left_out:
        declared[key].set_string_custom_property(ABSENT, "1")
        output_dict[key] = [declared[key]]
    outputs_utils.tag_output_artifacts_with_version(output_dict)
    _write(output_file, output_dict, made_at, {0: "", **names})  # 0: the open backend names none


def _executor(class_path: str, output_file: str, beam_args: list[str]) -> Any:
    executor_class = import_utils.import_class_by_path(class_path)
    folder = os.path.dirname(output_file)
    context = {"unique_id": os.path.basename(folder), "tmp_dir": os.path.join(folder, ".temp")}
    if issubclass(executor_class, base_beam_executor.BaseBeamExecutor):
        return executor_class(
            base_beam_executor.BaseBeamExecutor.Context(beam_pipeline_args=beam_args, **context)
        )
    return executor_class(base_executor.BaseExecutor.Context(extra_flags=beam_args, **context))


def _inputs(artifacts: dict[str, Any], inputs_spec: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The single artifact of each input that is there, with the type that the spec declares.

    The open backend hands a type on without its schema, or with one that TFX does not read.
    """
    found = {}
    for key, listed in artifacts.items():
        for artifact in listed.get("artifacts", []):
            metadata = dict(artifact.get("metadata", {}))
            if metadata.get(ABSENT) == "1":
                continue
            for name in _BACKENDS_OWN:
                metadata.pop(name, None)
            found[key] = {
                "name": artifact.get("name") or artifact["uri"],
                "uri": artifact["uri"],
                "type": inputs_spec["artifacts"][key]["artifactType"],
                "metadata": metadata,
            }
    return found


def _outputs(artifacts: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The single artifact of each output of the node.

    The backend may add outputs of its own, such as `executor-logs`, of types that are not TFX's.
    """
    return {
        key: dict(artifact)
        for key, listed in artifacts.items()
        for artifact in listed.get("artifacts", [])
        if not artifact.get("type", {}).get("schemaTitle", "").startswith("system.")
    }


def _in_reach(uri: str) -> str:
    """The artifact's URI, or the launcher's copy of it where TensorFlow opens no such store."""
    scheme = storage.scheme(uri)
    if scheme and not storage.tensorflow_reads(scheme):
        storage.load_tensorflow_io()
    return uri if storage.tensorflow_reads(scheme) else launcher_path(uri)


def launcher_path(uri: str) -> str:
    """The folder of an artifact in the container, as the launcher's LocalPathForURI has it."""
    scheme, _, rest = uri.partition("://")
    return _LOCAL.get(scheme, f"/{scheme}/") + rest


def _make_empty(folder: str, uri: str) -> None:
    """Makes an output's folder; a retry finds there what the failed attempt has left."""
    if tf.io.gfile.isdir(folder):
        with contextlib.suppress(tf.errors.NotFoundError):
            tf.io.gfile.rmtree(folder)
    tf.io.gfile.makedirs(folder)
    if folder == uri and "://" in uri:
        # The newest launcher fails where it has no local folder to upload, be it empty.
        with contextlib.suppress(OSError):
            os.makedirs(launcher_path(uri), exist_ok=True)


def _write(
    path: str, output_dict: ArtifactDict, made_at: dict[str, str], names: dict[int, str]
) -> None:
    """Writes what the launcher reads: strictly, so that it holds no property without a value."""
    output = pb.ExecutorOutput()
    for key, artifacts in utils.translate_executor_output(output_dict, names).items():
        [artifact] = artifacts.artifacts
        artifact.uri = made_at[key]
        for name in [n for n, v in artifact.metadata.fields.items() if v.HasField("null_value")]:
            del artifact.metadata.fields[name]
        output.artifacts[key].CopyFrom(artifacts)
    # On Vertex AI Pipelines it lies in the object store.
    tf.io.gfile.makedirs(os.path.dirname(path))
    with tf.io.gfile.GFile(path, "w") as file:
        file.write(json_format.MessageToJson(output))


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

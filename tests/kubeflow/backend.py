"""What open-source Kubeflow Pipelines' driver and launcher make of a compiled spec, as functions.

Each says where its rule was read: file and function in github.com/kubeflow/pipelines, below
`backend/src/v2` unless the path begins with `apiserver`. Only what our specs use is modelled;
all else raises Refused, so that nothing passes here that was not read there.

Two generations of the backend keep artifacts differently, see `Generation`.
"""

import json
import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal

import yaml

Generation = Literal["mlmd", "api"]
"""Where artifacts live between two tasks: ML Metadata (every release that was read), or the API
server's own tables (the newest sources)."""

RuntimeArtifact = dict[str, Any]
Json = dict[str, Any]

OUTPUT_METADATA = "/tmp/kfp_outputs/output_metadata.json"
"""component/launcher_v2.go OutputMetadataFilepath."""
OUTPUT_PARAMETERS = "/tmp/kfp/outputs"
"""driver/driver.go provisionOutputs."""
LOCAL_FOLDERS = {"gs://": "/gcs/", "minio://": "/minio/", "s3://": "/s3/"}
"""component/launcher_v2.go LocalPathForURI."""

_LOGS = "executor-logs"
_TYPES: dict[str, type | tuple[type, ...]] = {
    "STRING": str,
    "NUMBER_INTEGER": (int, float),
    "NUMBER_DOUBLE": (int, float),
    "BOOLEAN": bool,
    "LIST": list,
    "STRUCT": dict,
}
_TASK_KEYS = {
    *("cachingOptions", "componentRef", "dependentTasks", "inputs", "retryPolicy", "taskInfo"),
    "triggerPolicy",
}
_CONTAINER_KEYS = {"args", "command", "env", "image", "lifecycle", "resources"}


class Refused(Exception):
    """The backend refuses or ignores this, or does something that is not modelled here."""


@dataclass(frozen=True)
class Spec:
    """A compiled pipeline: the pipeline spec and Kubernetes' part of the platform spec."""

    pipeline: Json
    kubernetes: Json = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.pipeline["pipelineInfo"]["name"]

    @property
    def tasks(self) -> Json:
        """Task key -> task spec, of the root DAG."""
        return self.pipeline["root"]["dag"]["tasks"]

    def component(self, key: str) -> Json:
        """The component that a task runs."""
        name = self.tasks[key]["componentRef"]["name"]
        if name not in self.pipeline["components"]:
            raise Refused(f"{key}: component spec for {name!r} not found")
        return self.pipeline["components"][name]

    def executor(self, key: str) -> Json:
        """The executor of a task's component."""
        label = self.component(key).get("executorLabel")
        executors = self.pipeline["deploymentSpec"]["executors"]
        if label not in executors:
            raise Refused(f"{key}: executor with label {label!r} not found")
        return executors[label]

    def kubernetes_config(self, key: str) -> Json:
        """What the platform spec says of a task; empty for nothing."""
        executors = self.kubernetes.get("deploymentSpec", {}).get("executors", {})
        return executors.get(self.component(key).get("executorLabel"), {})


def load(text: str) -> Spec:
    """Reads the YAML documents of a compiled pipeline.

    apiserver/template/v2_template.go NewV2SpecTemplate: a document is the pipeline spec if it
    parses as one, with no field unknown; else the platform spec likewise (a platform document with
    an unknown field is passed over in silence, which is refused here).
    """
    from google.protobuf import json_format
    from kfp.pipeline_spec import pipeline_spec_pb2

    pipeline: Json | None = None
    platform: Json | None = None
    for document in yaml.safe_load_all(text):
        if not document:
            continue
        is_pipeline = "pipelineInfo" in document
        message = pipeline_spec_pb2.PipelineSpec if is_pipeline else pipeline_spec_pb2.PlatformSpec
        try:
            json_format.ParseDict(document, message())
        except json_format.ParseError as error:
            raise Refused(f"invalid {message.DESCRIPTOR.name}: {error}") from None
        if (pipeline if is_pipeline else platform) is not None:
            raise Refused(f"more than one {message.DESCRIPTOR.name}")
        if is_pipeline:
            pipeline = document
        else:
            platform = document
    if pipeline is None:
        raise Refused("no pipeline spec is provided")
    if pipeline.get("schemaVersion") != "2.1.0":
        raise Refused(f"KFP only supports schema version 2.1.0, not {pipeline['schemaVersion']}")
    if not re.fullmatch(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?", pipeline["pipelineInfo"]["name"]):
        raise Refused(f"name: {pipeline['pipelineInfo']['name']!r}")
    spec = Spec(pipeline, (platform or {}).get("platforms", {}).get("kubernetes", {}))
    for key in spec.tasks:
        check_task(spec, key)
    return spec


def check_task(spec: Spec, key: str) -> None:
    """Raises Refused for a task that the backend would not run as its author meant.

    compiler/argocompiler/dag.go task: only containers and importers run; resolvers and custom jobs
    do not compile. Conditions, loops and exit tasks exist there and not here. `lifecycle` is read
    by nothing in the backend. Executions are found by taskInfo.name, inputs name task keys
    (driver/resolve.go resolveUpstreamArtifacts, metadata/client.go GetExecutionsInDAG), so that
    the two must be one.
    """
    task, executor = spec.tasks[key], spec.executor(key)
    if unknown := set(task) - _TASK_KEYS:
        raise Refused(f"{key}: {sorted(unknown)} is not modelled")
    if task.get("triggerPolicy"):
        raise Refused(f"{key}: triggerPolicy is not modelled")
    if task["taskInfo"]["name"] != key:
        raise Refused(f"{key}: taskInfo.name is {task['taskInfo']['name']!r}")
    [(kind, body)] = executor.items()
    if kind == "resolver":
        raise Refused(f"{key}: resolver executors not implemented")
    if kind == "customJob":
        raise Refused(f"{key}: custom job executors is Google Cloud only, it's not supported")
    if kind == "container" and body.get("lifecycle"):
        raise Refused(f"{key}: lifecycle is ignored")
    if kind == "container" and set(body) - _CONTAINER_KEYS:
        raise Refused(f"{key}: {sorted(set(body) - _CONTAINER_KEYS)} is not modelled")


def order(spec: Spec) -> list[str]:
    """Task keys such that each comes after all that it depends on; by name where that is free.

    compiler/argocompiler/dag.go addImplicitDependencies (a task depends on the producers of its
    inputs) and depends (it runs once all of them have succeeded; Argo runs those that can run
    side by side, here they run one by one).
    """
    waits = {key: set(_producers(task)) for key, task in spec.tasks.items()}
    for key, producers in waits.items():
        if unknown := producers - set(spec.tasks):
            raise Refused(f"{key}: unknown producer task {sorted(unknown)}")
    done: list[str] = []
    while len(done) < len(waits):
        ready = sorted(key for key in waits if key not in done and waits[key] <= set(done))
        if not ready:
            raise Refused(f"tasks in a circle: {sorted(set(waits) - set(done))}")
        done.append(ready[0])
    return done


def _producers(task: Json) -> Iterator[str]:
    yield from task.get("dependentTasks", ())
    inputs = task.get("inputs", {})
    for source in (*inputs.get("parameters", {}).values(), *inputs.get("artifacts", {}).values()):
        for kind in ("taskOutputParameter", "taskOutputArtifact"):
            if kind in source:
                yield source[kind]["producerTask"]


def root_parameters(spec: Spec, given: Mapping[str, Any]) -> Json:
    """The run's parameters: those that are given, and defaults.

    apiserver/template/v2_template.go validatePipelineJobInputs (unknown names, missing values and
    wrong types are refused); compiler/argocompiler/argo.go Compile (defaults; null for an
    optional one without).
    """
    declared = spec.pipeline["root"].get("inputDefinitions", {}).get("parameters", {})
    if unknown := set(given) - set(declared):
        raise Refused(f"parameters {sorted(unknown)} are not the pipeline's: {sorted(declared)}")
    values = {}
    for name, definition in declared.items():
        if name in given:
            _require_type(f"parameter {name}", given[name], definition["parameterType"])
            values[name] = given[name]
        elif "defaultValue" in definition:
            values[name] = definition["defaultValue"]
        elif definition.get("isOptional"):
            values[name] = None
        else:
            raise Refused(f"parameter {name} is not optional, yet has neither default nor value")
    return values


@dataclass(frozen=True)
class Outputs:
    """What a finished task has published."""

    artifacts: dict[str, RuntimeArtifact] = field(default_factory=dict)
    parameters: Json = field(default_factory=dict)


@dataclass(frozen=True)
class Run:
    """One run of a pipeline: what the driver knows besides the spec."""

    spec: Spec
    run_id: str
    pipeline_root: str
    parameters: Json
    generation: Generation = "mlmd"
    finished: dict[str, Outputs] = field(default_factory=dict)

    @property
    def root(self) -> str:
        """metadata/client.go GetPipeline: each run has a folder below the pipeline root."""
        return output_uri(self.pipeline_root, self.spec.name, self.run_id)


def output_uri(root: str, *paths: str) -> str:
    """metadata/client.go GenerateOutputURI, without a query."""
    return f"{root.rstrip('/')}/{posixpath.join(*paths)}"


def resolve_inputs(run: Run, key: str) -> Json:
    """`inputs` of a task's ExecutorInput (driver/resolve.go resolveInputs)."""
    task, component = run.spec.tasks[key], run.spec.component(key)
    declared = component.get("inputDefinitions", {}).get("parameters", {})
    values: Json = {}
    for name, source in task.get("inputs", {}).get("parameters", {}).items():
        value = _parameter(run, key, name, source)
        if value is not None:
            values[name] = value
        elif not declared.get(name, {}).get("isOptional"):
            raise Refused(f"{key}: parameter {name} is null")
    for name, definition in declared.items():
        if name not in values:
            if not definition.get("isOptional") and "defaultValue" not in definition:
                raise Refused(f"{key}: no value for non-optional parameter {name!r}")
        elif definition["parameterType"] == "STRING":
            values[name] = as_text(values[name])
        else:
            _require_type(f"{key}: parameter {name}", values[name], definition["parameterType"])
    artifacts = {
        name: {"artifacts": [_input_artifact(run, key, name, source)]}
        for name, source in task.get("inputs", {}).get("artifacts", {}).items()
    }
    return {"parameterValues": values, "artifacts": artifacts}


def _parameter(run: Run, key: str, name: str, source: Json) -> Any:
    """driver/resolve.go resolveInputParameter; None is null."""
    where = f"{key}: parameter {name}"
    if "parameterExpressionSelector" in source:
        raise Refused(f"{where}: parameterExpressionSelector is not modelled")
    if "componentInputParameter" in source:
        parameter = source["componentInputParameter"]
        if parameter not in run.parameters:
            raise Refused(f"{where}: parent DAG does not have input parameter {parameter}")
        return run.parameters[parameter]
    if "taskOutputParameter" in source:
        output = source["taskOutputParameter"]
        published = _finished(run, key, output["producerTask"]).parameters
        return published.get(output["outputParameterKey"])
    if set(source) == {"runtimeValue"} and set(source["runtimeValue"]) == {"constant"}:
        return _constant(run, key, source["runtimeValue"]["constant"])
    raise Refused(f"{where}: {sorted(source)} is not implemented")


def _constant(run: Run, key: str, value: Any) -> Any:
    """driver/resolve.go resolveInputParameter: a constant that is all placeholder is replaced."""
    known = {
        "{{$.pipeline_job_name}}": f"{run.spec.name} {run.run_id}",
        "{{$.pipeline_job_resource_name}}": f"{run.spec.name}-{run.run_id[:5]}",
        "{{$.pipeline_job_uuid}}": run.run_id,
        "{{$.pipeline_task_name}}": key,
    }
    if isinstance(value, str) and value in known:
        return known[value]
    if isinstance(value, str) and "{{$" in value:
        raise Refused(f"{key}: placeholder in {value!r} is not replaced")
    return value


def _finished(run: Run, key: str, producer: str) -> Outputs:
    if producer not in run.finished:
        raise Refused(f"{key}: producer task {producer} has not finished")
    return run.finished[producer]


def _input_artifact(run: Run, key: str, name: str, source: Json) -> RuntimeArtifact:
    """driver/resolve.go resolveUpstreamArtifacts: what the producer has published."""
    if set(source) != {"taskOutputArtifact"}:
        raise Refused(f"{key}: artifact {name}: {sorted(source)} is not modelled")
    output = source["taskOutputArtifact"]
    published = _finished(run, key, output["producerTask"]).artifacts
    if output["outputArtifactKey"] not in published:
        raise Refused(f"{key}: artifact {name}: cannot find output {output['outputArtifactKey']}")
    return published[output["outputArtifactKey"]]


def provision_outputs(run: Run, key: str, salt: str, *, publish_logs: bool = True) -> Json:
    """`outputs` of a task's ExecutorInput (driver/driver.go provisionOutputs).

    Args:
      run: the run.
      key: the task.
      salt: a random part of the URIs, drawn once a task, not once an attempt.
      publish_logs: as compiler/argocompiler/dag.go has it by default; gives every task one output
        more, `executor-logs`.
    """
    definitions = run.spec.component(key).get("outputDefinitions", {})
    declared = dict(definitions.get("artifacts", {}))
    if publish_logs:
        declared[_LOGS] = {"artifactType": {"schemaTitle": "system.Artifact"}}
    artifacts = {}
    for name, definition in declared.items():
        artifact = {
            "uri": output_uri(run.root, key, salt, name),
            "type": definition["artifactType"],
        }
        if definition.get("metadata"):
            artifact["metadata"] = dict(definition["metadata"])
        artifacts[name] = {"artifacts": [artifact]}
    return {
        "artifacts": artifacts,
        "outputFile": OUTPUT_METADATA,
        "parameters": {
            name: {"outputFile": f"{OUTPUT_PARAMETERS}/{name}"}
            for name in definitions.get("parameters", {})
        },
    }


def with_defaults(executor_input: Json, component: Json) -> Json:
    """component/launcher_v2.go addDefaultParams."""
    declared = component.get("inputDefinitions", {}).get("parameters", {})
    defaults = {n: d["defaultValue"] for n, d in declared.items() if "defaultValue" in d}
    values = defaults | executor_input["inputs"]["parameterValues"]
    return executor_input | {"inputs": executor_input["inputs"] | {"parameterValues": values}}


def placeholders(executor_input: Json) -> dict[str, str]:
    """Text in commands and arguments -> what it becomes (component/launcher_v2.go getPlaceholders).

    The path of an artifact is a local folder for object stores; a local URI, which the backend does
    not take, stands in for both.
    """
    found = {"{{$}}": json.dumps(executor_input)}
    for side in ("inputs", "outputs"):
        for name, listed in executor_input[side]["artifacts"].items():
            if listed["artifacts"]:
                uri = listed["artifacts"][0]["uri"]
                found[f"{{{{$.{side}.artifacts['{name}'].uri}}}}"] = uri
                found[f"{{{{$.{side}.artifacts['{name}'].path}}}}"] = local_path(uri)
    for name, value in executor_input["inputs"]["parameterValues"].items():
        found[f"{{{{$.inputs.parameters['{name}']}}}}"] = as_text(value)
    for name, parameter in executor_input["outputs"]["parameters"].items():
        found[f"{{{{$.outputs.parameters['{name}'].output_file}}}}"] = parameter["outputFile"]
    return found


def local_path(uri: str) -> str:
    """component/launcher_v2.go LocalPathForURI; a path is its own."""
    for scheme, folder in LOCAL_FOLDERS.items():
        if uri.startswith(scheme):
            return folder + uri.removeprefix(scheme)
    if "://" in uri:
        raise Refused(f"{uri}: unsupported storage scheme")
    return uri


def command(container: Json, executor_input: Json) -> list[str]:
    """The command line of a container.

    component/launcher_v2.go executeV2 replaces each placeholder's text, in an order that Go leaves
    to chance: a value that is itself a placeholder is refused here. What is left in braces stays
    as it is there. Kubernetes expands `$(NAME)` and `$$` in the pod's command, of which the
    executor input is a part (driver/driver.go initPodSpecPatch): refused, too.
    """
    replacements = placeholders(executor_input)
    line = [*container.get("command", ()), *container.get("args", ())]
    if not line:
        raise Refused("command and arguments are empty")
    for text in (*line, json.dumps(executor_input)):
        if "$(" in text or "$$" in text:
            raise Refused(f"Kubernetes expands $( and $$ in {text!r}")
    if any("{{$" in text for text in replacements.values()):
        raise Refused("a placeholder within a placeholder's value")
    for old, new in replacements.items():
        line = [text.replace(old, new) for text in line]
    if left := [text for text in line if "{{$" in text]:
        raise Refused(f"the launcher does not replace {left}")
    return line


def read_executor_output(text: str | None) -> Json:
    """component/launcher_v2.go getExecutorOutputFile: strict JSON; nothing for no file."""
    from google.protobuf import json_format
    from kfp.pipeline_spec import pipeline_spec_pb2

    if text is None:
        return {}
    message = pipeline_spec_pb2.ExecutorOutput()
    try:
        json_format.Parse(text, message)
    except json_format.ParseError as error:
        raise Refused(f"failed to unmarshall ExecutorOutput: {error}") from None
    return json_format.MessageToDict(message)


def output_artifacts(
    executor_input: Json, executor_output: Json, first_id: int, generation: Generation
) -> dict[str, RuntimeArtifact]:
    """What the launcher publishes, as later tasks get it: output key -> artifact.

    component/launcher_v2.go uploadOutputArtifacts and mergeRuntimeArtifacts: every output that was
    provisioned is published, made or not; URI and metadata are those that the executor wrote.
    """
    published = {}
    written = executor_output.get("artifacts", {})
    for number, (name, listed) in enumerate(executor_input["outputs"]["artifacts"].items()):
        for artifact in listed["artifacts"]:
            own = (written.get(name, {}).get("artifacts") or [{}])[0]
            uri = own.get("uri") or artifact["uri"]
            metadata = artifact.get("metadata", {}) | own.get("metadata", {})
            keep = through_mlmd if generation == "mlmd" else through_api
            published[name] = keep(name, uri, artifact["type"], metadata, first_id + number)
    return published


def through_mlmd(name: str, uri: str, schema: Json, metadata: Json, number: int) -> RuntimeArtifact:
    """An artifact written to ML Metadata and read back.

    component/launcher_v2.go getArtifactSchema and metadata/client.go SchemaToArtifactType need a
    type with a title; metadata/converter.go StructValueToMLMDValue and toRuntimeArtifact have no
    null, make bools numbers and wrap lists and structs; metadata/client.go RecordArtifact adds two
    properties; GetOutputArtifactsByExecutionId and ToRuntimeArtifact forget the type's schema.
    """
    _title(name, schema)
    kept = {key: _through_mlmd(name, key, value) for key, value in metadata.items()}
    kept.setdefault("display_name", name)
    kept.setdefault("store_session_info", '{"Provider":"s3","Params":{"fromEnv":"true"}}')
    return {"name": str(number), "uri": uri, "type": {"instanceSchema": ""}, "metadata": kept}


def _through_mlmd(name: str, key: str, value: Any) -> Any:
    if value is None:
        raise Refused(f"output {name}: metadata {key}: unknown/unsupported value type null")
    if isinstance(value, bool):
        return float(value)
    if isinstance(value, list):
        return {"list": value}
    if isinstance(value, dict):
        return {"struct": value}
    return value


def through_api(name: str, uri: str, schema: Json, metadata: Json, number: int) -> RuntimeArtifact:
    """An artifact written to the API server's tables and read back.

    component/importer_launcher.go inferArtifactType, preserveArtifactSchema and
    RuntimeArtifactSchemaAndMetadata: a type that Kubeflow does not know comes back as a
    schemaTitle that holds whatever the schema was, and metadata as it was;
    the driver's convertArtifactToRuntimeArtifact: the name is the output's, which has none.
    """
    _title(name, schema)
    [text] = (schema[kind] for kind in ("instanceSchema", "schemaTitle") if kind in schema)
    artifact = {"uri": uri, "type": {"schemaTitle": text}, "artifactId": f"id-{number}"}
    return artifact | ({"metadata": metadata} if metadata else {})


def _title(name: str, schema: Json) -> str:
    text = schema.get("instanceSchema") or f"title: {schema.get('schemaTitle', '')}"
    title = (yaml.safe_load(text) or {}).get("title")
    if not title:
        raise Refused(f"output {name}: No title specified in {schema}")
    return str(title)


def output_parameters(component: Json, executor_output: Json, files: Mapping[str, str]) -> Json:
    """component/launcher_v2.go collectOutputParameters.

    Args:
      component: the task's component.
      executor_output: what the executor wrote of itself; it comes first.
      files: parameter -> text of its output file.
    """
    values = dict(executor_output.get("parameterValues", {}))
    for name, definition in component.get("outputDefinitions", {}).get("parameters", {}).items():
        if name not in values:
            if name not in files:
                raise Refused(f"failed to read output parameter {name!r}")
            values[name] = from_text(files[name], definition["parameterType"])
    return values


def import_artifact(run: Run, key: str, number: int) -> Outputs:
    """An importer's output; it has no container (component/importer_launcher.go ImportSpec...)."""
    importer = run.spec.executor(key)["importer"]
    source = importer["artifactUri"]
    if "constant" in source:
        uri = source["constant"]
    elif "runtimeParameter" in source:
        parameters = run.spec.tasks[key].get("inputs", {}).get("parameters", {})
        if source["runtimeParameter"] not in parameters:
            raise Refused(
                f"{key}: cannot find parameter {source['runtimeParameter']} in task input"
            )
        # Only a parameter of the pipeline; the driver resolves nothing for an importer.
        uri = run.parameters.get(
            parameters[source["runtimeParameter"]].get("componentInputParameter")
        )
    else:
        raise Refused(f"{key}: artifact uri not provided")
    if not uri:
        raise Refused(f"{key}: empty artifact URI")
    [output] = run.spec.component(key)["outputDefinitions"]["artifacts"]
    keep = through_mlmd if run.generation == "mlmd" else through_api
    metadata = importer.get("metadata", {})
    artifact = keep(output, uri, importer["typeSchema"], metadata, number)
    if run.generation == "mlmd" and "display_name" not in metadata:
        del artifact["metadata"]["display_name"]
    return Outputs({output: artifact})


def secret_environment(config: Json, secrets: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """Environment variables that hold keys of secrets (driver/k8s.go extendPodSpecPatch)."""
    found = {}
    for secret in config.get("secretAsEnv", ()):
        for pair in secret["keyToEnv"]:
            try:
                found[pair["envVar"]] = secrets[secret["secretName"]][pair["secretKey"]]
            except KeyError:
                if not secret.get("optional"):
                    raise Refused(
                        f"secret {secret['secretName']}: no key {pair['secretKey']}"
                    ) from None
    return found


def as_text(value: Any) -> str:
    """A parameter as text (metadata/converter.go PbValueToText)."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        text = format(Decimal(repr(float(value))), "f")
        return text.rstrip("0").rstrip(".") if "." in text else text
    return json.dumps(value)


def from_text(text: str, parameter_type: str) -> Any:
    """An output file's text as a parameter (metadata/converter.go TextToPbValue)."""
    try:
        if parameter_type == "STRING":
            return text
        if parameter_type == "NUMBER_INTEGER":
            return float(int(text.strip()))
        if parameter_type == "NUMBER_DOUBLE":
            return float(text.strip())
        value = json.loads(text.strip().lower() if parameter_type == "BOOLEAN" else text)
    except ValueError:
        raise Refused(f"{text!r} is not of type {parameter_type}") from None
    _require_type(repr(text), value, parameter_type)
    return value


def _require_type(what: str, value: Any, parameter_type: str) -> None:
    fits = isinstance(value, _TYPES[parameter_type])
    if not fits or (isinstance(value, bool) and parameter_type != "BOOLEAN"):
        raise Refused(f"{what}: expect {parameter_type}, got {value!r}")

"""What is compiled for Kubeflow loads there, holds nothing that it refuses or ignores, and is the
pipeline that runs locally."""

import copy
import gzip
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from google.protobuf import json_format
from kfp import components
from kfp.pipeline_spec import pipeline_spec_pb2
from typer.testing import CliRunner

from tfx_imbalance.components.errors import UserError
from tfx_imbalance.pipeline.cli import app
from tfx_imbalance.pipeline.config import Config, load_config, parse_config
from tfx_imbalance.pipeline.runners.kubeflow import Compiled, compile_config, pipeline_name

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "configs" / "kubeflow" / "bank.yaml"
NUMBERS = ["age", "balance", "day", "duration", "campaign", "pdays", "previous"]
COLUMNS = [
    *("age", "job", "marital", "education", "default", "balance", "housing", "loan", "contact"),
    *("day", "month", "duration", "campaign", "pdays", "previous", "poutcome", "y"),
]
GPU = {"accelerator": "nvidia.com/gpu", "accelerator_count": 2}


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A file with the bank's columns."""
    path = tmp_path_factory.mktemp("sample") / "bank.csv.gz"
    rows = [["1" if c in NUMBERS else value for c in COLUMNS] for value in ("no", "yes")]
    with gzip.open(path, "wt") as file:
        file.write("\n".join(",".join(row) for row in [COLUMNS, *rows]) + "\n")
    return str(path)


@pytest.fixture(scope="module")
def compiled(sample: str) -> Compiled:
    return compile_config(load_config(DEMO), config_path=DEMO, sample=sample)


def _config(**sections: Any) -> Config:
    """The demo's config with sections merged into it."""

    def merged(old: Any, new: Any) -> Any:
        if isinstance(old, dict) and isinstance(new, dict):
            return old | {key: merged(old.get(key), value) for key, value in new.items()}
        return new

    return parse_config(merged(load_config(DEMO).model_dump(mode="json"), sections), "c.yaml")


def _tasks(compiled: Compiled) -> dict[str, Any]:
    tasks: dict[str, Any] = compiled.pipeline_spec["root"]["dag"]["tasks"]
    return tasks


def _container(compiled: Compiled, node: str) -> dict[str, Any]:
    executors = compiled.pipeline_spec["deploymentSpec"]["executors"]
    container: dict[str, Any] = executors[f"{node}_executor"]["container"]
    return container


def _on_kubernetes(compiled: Compiled, node: str) -> dict[str, Any]:
    spec = compiled.platform_spec.get("platforms", {}).get("kubernetes", {})
    executor: dict[str, Any] = (
        spec.get("deploymentSpec", {}).get("executors", {}).get(f"{node}_executor", {})
    )
    return executor


# What the open backend takes, read in kubeflow/pipelines: backend/src/v2/compiler/argocompiler,
# driver and component/launcher_v2.go; the platform's keys as of kfp-kubernetes 1.0, since a
# document with a key that a server does not know is ignored as a whole.
_CONTAINER = {"image", "command", "args", "resources", "env"}
_RESOURCES = {"cpuLimit", "cpuRequest", "memoryLimit", "memoryRequest", "accelerator"}
_TASK = {
    "taskInfo",
    "inputs",
    "dependentTasks",
    "cachingOptions",
    "componentRef",
    "retryPolicy",
}
_ON_KUBERNETES: dict[str, set[str]] = {
    "nodeSelector": {"labels"},
    "tolerations": {"key", "operator", "value", "effect"},
    "secretAsEnv": {"secretName", "keyToEnv"},
}


def refused(spec: dict[str, Any], platform: dict[str, Any]) -> Iterator[str]:
    """What the open backend would refuse, ignore or take otherwise than it is meant."""
    if spec.get("schemaVersion") != "2.1.0":
        yield f"schemaVersion {spec.get('schemaVersion')}"
    try:
        json_format.ParseDict(spec, pipeline_spec_pb2.PipelineSpec())
        json_format.ParseDict(spec["deploymentSpec"], pipeline_spec_pb2.PipelineDeploymentConfig())
    except json_format.ParseError as error:
        yield f"does not parse: {error}"
    for label, executor in spec["deploymentSpec"]["executors"].items():
        if set(executor) != {"container"}:
            yield f"{label}: {', '.join(executor)} is no container"
            continue
        container = executor["container"]
        if unknown := set(container) - _CONTAINER:
            yield f"{label}: {', '.join(unknown)} is ignored"
        if unknown := set(container.get("resources", {})) - _RESOURCES:
            yield f"{label}: resources.{', '.join(unknown)} is of later releases only"
        yield from (f"{label}: {w}" for w in _placeholders(container["args"], {"{{$}}"}))
        yield from (f"{label}: {w}" for w in _placeholders(container["command"], set()))
    tasks = spec["root"]["dag"]["tasks"]
    for key, task in tasks.items():
        yield from (f"{key}: {w}" for w in _wrong_with_task(key, task, tasks, spec))
    for name, parameter in spec["root"]["inputDefinitions"]["parameters"].items():
        if parameter.get("parameterType") != "STRING" or "defaultValue" not in parameter:
            yield f"parameter {name} has no type or default"
    executors = {}
    if platform:
        if set(platform) != {"platforms"} or set(platform["platforms"]) != {"kubernetes"}:
            yield "the platform document is ignored"
        executors = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    for label, executor in executors.items():
        if label not in spec["deploymentSpec"]["executors"]:
            yield f"{label} is in the platform document only"
        for key, value in executor.items():
            entries = value if isinstance(value, list) else [value]
            if any(set(entry) - _ON_KUBERNETES.get(key, set()) for entry in entries):
                yield f"{label}: {key} makes older servers ignore the platform document"


def _wrong_with_task(
    key: str, task: dict[str, Any], tasks: dict[str, Any], spec: dict[str, Any]
) -> Iterator[str]:
    component = spec["components"][task["componentRef"]["name"]]
    if unknown := set(task) - _TASK:
        yield f"{', '.join(unknown)} is ignored or fails"
    if task["taskInfo"]["name"] != key:
        yield "executions are looked up by another name"
    if lost := set(task.get("dependentTasks", ())) - set(tasks):
        yield f"depends on {', '.join(lost)}, which is no task"
    for name, parameter in task["inputs"].get("parameters", {}).items():
        if name not in component["inputDefinitions"]["parameters"]:
            yield f"parameter {name} is not declared"
        match parameter:
            case {"componentInputParameter": source}:
                if source not in spec["root"]["inputDefinitions"]["parameters"]:
                    yield f"parameter {name} comes from {source}, which is none"
            case {"runtimeValue": {"constant": str(text)}}:
                if text != "{{$.pipeline_job_uuid}}":
                    yield from (f"{name}: {w}" for w in _placeholders([text], set()))
            case {"runtimeValue": {"constant": int() | float()}}:
                pass
            case _:
                yield f"parameter {name} is dynamic: {parameter}"
    for name, artifact in task["inputs"].get("artifacts", {}).items():
        source = artifact.get("taskOutputArtifact", {})
        producer = source.get("producerTask")
        if producer not in task.get("dependentTasks", ()):
            yield f"artifact {name} comes from {producer}, which may run later"
            continue
        made = spec["components"][tasks[producer]["componentRef"]["name"]]["outputDefinitions"]
        if source["outputArtifactKey"] not in made["artifacts"]:
            yield f"artifact {name}: {producer} has no {source['outputArtifactKey']}"


def _placeholders(texts: list[str], allowed: set[str]) -> Iterator[str]:
    for text in texts:
        if text not in allowed and re.search(r"\{\{\$|\$\(|\$\$", text):
            yield f"{text[:80]!r} is replaced or taken literally"


def test_the_spec_holds_nothing_that_the_open_backend_refuses_or_ignores(
    compiled: Compiled,
) -> None:
    assert not list(refused(compiled.pipeline_spec, compiled.platform_spec))


def _set(path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(spec: dict[str, Any]) -> None:
        *parents, last = path.split("/")
        for key in parents:
            spec = spec[key]
        spec[last] = value

    return change


_TRAINER = "deploymentSpec/executors/Trainer_executor"
_PARAMETER = "root/dag/tasks/Trainer/inputs/parameters/params"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_set("schemaVersion", "2.0.0"), "schemaVersion"),
        (_set(_TRAINER, {"resolver": {}}), "no container"),
        (_set(_TRAINER, {"importer": {}}), "no container"),
        (_set(f"{_TRAINER}/container/lifecycle", {"preCacheCheck": {}}), "lifecycle is ignored"),
        (_set(f"{_TRAINER}/container/resources", {"resourceCpuLimit": "1"}), "resourceCpuLimit"),
        (_set(f"{_TRAINER}/container/nonsense", 1), "does not parse"),
        (
            _set(f"{_TRAINER}/container/args", ["{{$.inputs.artifacts['model'].value}}"]),
            "taken literally",
        ),
        (_set(f"{_TRAINER}/container/args", ["{{$.json_escape[1]}}"]), "taken literally"),
        (_set(f"{_TRAINER}/container/args", ["{{$.pipeline_root}}"]), "taken literally"),
        (_set(f"{_TRAINER}/container/args", ["$(HOSTNAME)"]), "taken literally"),
        (
            _set(
                _PARAMETER,
                {
                    "taskOutputParameter": {
                        "producerTask": "Tuner_task",
                        "outputParameterKey": "best",
                    }
                },
            ),
            "dynamic",
        ),
        (_set(_PARAMETER, {"runtimeValue": {"runtimeParameter": "span"}}), "dynamic"),
        (_set(_PARAMETER, {"componentInputParameter": "unknown"}), "which is none"),
        (_set("root/dag/tasks/Trainer/taskInfo/name", "trainer"), "another name"),
        (_set("root/dag/tasks/Trainer/dependentTasks", []), "may run later"),
        (_set("root/dag/tasks/Trainer/triggerPolicy", {"condition": "true"}), "triggerPolicy"),
    ],
)
def test_the_walk_finds_each_thing_that_the_open_backend_refuses_or_ignores(
    compiled: Compiled, change: Callable[[dict[str, Any]], None], said: str
) -> None:
    spec = copy.deepcopy(compiled.pipeline_spec)
    change(spec)
    found = list(refused(spec, compiled.platform_spec))
    assert any(said in line for line in found), found


def test_the_spec_loads_in_the_installed_kfp(compiled: Compiled, tmp_path: Path) -> None:
    loaded = components.load_component_from_text(compiled.text)
    assert loaded.name == "bank"
    assert set(loaded.component_spec.inputs) == {"data_path", "span", "serving_dir"}
    path = tmp_path / "new" / "pipeline.yaml"
    compiled.write(path)
    assert components.load_component_from_file(str(path)).name == "bank"
    documents = list(yaml.safe_load_all(path.read_text()))
    assert documents == [compiled.pipeline_spec, compiled.platform_spec]


def test_without_kfp_the_commands_say_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "kfp", None)
    for command in (["compile", str(DEMO), "-o", "x.yaml"], ["submit", str(DEMO)]):
        done = CliRunner().invoke(app, command)
        assert isinstance(done.exception, UserError)
        assert "pip install 'tfx-imbalance[kubeflow]'" in str(done.exception)


LOAD = """
import sys
from kfp import components
print(sorted(components.load_component_from_file(sys.argv[1]).component_spec.inputs))
"""


@pytest.mark.slow
@pytest.mark.parametrize("release", ["kfp==2.5.0", "kfp==2.10.1", "kfp"])
def test_the_committed_spec_loads_in_the_oldest_kfp_and_in_the_newest(
    release: str, tmp_path: Path
) -> None:
    uv, python = Path(sys.executable).with_name("uv"), str(tmp_path / "bin" / "python")
    # Resolved: it must not be a link into this checkout's own environment.
    own = str(Path(sys.executable).resolve())
    subprocess.run([uv, "--no-config", "--quiet", "venv", "--python", own, tmp_path], check=True)
    install = [uv, "--no-config", "--quiet", "pip", "install", "--python", python]
    done = subprocess.run([*install, release, "setuptools<81"], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"{release} cannot be installed here: {done.stderr[-300:]}")
    spec = ROOT / "kubeflow" / "pipeline.yaml"
    said = subprocess.check_output([python, "-W", "ignore", "-c", LOAD, spec], text=True)
    assert said.splitlines()[-1] == "['data_path', 'serving_dir', 'span']"


def test_the_committed_spec_of_the_demo_is_up_to_date(compiled: Compiled) -> None:
    """But for the fingerprints of the code, which every edit of a component changes."""

    def without_fingerprints(text: str) -> str:
        return re.sub(r"\b[0-9a-f]{64}\b", "of the code", text)

    committed = (ROOT / "kubeflow" / "pipeline.yaml").read_text(encoding="utf-8")
    assert without_fingerprints(committed) == without_fingerprints(compiled.text), (
        "run: tfx-imbalance compile configs/kubeflow/bank.yaml -o kubeflow/pipeline.yaml"
    )


def test_the_same_config_gives_the_same_text_and_names_no_folder_of_this_machine(
    compiled: Compiled, sample: str
) -> None:
    assert compile_config(load_config(DEMO), sample=sample).text == compiled.text
    assert str(ROOT) not in compiled.text
    assert sample not in compiled.text


def test_it_is_the_pipeline_that_runs_locally(compiled: Compiled) -> None:
    from tfx.orchestration.pipeline import Pipeline

    from tfx_imbalance.components.reporter.params import RunContext
    from tfx_imbalance.pipeline.pipeline import Facts, create_pipeline

    facts = Facts(columns=tuple(COLUMNS), context=RunContext(name="bank", run_id="1"))
    local: Pipeline = create_pipeline(
        load_config(DEMO), facts, pipeline_root="/nowhere", serving_dir="/nowhere/serving"
    )
    tasks = _tasks(compiled)
    assert set(tasks) == {node.id for node in local.components}
    for node in local.components:
        assert set(tasks[node.id]["inputs"].get("artifacts", {})) == set(node.inputs)
        assert set(tasks[node.id]["dependentTasks"] if node.upstream_nodes else ()) == {
            upstream.id for upstream in node.upstream_nodes
        }


def test_data_span_and_registry_are_parameters_with_the_configs_values(
    compiled: Compiled,
) -> None:
    parameters = compiled.pipeline_spec["root"]["inputDefinitions"]["parameters"]
    assert {name: p["defaultValue"] for name, p in parameters.items()} == {
        "data_path": "s3://bucket/bank/bank.csv.gz",
        "span": "",
        "serving_dir": "s3://bucket/bank/serving",
    }
    assert all(p["isOptional"] for p in parameters.values())
    assert compiled.pipeline_spec["defaultPipelineRoot"] == "s3://bucket/bank/root"
    tasks = _tasks(compiled)
    for node, name, parameter in (
        ("StratifiedExampleGen", "path", "data_path"),
        ("StratifiedExampleGen", "only_span", "span"),
        ("ChampionLoader", "registry_dir", "serving_dir"),
        ("Pusher", "serving_dir", "serving_dir"),
    ):
        given = tasks[node]["inputs"]["parameters"][name]
        assert given == {"componentInputParameter": parameter}


def test_the_newest_champion_is_looked_up_by_the_node(compiled: Compiled) -> None:
    assert "version" not in _tasks(compiled)["ChampionLoader"]["inputs"]["parameters"]


def test_limits_devices_and_retries_are_those_of_the_node(sample: str) -> None:
    resources = {
        "default": {"cpu": "500m", "memory": "4Gi", "cpu_request": 0.25},
        "nodes": {"Trainer": {"cpu": 4, "memory": "16G", **GPU}},
    }
    made = compile_config(
        _config(
            kubeflow={
                "image_gpu": "registry.example.com/gpu:1",
                "resources": resources,
                "retries": {"default": 1, "nodes": {"Pusher": 0, "Trainer": 5}},
            }
        ),
        sample=sample,
    )
    assert not list(refused(made.pipeline_spec, made.platform_spec))
    trainer, gate = _container(made, "Trainer"), _container(made, "Gate")
    assert trainer["resources"] == {
        "cpuLimit": 4.0,
        "cpuRequest": 0.25,
        "memoryLimit": 16.0,
        "accelerator": {"type": "nvidia.com/gpu", "count": "2"},
    }
    assert gate["resources"] == {
        "cpuLimit": 0.5,
        "cpuRequest": 0.25,
        "memoryLimit": 4.294967296,
    }
    assert trainer["image"] == "registry.example.com/gpu:1"
    assert gate["image"] == "registry.example.com/tfx-imbalance:0.1.0"
    tasks = _tasks(made)
    assert tasks["Trainer"]["retryPolicy"]["maxRetryCount"] == 5
    assert tasks["Gate"]["retryPolicy"]["maxRetryCount"] == 1
    assert "retryPolicy" not in tasks["Pusher"]


def test_trainer_and_tuner_of_the_gpu_variant_carry_their_devices(sample: str) -> None:
    config = _config(
        tune={"enabled": True},
        kubeflow={"resources": {"nodes": {"Trainer": GPU, "Tuner": GPU}}},
    )
    made = compile_config(config, sample=sample)
    assert not list(refused(made.pipeline_spec, made.platform_spec))
    for node in _tasks(made):
        has = "accelerator" in _container(made, node).get("resources", {})
        assert has == (node in ("Trainer", "Tuner")), node


def test_node_selectors_and_tolerations_stand_in_the_platform_document(sample: str) -> None:
    wanted = {
        "node_selector": {"pool": "gpu"},
        "tolerations": [
            {"key": "nvidia.com/gpu", "effect": "NoSchedule"},
            {"key": "team", "operator": "Equal", "value": "risk"},
        ],
    }
    config = _config(kubeflow={"secrets": [], "resources": {"nodes": {"Trainer": wanted}}})
    made = compile_config(config, sample=sample)
    assert _on_kubernetes(made, "Trainer") == {
        "nodeSelector": {"labels": {"pool": "gpu"}},
        "tolerations": [
            {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"},
            {"key": "team", "operator": "Equal", "value": "risk"},
        ],
    }
    assert _on_kubernetes(made, "Gate") == {}
    assert not list(refused(made.pipeline_spec, made.platform_spec))


def test_without_anything_for_kubernetes_there_is_one_document(sample: str) -> None:
    made = compile_config(_config(kubeflow={"secrets": []}), sample=sample)
    assert made.platform_spec == {}
    assert len(list(yaml.safe_load_all(made.text))) == 1
    assert components.load_component_from_text(made.text).name == "bank"


@pytest.mark.parametrize(
    "options",
    [
        ["--s3_secret_access_key=hunter2hunter2"],
        ["--azure_connection_string", "AccountKey=hunter2hunter2"],
        ["--flink_master=https://me:hunter2hunter2@host"],
    ],
)
@pytest.mark.parametrize("place", ["default", "nodes"])
def test_a_secret_option_is_refused_since_a_spec_can_be_read(
    sample: str, options: list[str], place: str
) -> None:
    config = _config(beam={place: options if place == "default" else {"Transform": options}})
    with pytest.raises(UserError, match=r"beam\..* holds a secret.* kubeflow\.secrets") as caught:
        compile_config(config, sample=sample)
    assert "hunter2" not in str(caught.value)


def test_every_container_gets_the_secrets_by_name_and_no_value(
    compiled: Compiled, monkeypatch: pytest.MonkeyPatch, sample: str
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2hunter2")
    monkeypatch.setenv("KFP_TOKEN", "hunter3hunter3")
    text = compile_config(load_config(DEMO), sample=sample).text
    assert "hunter" not in text
    for node in _tasks(compiled):
        assert _on_kubernetes(compiled, node)["secretAsEnv"] == [
            {
                "secretName": "object-store",
                "keyToEnv": [
                    {"envVar": "AWS_ACCESS_KEY_ID", "secretKey": "access_key"},
                    {"envVar": "AWS_SECRET_ACCESS_KEY", "secretKey": "secret_key"},
                ],
            }
        ]
        assert "env" not in _container(compiled, node)


def test_every_container_gets_the_plain_variables(sample: str) -> None:
    endpoint = {"AWS_ENDPOINT_URL": "http://minio:9000"}
    made = compile_config(_config(kubeflow={"env": endpoint}), sample=sample)
    for node in _tasks(made):
        given = _container(made, node)["env"]
        assert given == [{"name": "AWS_ENDPOINT_URL", "value": "http://minio:9000"}]
    assert not list(refused(made.pipeline_spec, made.platform_spec))


def test_nodes_that_read_from_outside_are_never_cached(compiled: Compiled, sample: str) -> None:
    cached = {n for n, t in _tasks(compiled).items() if t["cachingOptions"].get("enableCache")}
    assert set(_tasks(compiled)) - cached == {"StratifiedExampleGen", "ChampionLoader"}
    config = _config(data={"schema_file": "s3://bucket/schema.pbtxt"}, kubeflow={"cache": True})
    imported = _tasks(compile_config(config, sample=sample))
    assert imported["ImportSchemaGen"]["cachingOptions"] == {}
    off = compile_config(_config(kubeflow={"cache": False}), sample=sample)
    assert all(task["cachingOptions"] == {} for task in _tasks(off).values())


def test_beam_options_are_those_of_the_node(sample: str) -> None:
    beam = {
        "default": ["--runner=FlinkRunner", "--parallelism=2"],
        "nodes": {"Rebalancer": ["--parallelism=8"]},
    }
    made = compile_config(_config(beam=beam), sample=sample)
    options = {
        node: [a for a in _container(made, node)["args"] if re.match(r"--(runner|parallelism)", a)]
        for node in _tasks(made)
    }
    assert options["Rebalancer"] == [*beam["default"], "--parallelism=8"]
    assert options["StratifiedExampleGen"] == options["Evaluator"] == beam["default"]
    assert options["Gate"] == options["Trainer"] == []


def test_a_schema_of_this_machine_is_replaced_by_the_containers(
    sample: str, tmp_path: Path
) -> None:
    curated = tmp_path / "schema.pbtxt"
    curated.write_text('feature { name: "age" }')
    config = _config(
        data={"schema_file": str(curated)}, kubeflow={"schema_file": "s3://bucket/schema.pbtxt"}
    )
    made = compile_config(config, sample=sample)
    given = _tasks(made)["ImportSchemaGen"]["inputs"]["parameters"]["schema_file"]
    assert given == {"runtimeValue": {"constant": "s3://bucket/schema.pbtxt"}}
    assert str(tmp_path) not in made.text


def test_columns_come_from_a_curated_schema_where_the_data_are_out_of_reach(
    tmp_path: Path,
) -> None:
    curated = tmp_path / "schema.pbtxt"
    curated.write_text("".join(f'feature {{ name: "{c}" type: INT }}\n' for c in COLUMNS))
    config = _config(
        data={"path": "hdfs://nowhere/bank.csv", "schema_file": str(curated)},
        kubeflow={"data_path": None, "schema_file": "hdfs://nowhere/schema.pbtxt"},
    )
    made = compile_config(config)
    options = _tasks(made)["StatisticsGen"]["inputs"]["parameters"]["stats_options_json"]
    allowed = json.loads(options["runtimeValue"]["constant"])["_feature_allowlist"]
    assert allowed == [column for column in COLUMNS if column != "duration"]
    parameters = made.pipeline_spec["root"]["inputDefinitions"]["parameters"]
    assert parameters["data_path"]["defaultValue"] == "hdfs://nowhere/bank.csv"


def test_data_out_of_reach_and_no_schema_are_told_with_what_to_give(sample: str) -> None:
    config = _config(data={"path": "hdfs://nowhere/bank.csv"}, kubeflow={"data_path": None})
    with pytest.raises(UserError, match=r"data\.path: hdfs.*--sample FILE.*data\.schema_file"):
        compile_config(config)
    assert compile_config(config, sample=sample).pipeline_spec
    with pytest.raises(UserError, match=r"--sample: no file .*other\.csv"):
        compile_config(config, sample=str(Path(sample).with_name("other.csv")))


def test_a_name_with_underscores_becomes_one_that_kubeflow_allows(sample: str) -> None:
    config = _config(name="my_bank_")
    assert pipeline_name(config) == "my-bank"
    made = compile_config(config, sample=sample)
    assert made.pipeline_spec["pipelineInfo"] == {"name": "my-bank"}


def test_the_root_may_lie_in_any_store_that_kubeflow_knows(sample: str) -> None:
    for root in ("minio://mlpipeline/v2/artifacts", "gs://bucket/root"):
        made = compile_config(_config(kubeflow={"pipeline_root": root}), sample=sample)
        assert made.pipeline_spec["defaultPipelineRoot"] == root
        assert not list(refused(made.pipeline_spec, made.platform_spec))


def test_the_command_writes_the_file_and_tells_a_mistake(sample: str, tmp_path: Path) -> None:
    file = tmp_path / "pipeline.yaml"
    done = CliRunner().invoke(app, ["compile", str(DEMO), "-o", str(file), "--sample", sample])
    assert done.exit_code == 0, done.output
    assert done.output.startswith(f"wrote {file}")
    assert components.load_component_from_file(str(file)).name == "bank"
    bank = str(DEMO.parents[1] / "bank.yaml")
    wrong = CliRunner().invoke(app, ["compile", bank, "-o", str(file), "--sample", sample])
    assert isinstance(wrong.exception, UserError)
    assert str(wrong.exception).startswith(f"{bank}: kubeflow: missing")


@pytest.mark.parametrize(
    ("sections", "said"),
    [
        ({"kubeflow": None}, [r"kubeflow: missing; compile needs at least kubeflow\.image"]),
        (
            {"kubeflow": {"data_path": None, "serving_dir": None}},
            [r"kubeflow\.data_path: missing; data\.path is '/", r"kubeflow\.serving_dir: missing"],
        ),
        (
            {"kubeflow": {"serving_dir": None}, "output": {"serving_dir": "serving"}},
            [r"kubeflow\.serving_dir: missing; output\.serving_dir is 'serving' on this machine"],
        ),
        (
            {"data": {"schema_file": "/a/schema.pbtxt"}},
            [r"kubeflow\.schema_file: missing; data\.schema_file is '/a/schema\.pbtxt'"],
        ),
        (
            {"kubeflow": {"data_path": "minio://b/a.csv", "serving_dir": "serving"}},
            [
                r"kubeflow\.data_path: found 'minio://b/a\.csv'; containers open .* s3://, hdfs://",
                r"kubeflow\.serving_dir: found 'serving'; expected an absolute path",
            ],
        ),
        (
            {"data": {"exclude": ["cost $(x)"]}},
            [r"data\.exclude\.0: found 'cost \$\(x\)'; Kubernetes .* replace '\$\('"],
        ),
    ],
)
def test_what_no_container_could_use_is_told_by_its_key(
    sections: dict[str, Any], said: list[str], sample: str
) -> None:
    with pytest.raises(UserError) as caught:
        compile_config(_config(**sections), config_path=Path("c.yaml"), sample=sample)
    for pattern in said:
        assert re.search(f"^c.yaml: {pattern}", str(caught.value), re.MULTILINE), caught.value


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({"image": None}, ["kubeflow.image: found None"]),
        ({"pipeline_root": "/root"}, ["kubeflow.pipeline_root: found '/root'", "gs|s3|minio"]),
        ({"pipeline_root": "oci://host/root"}, ["kubeflow.pipeline_root: found 'oci://host/root'"]),
        ({"piplines": 1}, ["kubeflow.piplines: unknown key"]),
        ({"resources": {"nodes": {"Trainr": {}}}}, ["kubeflow.resources.nodes.Trainr", "Trainer"]),
        (
            {"resources": {"default": {"memory": "4 GB"}}},
            ["resources.default.memory: found '4 GB'"],
        ),
        ({"resources": {"default": {"cpu": "many"}}}, ["resources.default.cpu: found 'many'"]),
        (
            {"resources": {"default": {"memory": "4Gi", "memory_request": "5G"}}},
            ["resources.default.memory_request: found '5G', above memory: '4Gi'"],
        ),
        (
            {"resources": {"nodes": {"Trainer": {"accelerator_count": 1}}}},
            ["kubeflow.resources: nodes.Trainer.accelerator_count: given without an accelerator"],
        ),
        (
            {"resources": {"nodes": {"Trainer": {"accelerator": "gpu"}}}},
            ["Trainer.accelerator: found 'gpu'"],
        ),
        ({"resources": {"nodes": {"Trainer": {**GPU, "accelerator_count": 0}}}}, ["found 0"]),
        (
            {"resources": {"default": {"tolerations": [{"operator": "Equal", "key": "a"}]}}},
            ["'Equal' needs key and value"],
        ),
        ({"secrets": [{"name": "A b", "env": {"X": "k"}}]}, ["kubeflow.secrets.0.name"]),
        ({"secrets": [{"name": "a", "env": {"1X": "k"}}]}, ["kubeflow.secrets.0.env"]),
        ({"secrets": [{"name": "a", "env": {}}]}, ["kubeflow.secrets.0.env"]),
        (
            {"secrets": [{"name": n, "env": {"X": "k"}} for n in ("a", "b")]},
            ["kubeflow.secrets: X is set by 'a' and by 'b'"],
        ),
        ({"env": {"AWS_SECRET_ACCESS_KEY": "x"}}, ["kubeflow.env: AWS_SECRET_ACCESS_KEY looks"]),
        (
            {"env": {"X": "1"}, "secrets": [{"name": "a", "env": {"X": "k"}}]},
            ["kubeflow.secrets: X is set by 'env' and by 'a'"],
        ),
        ({"retries": {"default": 11}}, ["kubeflow.retries.default: found 11"]),
        ({"retries": {"nodes": {"Trainer": -1}}}, ["kubeflow.retries.nodes.Trainer: found -1"]),
        ({"service_account": "My Account"}, ["kubeflow.service_account: found 'My Account'"]),
    ],
)
def test_mistakes_in_the_section_are_told_by_name(section: dict[str, Any], said: list[str]) -> None:
    with pytest.raises(UserError) as caught:
        _config(kubeflow=section)
    for text in said:
        assert text in str(caught.value), caught.value


def test_a_file_that_cannot_be_written_is_told_and_the_old_one_stays(
    compiled: Compiled, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("old")
    with pytest.raises(UserError, match=r"file/pipeline\.yaml: cannot be written"):
        compiled.write(tmp_path / "file" / "pipeline.yaml")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_text() == "old"

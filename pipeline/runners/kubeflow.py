"""Compiles a pipeline to what Kubeflow Pipelines runs: a pipeline spec and a platform spec.

TFX compiles the very DAG that the local runner runs; what it writes is then fitted to the open
backend, which ignores or refuses some of it, and to the config's section `kubeflow`.
"""

import contextlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from ...components.compat import IN_PROCESS_BEAM
from ...components.errors import UserError
from ...components.masking import mask_data, secrets_in
from ...components.reporter.params import RunContext
from ..config import Config, texts
from ..kubeflow_params import KubeflowSection, Resources, quantity

if TYPE_CHECKING:
    from tfx.v1.dsl import Pipeline

ENTRYPOINT = ("python", "-m", "tfx_imbalance.pipeline.runners.kubeflow_entrypoint")
RUN_ID = "{{$.pipeline_job_uuid}}"
"""The driver puts the run's id where a task's input is exactly this text."""
READ_FROM_OUTSIDE = ("StratifiedExampleGen", "ImportSchemaGen", "ChampionLoader")
"""Nodes whose address may hold something else by the next run, which the cache's key cannot see."""

_OPENED = ("gs", "s3", "hdfs")
_GIGA = 1e9  # memory limits are in GB
_FIRST_WAIT = "60s"
_LONGEST_WAIT = "3600s"


@dataclass(frozen=True)
class Compiled:
    """A compiled pipeline.

    Attributes:
      pipeline_spec: a PipelineSpec of schema 2.1.0, as plain data.
      platform_spec: a PlatformSpec: what only Kubernetes knows; {} where there is none of it.
      text: both as YAML documents of one text; the same config gives the same text.
    """

    pipeline_spec: dict[str, Any]
    platform_spec: dict[str, Any]
    text: str

    def write(self, path: Path) -> None:
        """Writes `text`, the whole of it or nothing.

        Raises:
          UserError: the file cannot be written.
        """
        partial = path.with_name(f".{path.name}-{os.getpid()}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            partial.write_text(self.text, encoding="utf-8")
            partial.replace(path)
        except OSError as error:
            with contextlib.suppress(OSError):
                partial.unlink()
            raise UserError(
                f"{path}: cannot be written: {error.strerror}; choose another --output"
            ) from None


def compile_config(
    config: Config, *, config_path: Path | None = None, sample: str | None = None
) -> Compiled:
    """Compiles the pipeline of `config`.

    The parameters of the compiled pipeline are text with the config's values as defaults:
    `data_path`; `span`, the newest when empty; `serving_dir`. The pipeline root is Kubeflow's own.

    Args:
      config: the checked config, with a section `kubeflow`.
      config_path: where it came from, for messages.
      sample: file with the same columns as the data, to look at instead of `data.path`.

    Raises:
      UserError: the section is missing or incomplete, or the columns cannot be told.
    """
    require_kfp()
    where = f"{config_path}: " if config_path else ""
    if config.kubeflow is None:
        raise UserError(
            f"{where}kubeflow: missing; compile needs at least kubeflow.image, "
            "kubeflow.pipeline_root and, for local files, kubeflow.data_path and "
            "kubeflow.serving_dir"
        )
    targets = _targets(config, config.kubeflow, where)
    _check_expansion(config, where)
    _check_secrets(config, where)
    columns = _columns(config, sample, where)
    config.check_outside()
    config.check_dataflow(config.kubeflow.pipeline_root, targets.data_path)
    job = _compiled_by_tfx(config, config.kubeflow, columns, targets)
    return _fitted(job["pipelineSpec"], config.kubeflow, targets)


def require_kfp() -> None:
    """Checks that the package kfp is there.

    Raises:
      UserError: it comes with an extra that was left out.
    """
    if find_spec("kfp") is None:
        raise UserError("this needs the package kfp: pip install 'tfx-imbalance[kubeflow]'")


def pipeline_name(config: Config) -> str:
    """The config's name as Kubeflow allows it, without underscores."""
    return config.name.replace("_", "-").rstrip("-")


@dataclass(frozen=True)
class _Targets:
    """What the containers read and write outside of the pipeline."""

    data_path: str
    schema_file: str | None
    serving_dir: str


def _targets(config: Config, section: KubeflowSection, where: str) -> _Targets:
    """The addresses that are good for a container.

    Raises:
      UserError: every one that is a path on this machine.
    """
    wrong: list[str] = []
    found: dict[str, str | None] = {}
    for key, path, local in (
        ("data_path", "data.path", config.data.path),
        ("schema_file", "data.schema_file", config.data.schema_file),
        ("serving_dir", "output.serving_dir", config.output.serving_dir),
    ):
        given: str | None = getattr(section, key)
        if given is None and local is not None and "://" not in local:
            wrong.append(
                f"{where}kubeflow.{key}: missing; {path} is {local!r} on this machine, which no "
                "container sees: give the address there, such as s3://bucket/path"
            )
            continue
        found[key] = local if given is None else given
        named = path if given is None else f"kubeflow.{key}"
        wrong += [f"{where}{named}: {w}" for w in _wrong_with_address(found[key])]
    if section.serving_dir is None and config.output.serving_dir is None:
        wrong.append(
            f"{where}kubeflow.serving_dir: missing; it is where models are pushed, such as "
            "s3://bucket/serving"
        )
    if wrong:
        raise UserError(*wrong)
    return _Targets(**found)  # type: ignore[arg-type]


def _wrong_with_address(address: str | None) -> Iterator[str]:
    """Why containers cannot open it, if they cannot."""
    if address is None or address.startswith("/"):
        return
    scheme, is_uri, _ = address.partition("://")
    if not is_uri:
        yield f"found {address!r}; expected an absolute path in the container, or a URI"
    elif scheme not in _OPENED:
        known = ", ".join(f"{name}://" for name in _OPENED)
        yield (
            f"found {address!r}; containers open absolute paths, {known}; a MinIO is s3:// with "
            "AWS_ENDPOINT_URL in kubeflow.env"
        )


def _check_expansion(config: Config, where: str) -> None:
    """Checks that nothing in the config would be taken for a placeholder.

    Raises:
      UserError: Kubernetes or Kubeflow would put something else there.
    """
    wrong = [
        f"{where}{path}: found {text!r}; Kubernetes and Kubeflow replace {found!r} in a "
        "container's arguments: write it without"
        for path, text in texts(config.model_dump(mode="json"), "")
        for found in ("$(", "$$", "{{$")
        if found in text
    ]
    if wrong:
        raise UserError(*wrong)


def _check_secrets(config: Config, where: str) -> None:
    """Checks that the compiled pipeline, which is a text to be read, would hold no secret.

    Raises:
      UserError: every option of Beam that does.
    """
    options = {"beam.default": config.beam.default}
    options |= {f"beam.nodes.{node}": chosen for node, chosen in config.beam.nodes.items()}
    wrong = [
        f"{where}{path}: {' '.join(mask_data(chosen))!r} holds a secret, which the compiled "
        "pipeline would show; leave it out and have the containers read it from the environment, "
        "by kubeflow.secrets"
        for path, chosen in options.items()
        if any(secrets_in(chosen))
    ]
    if wrong:
        raise UserError(*wrong)


def _columns(config: Config, sample: str | None, where: str) -> tuple[str, ...]:
    """The data's columns: of the sample, of the data, or of the curated schema.

    Raises:
      UserError: none of them can be read here.
    """
    from ...components.example_gen.preflight import inspect

    path = sample or config.data.path
    try:
        columns = tuple(inspect(path, config.ingest).columns)
    except Exception as error:
        if sample:
            raise UserError(f"--sample: {str(error).removeprefix('data.path: ')}") from None
        if "://" not in path:
            raise
        columns = _columns_of_schema(config)
        if not columns:
            raise UserError(
                f"{where}data.path: {path} cannot be read here ({_first_line(error)}), so its "
                "columns are not known; give --sample FILE, a local file with the same columns, "
                "or data.schema_file"
            ) from None
    config.check_columns(columns)
    return columns


def _columns_of_schema(config: Config) -> tuple[str, ...]:
    """The features of the curated schema, if it can be read here."""
    if not config.data.schema_file:
        return ()
    import tensorflow_data_validation as tfdv

    try:
        schema = tfdv.load_schema_text(config.data.schema_file)
    except Exception:
        return ()
    return tuple(f.name for f in schema.feature if f.name not in config.data.exclude)


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


def _compiled_by_tfx(
    config: Config, section: KubeflowSection, columns: tuple[str, ...], targets: _Targets
) -> dict[str, Any]:
    """A PipelineJob as plain data."""
    from tfx.orchestration.data_types import RuntimeParameter
    from tfx.orchestration.kubeflow.v2 import kubeflow_v2_dag_runner

    from ..pipeline import Facts, create_pipeline

    def parameter(name: str, default: str) -> Any:
        return RuntimeParameter(name, ptype=str, default=default)

    said = _portable(config, targets)
    data = config.data.model_copy(update={"schema_file": targets.schema_file})
    config = config.model_copy(update={"data": data, "name": pipeline_name(config)})
    pipeline: Pipeline = create_pipeline(
        config,
        Facts(
            columns=columns,
            champion_version=None,
            context=RunContext(
                name=config.name,
                run_id=config.name,
                seed=config.seed,
                weight=config.data.weight,
                config=said,
            ),
            run_id=RUN_ID,
        ),
        pipeline_root=section.pipeline_root,
        serving_dir=parameter("serving_dir", targets.serving_dir),
        data_path=parameter("data_path", targets.data_path),
        span=parameter("span", ""),
        beam_args=IN_PROCESS_BEAM,
    )
    runner = kubeflow_v2_dag_runner.KubeflowV2DagRunner(
        kubeflow_v2_dag_runner.KubeflowV2DagRunnerConfig(
            default_image=section.image,
            default_commands=list(ENTRYPOINT),
            use_pipeline_spec_2_1=True,
        )
    )
    job: dict[str, Any] = runner.run(pipeline, write_out=False)
    return job


def _portable(config: Config, targets: _Targets) -> str:
    """The config for the report: with the containers' addresses, not those of this machine."""
    said = config.model_dump(mode="json", exclude={"kubeflow", "output", "metadata"})
    said["data"] |= {"path": targets.data_path, "schema_file": targets.schema_file}
    return yaml.safe_dump(mask_data(said), sort_keys=False)


def _fitted(spec: dict[str, Any], section: KubeflowSection, targets: _Targets) -> Compiled:
    from tfx_imbalance import __version__

    spec["sdkVersion"] = f"tfx-imbalance-{__version__}"  # TFX's own differs between the stacks
    spec["defaultPipelineRoot"] = section.pipeline_root
    defaults = {"data_path": targets.data_path, "span": "", "serving_dir": targets.serving_dir}
    for name, parameter in spec["root"]["inputDefinitions"]["parameters"].items():
        parameter |= {"defaultValue": defaults[name], "isOptional": True}
    on_kubernetes = {}
    for node, task in spec["root"]["dag"]["tasks"].items():
        label = spec["components"][task["componentRef"]["name"]]["executorLabel"]
        container = spec["deploymentSpec"]["executors"][label]["container"]
        resources = section.resources.of(node)
        container["image"] = section.image_of(node)
        if section.env:
            container["env"] = [{"name": n, "value": v} for n, v in section.env.items()]
        container.pop("lifecycle", None)  # the open backend runs no driver before the node
        container["args"] = [_compact(argument) for argument in container["args"]]
        for parameter in task["inputs"]["parameters"].values():
            value = parameter.get("runtimeValue", {})
            if isinstance(constant := value.get("constant"), str):
                value["constant"] = _compact(constant)
        if limits := _limits(resources):
            container["resources"] = limits
        if times := section.retries_of(node):
            task["retryPolicy"] = {
                "maxRetryCount": times,
                "backoffDuration": _FIRST_WAIT,
                "backoffFactor": 2.0,
                "backoffMaxDuration": _LONGEST_WAIT,
            }
        is_cached = section.cache and node not in READ_FROM_OUTSIDE
        task["cachingOptions"] = {"enableCache": True} if is_cached else {}
        if executor := dict(_kubernetes(resources, section)):
            on_kubernetes[label] = executor
    platform = (
        {"platforms": {"kubernetes": {"deploymentSpec": {"executors": on_kubernetes}}}}
        if on_kubernetes
        else {}
    )
    documents = [spec, platform] if platform else [spec]
    return Compiled(
        spec, platform, yaml.dump_all(documents, Dumper=_Dumper, sort_keys=True, width=100)
    )


class _Dumper(yaml.SafeDumper):
    """Writes text of several lines as such, and no anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def represent_str(self, data: str) -> yaml.ScalarNode:
        style = "|" if data.count("\n") > 1 else None
        return self.represent_scalar("tag:yaml.org,2002:str", data, style=style)


_Dumper.add_representer(str, _Dumper.represent_str)


def _compact(text: str) -> str:
    """JSON in one line with sorted keys: protobuf's releases do not agree on how to write it."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    if isinstance(value, dict) and value.get("TYPE_NAME") == "StatsOptions":
        # TFDV 1.16 fails without this attribute, which 1.21 neither writes nor minds.
        value.setdefault("_slice_sqls", None)
    is_json = isinstance(value, dict | list)
    return json.dumps(value, sort_keys=True, separators=(",", ":")) if is_json else text


def _limits(resources: Resources) -> dict[str, Any]:
    """ResourceSpec in numbers of cores and GB, which every release of the backend reads."""
    limits: dict[str, Any] = {}
    for key, text, unit in (
        ("cpuLimit", resources.cpu, 1),
        ("cpuRequest", resources.cpu_request, 1),
        ("memoryLimit", resources.memory, _GIGA),
        ("memoryRequest", resources.memory_request, _GIGA),
    ):
        if text is not None:
            limits[key] = quantity(text) / unit
    if resources.accelerator is not None:
        limits["accelerator"] = {
            "type": resources.accelerator,
            "count": str(resources.accelerator_count or 1),
        }
    return limits


def _kubernetes(resources: Resources, section: KubeflowSection) -> Iterator[tuple[str, Any]]:
    """KubernetesExecutorConfig of one node, as the package kfp-kubernetes writes it."""
    if resources.node_selector:
        yield "nodeSelector", {"labels": dict(resources.node_selector)}
    if resources.tolerations:
        yield "tolerations", [t.model_dump(exclude_none=True) for t in resources.tolerations]
    if section.secrets:
        yield (
            "secretAsEnv",
            [
                {
                    "secretName": secret.name,
                    "keyToEnv": [
                        {"envVar": variable, "secretKey": key}
                        for variable, key in secret.env.items()
                    ],
                }
                for secret in section.secrets
            ],
        )

"""Runs a pipeline in this process, node after node, with lineage in ML Metadata.

TFX's LocalDagRunner does the same in silence and offers no hook between nodes, so its loop over
`Launcher` stands here; everything that a node does is TFX's.
"""

import json
import os
import shutil
import time
import traceback
import warnings
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import filelock
import yaml

from ...components.compat import IN_PROCESS_BEAM, versions
from ...components.errors import DataCheckError, UserError, recognise
from ...components.reporter.params import RunContext
from ...components.reporter.summary import NodeRun
from ..config import Config
from ..console import QUIET_ENVIRONMENT, Terminal, terminal
from ..paths import RunFolder, Workspace, is_uri

if TYPE_CHECKING:
    from tfx.proto.orchestration.pipeline_pb2 import Pipeline

    from ...components.reporter.report import Outcome, Summary

EXIT_CODES = {
    "pushed": 0,
    "unchanged": 0,
    "failed": 1,
    "user error": UserError.exit_code,
    "not blessed": 3,
    "data check failed": DataCheckError.exit_code,
}

Outputs = dict[str, list[Any]]
"""Output key -> artifacts of one node."""


class NodeFailed(Exception):
    """A node raised; `__cause__` is what it raised."""


def run(config: Config, *, verbose: bool = False) -> int:
    """Runs the pipeline of `config` and leaves report.html and summary.json in its run folder.

    Returns:
      The exit code, see EXIT_CODES.

    Raises:
      UserError: for what can be seen before the run has a folder of its own.
    """
    workspace = Workspace.of(config)
    _require_writable(workspace.root)
    if not is_uri(workspace.serving):
        _require_writable(Path(workspace.serving))
    try:
        with filelock.FileLock(workspace.lock, timeout=0):
            folder = _new_run_folder(workspace)
            if not verbose:
                os.environ.update({**QUIET_ENVIRONMENT, **os.environ})
                warnings.simplefilter("ignore")
            with terminal(folder.log, verbose) as out:
                return _run(config, workspace, folder, out)
    except filelock.Timeout:
        raise UserError(
            f"{workspace.root}: another run of {config.name!r} is at work; wait for it to end"
        ) from None


def _run(config: Config, workspace: Workspace, folder: RunFolder, out: Terminal) -> int:
    started = time.monotonic()
    timings: list[NodeRun] = []
    outputs: dict[str, Outputs] = {}
    context = RunContext(
        name=config.name,
        run_id=folder.path.name,
        seed=config.seed,
        weight=config.data.weight,
        versions=versions(),
        config=yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False),
        timings_path=str(folder.timings),
    )
    try:
        from .describe import remarks

        ir = _compile(config, workspace, context, out)
        for node, outputs[node.node] in _launch_nodes(ir, context.run_id, out):
            timings.append(node)
            _save_timings(folder, timings)
            took = "cached" if node.cached else f"{node.seconds:.1f} s"
            out.line(f"  {node.node:<22}{took:>8}   {node.made}")
            for remark in remarks(node.node, outputs[node.node]):
                out.line(f"  warning: {remark}", style="yellow")
        summary = _take_report(outputs["Reporter"], folder)
    except Exception as error:
        summary = _report_failure(error, context, outputs, timings, folder, out)
    _point_latest_to(workspace, folder)
    _say_result(summary, workspace, folder, time.monotonic() - started, out)
    return EXIT_CODES[summary.outcome]


def _compile(
    config: Config, workspace: Workspace, context: RunContext, out: Terminal
) -> "Pipeline":
    from ...components.example_gen.preflight import inspect

    _prepare_stores(config, workspace, out)
    data = inspect(config.data.path, config.ingest)
    config.check_columns(data.columns)
    config.check_outside()
    config.check_dataflow(str(workspace.artifacts), config.data.path)

    with out.working("loading TensorFlow and TFX"):
        from tfx.dsl.compiler import compiler

        from ...components.champion.registry import latest_version
        from ..pipeline import Facts, create_pipeline
        from .metadata import connection_config

    stack = ", ".join(f"{name} {version}" for name, version in context.versions.items())
    out.line(f"{context.name}, run {context.run_id}: {stack}")
    return compiler.Compiler().compile(
        create_pipeline(
            config,
            Facts(
                columns=tuple(data.columns),
                champion_version=latest_version(workspace.serving) or "",
                context=context,
            ),
            pipeline_root=str(workspace.artifacts),
            serving_dir=workspace.serving,
            metadata=connection_config(config.metadata, workspace),
            beam_args=IN_PROCESS_BEAM,
        )
    )


def _prepare_stores(config: Config, workspace: Workspace, out: Terminal) -> None:
    """Checks data and registry where they lie in object stores; artifacts lie in `runs_dir`."""
    named = (config.data.path, config.data.schema_file, workspace.serving)
    uris = [path for path in named if path and is_uri(path)]
    if not uris:
        return
    with out.working("loading TensorFlow and TFX"):
        from ...components import storage

    storage.prepare(*uris)
    if is_uri(workspace.serving):
        storage.check_writable(workspace.serving)


def _launch_nodes(ir: "Pipeline", run_id: str, out: Terminal) -> Iterator[tuple[NodeRun, Outputs]]:
    from tfx.dsl.compiler import constants
    from tfx.orchestration import metadata
    from tfx.orchestration.local import runner_utils
    from tfx.orchestration.portable import launcher, runtime_parameter_utils

    from .describe import describe
    from .metadata import published

    runtime_parameter_utils.substitute_runtime_parameter(
        ir, {constants.PIPELINE_RUN_ID_PARAMETER_NAME: run_id}
    )
    deployment = runner_utils.extract_local_deployment_config(ir)
    any_connection = deployment.metadata_connection_config
    connection = getattr(any_connection, any_connection.WhichOneof("connection_config"))
    for node in ir.nodes:
        node_id = node.pipeline_node.node_info.id
        started = time.monotonic()
        try:
            with out.working(node_id):
                execution = launcher.Launcher(
                    pipeline_node=node.pipeline_node,
                    mlmd_connection=metadata.Metadata(connection),
                    pipeline_info=ir.pipeline_info,
                    pipeline_runtime_spec=ir.runtime_spec,
                    executor_spec=runner_utils.extract_executor_spec(deployment, node_id),
                    custom_driver_spec=runner_utils.extract_custom_driver_spec(deployment, node_id),
                ).launch()
                outputs, cached = published(connection, execution)
        except Exception as error:
            raise NodeFailed(node_id) from error
        seconds = round(time.monotonic() - started, 3)
        yield NodeRun(node_id, seconds, cached, describe(node_id, outputs)), outputs


def _take_report(outputs: Outputs, folder: RunFolder) -> "Summary":
    """Copies Reporter's page and summary out of the artifact store."""
    from ...components.reporter.report import Summary

    [artifact] = outputs["report"]
    for target in (folder.page, folder.summary):
        partial = target.with_suffix(".partial")
        shutil.copyfile(Path(artifact.uri) / target.name, partial)
        partial.replace(target)
    return Summary.model_validate_json(folder.summary.read_text(encoding="utf-8"))


def _report_failure(
    error: Exception,
    context: RunContext,
    outputs: dict[str, Outputs],
    timings: list[NodeRun],
    folder: RunFolder,
    out: Terminal,
) -> "Summary":
    """Writes page and summary from what the nodes before the failure have left."""
    from ...components.reporter.summary import summarize
    from ...components.reporter.write import write_run_report
    from .left_behind import run_inputs

    node = str(error) if isinstance(error, NodeFailed) else "config and data"
    cause = error.__cause__ or error if isinstance(error, NodeFailed) else error
    known = recognise(cause)
    if known is None:
        with folder.log.open("a", encoding="utf-8") as log:
            traceback.print_exception(type(cause), cause, cause.__traceback__, file=log)
        message = f"{type(cause).__name__}: {cause}".splitlines()[0]
        out.line(f"error: {node}: {message}; the traceback is in {folder.log}", style="red")
    else:
        message = str(known)
        for line in message.splitlines():
            out.line(f"error: {line}", style="red")
    outcome: Outcome = (
        "failed"
        if known is None
        else "data check failed"
        if isinstance(known, DataCheckError)
        else "user error"
    )
    inputs = run_inputs(context, outcome, (node, message), cause, outputs, timings)
    try:
        return write_run_report(inputs, str(folder.path))
    except OSError as unwritable:
        out.line(f"no report: {folder.path} cannot be written: {unwritable.strerror}")
        return summarize(inputs)


def _save_timings(folder: RunFolder, timings: list[NodeRun]) -> None:
    partial = folder.timings.with_suffix(".partial")
    partial.write_text(json.dumps([node._asdict() for node in timings]), encoding="utf-8")
    partial.replace(folder.timings)


def _require_writable(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".writable-{os.getpid()}"
        probe.write_bytes(b"x")
        probe.unlink()
    except OSError as error:
        raise UserError(
            f"{folder}: cannot be written: {error.strerror}; choose another output.runs_dir"
        ) from None


def _new_run_folder(workspace: Workspace) -> RunFolder:
    stamp = datetime.now(timezone.utc).strftime("%Y%m%d-%H%M%S")
    for suffix in ("", *(f"-{i}" for i in range(2, 100))):
        folder = workspace.run(stamp + suffix)
        try:
            folder.path.mkdir()
        except FileExistsError:
            continue
        return folder
    raise UserError(f"{workspace.root}: too many runs started in one second")


def _point_latest_to(workspace: Workspace, folder: RunFolder) -> None:
    partial = workspace.root / f".latest-{os.getpid()}"
    partial.unlink(missing_ok=True)
    partial.symlink_to(folder.path.name)
    partial.replace(workspace.latest)


def _say_result(
    summary: "Summary", workspace: Workspace, folder: RunFolder, seconds: float, out: Terminal
) -> None:
    test = summary.metrics.get("test")
    if test:
        figures = ", ".join(
            f"{label} {value:.3f}"
            for key, label in {
                "auc_pr": "AUC-PR",
                "auc": "AUC",
                "recall": "recall",
                "precision": "precision",
                "brier": "Brier",
                "ece": "ECE",
            }.items()
            if (value := getattr(test, key)) is not None
        )
        out.line(f"on test: {figures}")
    if summary.error is None:  # else it was said when it happened
        good = EXIT_CODES[summary.outcome] == 0
        out.line(f"{summary.outcome}: {summary.message}", style="green" if good else "red")
    if summary.pushed_path:
        out.line(f"model:  {_near(summary.pushed_path)}")
    elif summary.outcome == "unchanged":
        champion = os.path.join(workspace.serving, summary.champion or "")
        out.line(f"model:  {_near(champion)}, pushed before")
    if folder.page.exists():
        out.line(f"report: {_near(str(folder.page))}")
    out.line(f"took {seconds:.0f} s")


def _near(path: str) -> str:
    """Relative to the working directory where it lies below it."""
    try:
        return path if is_uri(path) else str(Path(path).absolute().relative_to(Path.cwd()))
    except ValueError:
        return path

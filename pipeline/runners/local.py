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
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import filelock
import yaml

from ...components.errors import DataCheckError, ImbalanceError, UserError, find_in_text
from ..config import Config
from ..console import QUIET_ENVIRONMENT, Terminal, terminal
from ..paths import RunFolder, Workspace

if TYPE_CHECKING:
    from tfx.proto.orchestration.pipeline_pb2 import Pipeline

    from ...components.reporter.report import Summary

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


@dataclass(frozen=True)
class NodeRun:
    """One node that has ended.

    Attributes:
      node: its id.
      seconds: wall time.
      cached: whether an earlier execution's outputs were taken.
      made: what it made, in words.
      outputs: its artifacts.
    """

    node: str
    seconds: float
    cached: bool
    made: str
    outputs: Outputs


class NodeFailed(Exception):
    """A node raised; `__cause__` is what it raised."""

    def __init__(self, node: str) -> None:
        super().__init__(node)
        self.node = node


def run(config: Config, *, verbose: bool = False) -> int:
    """Runs the pipeline of `config` and leaves report.html and summary.json in its run folder.

    Returns:
      The exit code, see EXIT_CODES.

    Raises:
      UserError: for what can be seen before the run has a folder of its own.
    """
    workspace = Workspace.of(config)
    _require_writable(workspace.root)
    _require_writable(workspace.serving)
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
    done: list[NodeRun] = []
    context: dict[str, Any] = {
        "name": config.name,
        "run_id": folder.path.name,
        "seed": config.seed,
        "versions": {},
        "config": yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False),
    }
    try:
        ir = _compile(config, workspace, folder, context, out)
        for node in _launch_nodes(ir, folder.path.name, out):
            done.append(node)
            _save_timings(folder, done)
            took = "cached" if node.cached else f"{node.seconds:.1f} s"
            out.line(f"  {node.node:<22}{took:>8}   {node.made}")
        summary = _take_report(done[-1], folder)
    except Exception as error:
        summary = _report_failure(error, done, context, folder, out)
    _point_latest_to(workspace, folder)
    _say_result(summary, workspace, folder, time.monotonic() - started, out)
    return EXIT_CODES[summary.outcome]


def _compile(
    config: Config, workspace: Workspace, folder: RunFolder, context: dict[str, Any], out: Terminal
) -> "Pipeline":
    from ...components.example_gen.preflight import inspect

    data = inspect(config.data.path, config.ingest)
    config.check_columns(data.columns)
    config.check_code()

    with out.working("loading TensorFlow and TFX"):
        from tfx.dsl.compiler import compiler

        from ...components.champion.registry import latest_version
        from ...components.compat import IN_PROCESS_BEAM, versions
        from ..pipeline import Facts, create_pipeline
        from .metadata import connection_config

    context["versions"] = versions()
    stack = ", ".join(f"{name} {version}" for name, version in versions().items())
    out.line(f"{config.name}, run {folder.path.name}: {stack}")
    return compiler.Compiler().compile(
        create_pipeline(
            config,
            Facts(
                columns=tuple(data.columns),
                n_classes=data.n_classes,
                champion_version=latest_version(str(workspace.serving)) or "",
                context=context,
                timings_path=str(folder.timings),
            ),
            pipeline_root=str(workspace.artifacts),
            serving_dir=str(workspace.serving),
            metadata=connection_config(config.metadata, workspace),
            beam_args=IN_PROCESS_BEAM,
        )
    )


def _launch_nodes(ir: "Pipeline", run_id: str, out: Terminal) -> Iterator[NodeRun]:
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
        made = describe(node_id, outputs)
        yield NodeRun(node_id, time.monotonic() - started, cached, made, outputs)


def _take_report(reporter: NodeRun, folder: RunFolder) -> "Summary":
    """Copies Reporter's page and summary out of the artifact store."""
    from ...components.reporter.report import Summary

    [artifact] = reporter.outputs["report"]
    for target in (folder.page, folder.summary):
        partial = target.with_suffix(".partial")
        shutil.copyfile(Path(artifact.uri) / target.name, partial)
        partial.replace(target)
    return Summary.model_validate_json(folder.summary.read_text(encoding="utf-8"))


def _report_failure(
    error: Exception, done: list[NodeRun], context: dict[str, Any], folder: RunFolder, out: Terminal
) -> "Summary":
    """Writes page and summary from what the nodes before the failure have left."""
    from ...components.reporter.failure import write_failure_report

    node = error.node if isinstance(error, NodeFailed) else "before the first node"
    cause = error.__cause__ if isinstance(error, NodeFailed) else error
    assert cause is not None
    in_words = _in_words(cause)
    if in_words is None:
        with folder.log.open("a", encoding="utf-8") as log:
            traceback.print_exception(type(cause), cause, cause.__traceback__, file=log)
        outcome, message = "failed", f"{type(cause).__name__}: {cause}".splitlines()[0]
        out.line(f"error in {node}: {message}; the traceback is in {folder.log}", style="red")
    else:
        outcome = "data check failed" if isinstance(in_words, DataCheckError) else "user error"
        message = str(in_words)
        for line in message.splitlines():
            out.line(f"error: {line}", style="red")
    return write_failure_report(
        directory=str(folder.path),
        context=context,
        outcome=outcome,
        node=node,
        message=message,
        error=in_words or cause,
        outputs={n.node: n.outputs for n in done},
        timings=_timings(done),
    )


def _in_words(error: BaseException) -> ImbalanceError | None:
    """The user's or the data's mistake behind an exception; None where the fault is ours."""
    if isinstance(error, ImbalanceError):
        return error
    if isinstance(error, OSError) and error.strerror:
        return UserError(f"{error.filename or 'output'}: {error.strerror}")
    return find_in_text(str(error))


def _timings(done: list[NodeRun]) -> list[dict[str, Any]]:
    return [
        {"node": n.node, "seconds": round(n.seconds, 3), "cached": n.cached, "made": n.made}
        for n in done
    ]


def _save_timings(folder: RunFolder, done: list[NodeRun]) -> None:
    partial = folder.timings.with_suffix(".partial")
    partial.write_text(json.dumps(_timings(done), indent=1), encoding="utf-8")
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
    good = EXIT_CODES[summary.outcome] == 0
    out.line(f"{summary.outcome}: {summary.message}", style="green" if good else "red")
    if summary.pushed_path:
        out.line(f"model:  {_near(Path(summary.pushed_path))}")
    elif summary.outcome == "unchanged":
        out.line(f"model:  {_near(workspace.serving)} holds it already")
    if folder.page.exists():
        out.line(f"report: {_near(folder.page)}")
    out.line(f"took {seconds:.0f} s")


def _near(path: Path) -> str:
    """Relative to the working directory where it lies below it."""
    try:
        return str(path.absolute().relative_to(Path.cwd()))
    except ValueError:
        return str(path)

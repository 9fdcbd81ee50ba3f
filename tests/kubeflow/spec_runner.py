"""Runs a compiled pipeline on this machine as open-source Kubeflow would: a process a container.

`backend` decides what each container is told. A process gets an environment of its own, an empty
working folder, and the programs of one image (see `image`). With an object store (a folder that
stands in for one) it has a root file system of its own, too, to which the launcher's copies of
artifacts are put; else artifacts are where the URI, a path, says, and the container's /tmp is a
folder of its own (where its output file is, it is told anyway).
"""

import json
import os
import subprocess
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.kubeflow import backend, sandbox
from tests.kubeflow.object_store import ObjectStore

Json = dict[str, Any]

IMAGE_HOME = "/opt/tfx-imbalance"
"""Where a container with a root of its own finds the image, as kubeflow/Dockerfile has it."""


@dataclass(frozen=True)
class Image:
    """What a container finds: programs. No file of the checkout is among them.

    Attributes:
      bin: folder with `python` and the console scripts.
      env: the image's own variables.
    """

    bin: Path
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class TaskRun:
    """How a task ran.

    Attributes:
      command: the container's command line, placeholders replaced; empty for an importer.
      environ: all variables that the process got.
      folder: of the last attempt: `workdir` (cwd), `home`, `tmp`, `s3`, `log.txt`.
      attempts: 1, and one more for each retry.
      seconds: wall time of all attempts.
      executor_input: what `{{$}}` stood for.
      outputs: what it published.
    """

    command: list[str]
    environ: dict[str, str]
    folder: Path
    attempts: int
    seconds: float
    executor_input: Json
    outputs: backend.Outputs


@dataclass(frozen=True)
class Pods:
    """What the containers of all tasks have in common.

    Attributes:
      image: what every container finds, whatever image the spec names.
      folder: for what is each container's own.
      store: None for artifacts at paths of this machine.
      mounts: with a store: path in every container -> folder here.
      secrets: secret -> key -> value, as in the cluster.
    """

    image: Image
    folder: Path
    store: ObjectStore | None = None
    mounts: Mapping[str, Path] = field(default_factory=dict)
    secrets: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def path(self, artifact: Json) -> Path:
        """Where an artifact lies here."""
        return self.store.path(artifact["uri"]) if self.store else Path(artifact["uri"])


class TaskFailed(Exception):
    """A container ended with another status than 0, as often as its retries allow."""


def execute(
    spec: backend.Spec,
    pods: Pods,
    *,
    pipeline_root: str,
    parameters: Mapping[str, Any] | None = None,
    generation: backend.Generation = "mlmd",
    run_id: str | None = None,
    report: Callable[[str, TaskRun], None] = lambda key, run: None,
) -> dict[str, TaskRun]:
    """Runs all tasks, one by one; caching is off, as with the backend's CACHEDISABLED.

    Args:
      spec: the compiled pipeline.
      pods: what the containers are made of.
      pipeline_root: where artifacts go: s3://... with a store, else a path.
      parameters: the run's; defaults for those left out.
      generation: which backend.
      run_id: a new one when not given.
      report: told of each task that is done.

    Returns:
      Task key -> how it ran, in the order of running.

    Raises:
      Refused: the backend would not run this.
      TaskFailed: a container failed; with the end of what it said.
    """
    run = backend.Run(
        spec=spec,
        run_id=run_id or str(uuid.uuid4()),
        pipeline_root=pipeline_root,
        parameters=backend.root_parameters(spec, parameters or {}),
        generation=generation,
    )
    done: dict[str, TaskRun] = {}
    for number, key in enumerate(backend.order(spec)):
        first_id = 1 + 100 * number
        folder = pods.folder / run.run_id / f"{number:02d}-{key}"
        if "importer" in spec.executor(key):
            outputs = backend.import_artifact(run, key, first_id)
            done[key] = TaskRun([], {}, folder, 1, 0.0, {}, outputs)
        else:
            done[key] = _run_container(run, key, pods, folder, first_id)
        run.finished[key] = done[key].outputs
        report(key, done[key])
    return done


def _run_container(run: backend.Run, key: str, pods: Pods, folder: Path, first_id: int) -> TaskRun:
    container, component = run.spec.executor(key)["container"], run.spec.component(key)
    executor_input = {
        "inputs": backend.resolve_inputs(run, key),
        "outputs": backend.provision_outputs(run, key, str(uuid.uuid4())),
    }
    # Drawn once: a retry gets the same output URIs, with what the attempt before left there
    # (compiler/argocompiler/container.go: the launcher's template is retried, not the driver's).
    retries = int(run.spec.tasks[key].get("retryPolicy", {}).get("maxRetryCount", 0))
    started = time.monotonic()
    for attempt in range(1, retries + 2):
        own = folder / f"attempt-{attempt}"
        for name in ("home", "s3", "tmp", "workdir"):
            (own / name).mkdir(parents=True)
        told = executor_input if pods.store else _moved_outputs(executor_input, own)
        if pods.store:
            pods.store.download(told, own)
        _prepare_output_folders(told, own if pods.store else Path("/"))
        line = backend.command(container, backend.with_defaults(told, component))
        environ = _environ(pods, own, container, run.spec.kubernetes_config(key))
        status = _run_process(line, environ, own, pods)
        if status == 0:
            break
    else:
        raise TaskFailed(f"{key}: exit status {status}\n{_tail(own / 'log.txt')}")
    written = backend.read_executor_output(_text(own, backend.OUTPUT_METADATA))
    files = {
        name: text
        for name in executor_input["outputs"]["parameters"]
        if (text := _text(own, f"{backend.OUTPUT_PARAMETERS}/{name}")) is not None
    }
    if pods.store:
        pods.store.upload(told, own, run.generation)
    outputs = backend.Outputs(
        backend.output_artifacts(told, written, first_id, run.generation),
        backend.output_parameters(component, written, files),
    )
    return TaskRun(line, environ, own, attempt, time.monotonic() - started, told, outputs)


def _moved_outputs(executor_input: Json, own: Path) -> Json:
    """The executor input with files in /tmp moved to the container's own."""
    told = json.loads(json.dumps(executor_input))
    outputs = told["outputs"]
    for holder in (outputs, *outputs["parameters"].values()):
        holder["outputFile"] = str(own / holder["outputFile"].removeprefix("/"))
    return told


def _text(own: Path, path: str) -> str | None:
    """What a file in the container says; None for no file."""
    file = own / path.removeprefix("/")
    return file.read_text(encoding="utf-8") if file.exists() else None


def _prepare_output_folders(told: Json, root: Path) -> None:
    """component/launcher_v2.go prepareOutputFolders: parents only, and not the metadata file's."""
    artifacts = [a for listed in told["outputs"]["artifacts"].values() for a in listed["artifacts"]]
    paths = [
        *(backend.local_path(artifact["uri"]) for artifact in artifacts),
        *(parameter["outputFile"] for parameter in told["outputs"]["parameters"].values()),
    ]
    for path in paths:
        (root / path.removeprefix("/")).parent.mkdir(parents=True, exist_ok=True)


def _environ(pods: Pods, own: Path, container: Json, kubernetes: Json) -> dict[str, str]:
    """Nothing of this process's environment; later entries win, as in a pod."""
    root, programs = ("", f"{IMAGE_HOME}/bin") if pods.store else (str(own), pods.image.bin)
    return {
        "PATH": f"{programs}{os.pathsep}/usr/bin{os.pathsep}/bin",
        "HOME": f"{root}/home",
        "TMPDIR": f"{root}/tmp",
        **pods.image.env,
        **{pair["name"]: pair["value"] for pair in container.get("env", ())},
        **backend.secret_environment(kubernetes, pods.secrets),
    }


def _run_process(line: list[str], environ: dict[str, str], own: Path, pods: Pods) -> int:
    if pods.store:
        line = sandbox.wrapped(line, own, {IMAGE_HOME: pods.image.bin.parent, **pods.mounts})
    with (own / "log.txt").open("wb") as log:
        return subprocess.run(
            line,  # found in the PATH of `environ`, as the launcher finds it in the container's
            cwd=own / "workdir",
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            check=False,
        ).returncode


def _tail(log: Path) -> str:
    return log.read_text(encoding="utf-8", errors="replace")[-6000:]

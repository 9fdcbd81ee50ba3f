"""Puts a compiled pipeline on a Kubeflow Pipelines server, once or by the clock.

Everything is asked first and then done step by step, so a dry run shows the very steps. What is
there already is used again: a version is named after its spec's digest, a schedule bears the
digest of its settings. Kubeflow cannot change a schedule; a changed one takes the old one's place.
"""

import difflib
import hashlib
import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...components.errors import UserError
from .cron import Cron
from .kubeflow_client import Connection, Schedule, Server, ServerError

if TYPE_CHECKING:
    from ..config import Config
    from .kubeflow import Compiled

Say = Callable[[str], None]

PIPELINE_ROOT = "pipeline_root"
"""Given like a parameter, though Kubeflow keeps it apart from them."""

_OURS = "Made by tfx-imbalance schedule; settings "
_DESCRIPTION = "Made by tfx-imbalance submit"


@dataclass(frozen=True)
class Job:
    """A compiled pipeline and how it is to run.

    Attributes:
      name: of the pipeline and of its schedule.
      version: name of the pipeline's version, made of the spec's digest.
      spec: the pipeline spec, as plain data.
      text: what is uploaded: all documents of the compiled pipeline.
      parameters: name -> value, those that differ from the spec's defaults.
      pipeline_root: instead of the spec's own.
    """

    name: str
    version: str
    spec: dict[str, Any]
    text: str
    parameters: dict[str, str]
    pipeline_root: str | None
    experiment: str
    service_account: str | None


def make_job(config: "Config", compiled: "Compiled", given: Sequence[str] = ()) -> Job:
    """The job of a compiled config; `given` are parameters as `name=value`.

    Raises:
      UserError: a parameter that the pipeline does not have, or has no value for.
    """
    from .kubeflow import pipeline_name

    assert config.kubeflow is not None  # else it would not have been compiled
    name = pipeline_name(config)
    parameters = read_parameters(given, compiled.pipeline_spec)
    return Job(
        name=name,
        version=version_name(name, compiled.pipeline_spec, compiled.platform_spec),
        spec=compiled.pipeline_spec,
        text=compiled.text,
        pipeline_root=parameters.pop(PIPELINE_ROOT, None),
        parameters=parameters,
        experiment=config.kubeflow.experiment or name,
        service_account=config.kubeflow.service_account,
    )


def connect(config: "Config") -> Server:
    """The config's server, which has answered.

    Raises:
      UserError: the config does not say where it is, or it cannot be reached.
    """
    from .kubeflow import require_kfp

    require_kfp()
    section = config.kubeflow
    host = section.host if section else None
    if section is None or not host:
        raise UserError(
            "kubeflow.host: missing; it is the address of Kubeflow Pipelines, such as "
            "https://kubeflow.example.org/pipeline"
        )
    if not host.startswith(("http://", "https://")):
        raise UserError(f"kubeflow.host: found {host!r}; expected http://... or https://...")
    server = Server(
        Connection(host.rstrip("/"), section.token_env, section.ca_env, section.namespace)
    )
    server.check()
    return server


def version_name(name: str, pipeline_spec: dict[str, Any], platform_spec: dict[str, Any]) -> str:
    """`<name>-<12 digits of the SHA-256 of both specs>`, whatever the form of their text."""
    canonical = json.dumps([pipeline_spec, platform_spec], sort_keys=True, separators=(",", ":"))
    return f"{name}-{hashlib.sha256(canonical.encode()).hexdigest()[:12]}"


def read_parameters(given: Sequence[str], spec: dict[str, Any]) -> dict[str, str]:
    """Reads `name=value` against the parameters of a pipeline spec; the last of a name holds.

    Raises:
      UserError: a name that is not one of them, or one without default that is not given.
    """
    known = spec.get("root", {}).get("inputDefinitions", {}).get("parameters", {})
    allowed = [*known, PIPELINE_ROOT]
    found: dict[str, str] = {}
    for item in given:
        name, equals, value = item.partition("=")
        if not equals:
            raise UserError(f"--param: found {item!r}; expected name=value")
        if name not in allowed:
            near = difflib.get_close_matches(name, allowed, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(allowed)}"
            raise UserError(f"--param: the pipeline has no parameter {name!r}; {hint}")
        found[name] = value
    lacking = [
        name
        for name, parameter in known.items()
        if name not in found and "defaultValue" not in parameter and not parameter.get("isOptional")
    ]
    if lacking:
        raise UserError(f"--param: no value for {', '.join(lacking)}; give --param NAME=VALUE")
    return found


def submit(job: Job, server: Server, *, dry_run: bool, say: Say) -> None:
    """Starts a run of `job`; pipeline, version and experiment are made where they are missing.

    Raises:
      UserError: the server cannot be reached or refuses; the message says what was done.
    """
    ids = _Ids()
    run = f"{job.name} {datetime.now(timezone.utc):%Y-%m-%d %H:%M:%S}"

    def start() -> str:
        made = server.start_run(
            run,
            ids.experiment,
            (ids.pipeline, ids.version),
            job.parameters,
            job.pipeline_root,
            job.service_account,
        )
        return f"started, {server.link('runs', made)}"

    steps = [
        *_preparation(server, job, ids),
        _Step(
            f"run {run}{_settings(job)}",
            "started",
            start,
            if_unsure="it may have been started all the same: look at the experiment's runs first",
        ),
    ]
    _carry_out(steps, dry_run, say)


def schedule(job: Job, cron: Cron, server: Server, *, dry_run: bool, say: Say) -> None:
    """Has the server run `job` by the clock: one schedule a pipeline, however often it is called.

    The schedule does not catch up on missed times, and a run waits for the one before it. A
    schedule whose settings differ is replaced: the new one is made, the old one stopped, the new
    one started, the old one deleted, unless a run of it is at work, which its deletion would end:
    then it stays, disabled, until the next call.

    Raises:
      UserError: the server cannot be reached or refuses; the message says what was done, and the
        old schedule is in force again.
    """
    if len(cron.given.split()) == 5:
        say(f"cron: {cron.given!r} is read as {cron.text!r}: Kubeflow's has seconds first")
    times = ", ".join(f"{t:%a %Y-%m-%d %H:%M:%S}" for t in cron.next_times(_now(), 3))
    say(f"cron: next {times}, if the scheduler's time zone is UTC")
    ids = _Ids()
    steps = _preparation(server, job, ids)
    found = _our_schedules(server, job.name, say)
    steps += _scheduling(server, job, cron, ids, found)
    _carry_out(steps, dry_run, say)


def unschedule(name: str, server: Server, *, dry_run: bool, say: Say) -> None:
    """Stops and deletes the schedule of the pipeline `name`.

    Raises:
      UserError: the server cannot be reached or refuses; the message says what was done.
    """
    found = _our_schedules(server, name, say)
    if not found:
        say(f"schedule {name}: there is none")
    stops = [_stop(server, old, undo=False) for old in found if old.enabled]
    _carry_out([*stops, *(_removal(server, old) for old in found)], dry_run, say)


@dataclass
class _Ids:
    """What the server calls the parts; '' until they are there."""

    pipeline: str = ""
    version: str = ""
    experiment: str = ""
    schedule: str = ""


@dataclass(frozen=True)
class _Step:
    """One change on the server.

    Attributes:
      what: the thing that changes.
      did: what has become of it.
      act: makes the change; may return what has become of it instead. None: nothing to do.
      undo: takes it back where a later step fails.
      undo_unsure: take it back, too, where it may have been made though no answer came.
      settles: after it the steps before are no longer taken back.
      if_unsure: said where the server may have made the change though no answer came.
    """

    what: str
    did: str
    act: Callable[[], str | None] | None
    undo: Callable[[], None] | None = None
    undo_unsure: bool = False
    settles: bool = False
    if_unsure: str = "the same command will find out whether it was done all the same"


def _preparation(server: Server, job: Job, ids: _Ids) -> list[_Step]:
    """Looks for pipeline, version and experiment; the steps that make those that are missing."""
    ids.pipeline = server.find_pipeline(job.name) or ""
    ids.version = (ids.pipeline and server.find_version(ids.pipeline, job.version)) or ""
    ids.experiment = server.find_experiment(job.experiment) or ""

    def create_pipeline() -> None:
        ids.pipeline = server.create_pipeline(job.name, _DESCRIPTION)

    def upload_version() -> None:
        with _as_file(job.text) as path:
            ids.version = server.upload_version(ids.pipeline, job.version, path, _DESCRIPTION)

    def create_experiment() -> None:
        ids.experiment = server.create_experiment(job.experiment)

    return [
        _Step(f"pipeline {job.name}", "created", None if ids.pipeline else create_pipeline),
        _Step(f"version {job.version}", "uploaded", None if ids.version else upload_version),
        _Step(
            f"experiment {job.experiment}", "created", None if ids.experiment else create_experiment
        ),
    ]


def _scheduling(
    server: Server, job: Job, cron: Cron, ids: _Ids, found: list[Schedule]
) -> list[_Step]:
    """The steps from the schedules that are there to the one that is wanted."""
    wanted = _settings_digest(job, cron, ids)
    same = [old for old in found if old.description == _OURS + wanted]
    keep = next((old for old in same if old.enabled), same[0] if same else None)
    others = [old for old in found if old is not keep]
    rivals = [old for old in others if old.enabled]
    ids.schedule = keep.id if keep else ""

    def create() -> None:
        ids.schedule = server.create_schedule(
            job.name,
            _OURS + _settings_digest(job, cron, ids),
            cron.text,
            ids.experiment,
            (ids.pipeline, ids.version),
            job.parameters,
            job.pipeline_root,
            job.service_account,
            enabled=not rivals,
        )

    def delete_made() -> None:
        server.delete_schedule(ids.schedule)

    def enable() -> str:
        server.enable_schedule(ids.schedule)
        return f"enabled, {server.link('recurringrun', ids.schedule)}"

    steps = []
    thing = f"schedule {job.name}"
    if keep is None:
        changes = _changes(others[0], job, cron, ids) if others else ""
        detail = f" ({changes})" if changes else f" (cron {cron.text!r}{_settings(job, ', ')})"
        how = "created, not yet enabled" if rivals else "created"
        steps.append(_Step(thing + detail, how, create, delete_made, settles=not rivals))
    steps += [_stop(server, old, undo=True) for old in rivals]
    if (keep is None and rivals) or (keep is not None and not keep.enabled):
        steps.append(_Step(thing, "enabled", enable, settles=True))
    elif keep is not None:
        steps.append(_Step(thing, "", None))
    steps += [_removal(server, old) for old in others]
    return steps


def _our_schedules(server: Server, name: str, say: Say) -> list[Schedule]:
    """Those that were made here; of others by the name it is said that they stay."""
    found = server.schedules(name)
    for other in found:
        if not other.description.startswith(_OURS):
            say(f"schedule {name} ({other.id}): not made by this command, left as it is")
    return [old for old in found if old.description.startswith(_OURS)]


def _stop(server: Server, old: Schedule, undo: bool) -> _Step:
    return _Step(
        f"old schedule {old.id}",
        "disabled",
        lambda: server.disable_schedule(old.id),
        (lambda: server.enable_schedule(old.id)) if undo else None,
        undo_unsure=undo,
    )


def _removal(server: Server, old: Schedule) -> _Step:
    stays = "kept, disabled, since a run of it is at work; the next call deletes it"

    def delete() -> str | None:
        if server.at_work(old):
            return stays
        server.delete_schedule(old.id)
        return None

    would = stays if server.at_work(old) else "deleted"
    return _Step(f"old schedule {old.id}", would, lambda: delete() or "deleted", settles=True)


def _settings_digest(job: Job, cron: Cron, ids: _Ids) -> str:
    """Of all that makes a schedule what it is; new ids where a part is still to be made."""
    settings = [
        ids.pipeline,
        ids.version,
        ids.experiment,
        cron.text,
        sorted(job.parameters.items()),
        job.pipeline_root,
        job.service_account,
    ]
    return hashlib.sha256(json.dumps(settings).encode()).hexdigest()[:16]


def _changes(old: Schedule, job: Job, cron: Cron, ids: _Ids) -> str:
    """Which settings of a schedule the new one has otherwise."""
    pairs = {
        "cron": (old.cron, cron.text),
        "parameters": (old.parameters, job.parameters),
        "pipeline root": (old.pipeline_root, job.pipeline_root),
        "service account": (old.service_account or job.service_account, job.service_account),
    }
    changed = [f"{what} {a!r} -> {b!r}" for what, (a, b) in pairs.items() if a != b]
    if old.version_id != ids.version:
        changed.append(f"version -> {job.version}")
    if old.experiment_id != ids.experiment:
        changed.append(f"experiment -> {job.experiment}")
    return "; ".join(changed)


def _settings(job: Job, before: str = " with ") -> str:
    given = dict(job.parameters)
    if job.pipeline_root:
        given[PIPELINE_ROOT] = job.pipeline_root
    return before + ", ".join(f"{k}={v!r}" for k, v in given.items()) if given else ""


def _carry_out(steps: list[_Step], dry_run: bool, say: Say) -> None:
    """Says or takes the steps.

    Raises:
      UserError: one of them failed; the others before it were taken back or are named.
    """
    done: list[str] = []
    taken: list[_Step] = []
    for step in steps:
        if step.act is None:
            say(f"{step.what}: unchanged")
            continue
        if dry_run:
            say(f"{step.what}: would be {step.did}")
            continue
        try:
            outcome = step.act() or step.did
        except (UserError, KeyboardInterrupt) as error:
            raise UserError(_failure(error, step, done, taken)) from None
        say(f"{step.what}: {outcome}")
        done.append(f"{step.what} {outcome}")
        if step.undo:
            taken.append(step)
        if step.settles:
            taken.clear()
    if dry_run:
        say("dry run: nothing was changed")


def _failure(error: BaseException, step: _Step, done: list[str], taken: list[_Step]) -> str:
    said = [str(error) if isinstance(error, UserError) else f"interrupted at {step.what}"]
    if not isinstance(error, ServerError) or error.unsure:
        said.append(step.if_unsure)
        if step.undo_unsure:
            taken = [*taken, step]
    for earlier in reversed(taken):
        assert earlier.undo is not None
        try:
            earlier.undo()
            said.append(f"taken back: {earlier.what} {earlier.did}")
        except UserError as again:
            said.append(f"could not be taken back: {earlier.what} {earlier.did} ({again})")
    if done:
        said.append(f"done before: {', '.join(done)}; the same command goes on from there")
    else:
        said.append("nothing was changed before")
    return "; ".join(said)


@contextmanager
def _as_file(text: str) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pipeline.yaml"
        path.write_text(text, encoding="utf-8")
        yield path


def _now() -> datetime:
    return datetime.now(timezone.utc)

"""`submit` and `schedule` against a Kubeflow Pipelines server on the loopback."""

import copy
import logging
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.pipeline.kfp_server import KfpServer, serving
from tfx_imbalance.components.errors import UserError
from tfx_imbalance.pipeline.runners import submit as submitting
from tfx_imbalance.pipeline.runners.cron import parse_cron
from tfx_imbalance.pipeline.runners.kubeflow_client import Connection, Server
from tfx_imbalance.pipeline.runners.submit import Job, read_parameters, version_name

TOKEN = "eyJ.secret-token.x"
SPEC: dict[str, Any] = {
    "schemaVersion": "2.1.0",
    "sdkVersion": "tfx-imbalance",
    "pipelineInfo": {"name": "bank"},
    "defaultPipelineRoot": "s3://bucket/root",
    "deploymentSpec": {
        "executors": {"a_executor": {"container": {"image": "image:1", "command": ["true"]}}}
    },
    "components": {"a": {"executorLabel": "a_executor"}},
    "root": {
        "inputDefinitions": {
            "parameters": {
                "data_path": {"parameterType": "STRING", "defaultValue": "s3://bucket/data"},
                "span": {"parameterType": "STRING", "defaultValue": "", "isOptional": True},
            }
        },
        "dag": {"tasks": {"a": {"taskInfo": {"name": "a"}, "componentRef": {"name": "a"}}}},
    },
}
PLATFORM: dict[str, Any] = {
    "platforms": {
        "kubernetes": {
            "deploymentSpec": {
                "executors": {"a_executor": {"nodeSelector": {"labels": {"pool": "gpu"}}}}
            }
        }
    }
}


def make_job(image: str = "image:1", **changes: Any) -> Job:
    spec = copy.deepcopy(SPEC)
    spec["deploymentSpec"]["executors"]["a_executor"]["container"]["image"] = image
    job = Job(
        name="bank",
        version=version_name("bank", spec, PLATFORM),
        spec=spec,
        text=yaml.safe_dump_all([spec, PLATFORM]),
        parameters={},
        pipeline_root=None,
        experiment="nightly",
        service_account="runner",
    )
    return replace(job, **changes)


class User:
    """One who calls the commands and reads what they say."""

    def __init__(self, server: KfpServer, **connection: Any) -> None:
        self.server = server
        self.connection = Connection(server.host, **{"read_seconds": 5.0, **connection})
        self.said: list[str] = []

    def submit(self, job: Job, dry_run: bool = False) -> list[str]:
        return self._do(lambda s, say: submitting.submit(job, s, dry_run=dry_run, say=say))

    def schedule(self, job: Job, cron: str = "0 3 * * *", dry_run: bool = False) -> list[str]:
        when = parse_cron(cron)
        return self._do(lambda s, say: submitting.schedule(job, when, s, dry_run=dry_run, say=say))

    def unschedule(self, dry_run: bool = False) -> list[str]:
        return self._do(lambda s, say: submitting.unschedule("bank", s, dry_run=dry_run, say=say))

    def _do(self, act: Callable[[Server, Callable[[str], None]], None]) -> list[str]:
        self.said = []
        server = Server(self.connection)
        server.check()
        act(server, self.said.append)
        return self.said


@pytest.fixture
def server() -> Iterator[KfpServer]:
    with serving(KfpServer()) as running:
        yield running


@pytest.fixture(autouse=True)
def _no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("KFP_TOKEN", "KFP_CA_FILE", "KF_PIPELINES_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def user(server: KfpServer) -> User:
    return User(server)


@contextmanager
def one_line_error(*words: str) -> Iterator[None]:
    with pytest.raises(UserError) as error:
        yield
    said = str(error.value)
    assert "\n" not in said
    assert TOKEN not in said
    for word in words:
        assert word in said


def enabled(server: KfpServer) -> list[dict[str, Any]]:
    return [s for s in server.all("recurringruns") if s["mode"] == "ENABLE"]


# Submitting


def test_first_submit_makes_what_is_missing_and_starts_a_run(user: User, server: KfpServer) -> None:
    job = make_job(parameters={"span": "7"}, pipeline_root="s3://other/root")
    user.submit(job)
    [pipeline], [version], [experiment], [run] = (
        server.all(k) for k in ("pipelines", "versions", "experiments", "runs")
    )
    assert pipeline["display_name"] == "bank"
    assert version["display_name"] == job.version
    assert version["pipeline_spec"] == {"pipeline_spec": job.spec, "platform_spec": PLATFORM}
    assert experiment["display_name"] == "nightly"
    assert run["experiment_id"] == experiment["experiment_id"]
    assert run["pipeline_version_reference"] == {
        "pipeline_id": pipeline["pipeline_id"],
        "pipeline_version_id": version["pipeline_version_id"],
    }
    assert run["runtime_config"] == {
        "parameters": {"span": "7"},
        "pipeline_root": "s3://other/root",
    }
    assert run["service_account"] == "runner"
    assert f"{server.host}/#/runs/details/{run['run_id']}" in user.said[-1]


def test_second_submit_starts_another_run_of_the_same_version(
    user: User, server: KfpServer
) -> None:
    user.submit(make_job())
    said = user.submit(make_job())
    assert [len(server.all(k)) for k in ("pipelines", "versions", "experiments")] == [1, 1, 1]
    assert len(server.all("runs")) == 2
    assert [line.endswith(": unchanged") for line in said] == [True, True, True, False]


def test_changed_spec_becomes_a_new_version_of_the_pipeline(user: User, server: KfpServer) -> None:
    for image in ("image:1", "image:2", "image:3", "image:1"):  # more than one page of versions
        user.submit(make_job(image))
    assert len(server.all("pipelines")) == 1
    assert len(server.all("versions")) == 3
    used = [r["pipeline_version_reference"]["pipeline_version_id"] for r in server.all("runs")]
    assert used[3] == used[0] != used[2]


def test_version_name_depends_on_the_specs_content_only() -> None:
    shuffled = dict(reversed(list(SPEC.items())))
    assert version_name("bank", shuffled, PLATFORM) == version_name("bank", SPEC, PLATFORM)
    assert version_name("bank", SPEC, {}) != version_name("bank", SPEC, PLATFORM)
    assert version_name("bank", {**SPEC, "sdkVersion": "x"}, {}) != version_name("bank", SPEC, {})


def test_dry_run_says_what_would_change_and_changes_nothing(user: User, server: KfpServer) -> None:
    would = user.submit(make_job(), dry_run=True)
    assert server.changes() == []
    assert would[0] == "pipeline bank: would be created"
    done = user.submit(make_job())
    assert [w.partition(":")[0] for w in would[:3]] == [d.partition(":")[0] for d in done[:3]]
    server.requests.clear()
    user.submit(make_job(), dry_run=True)
    user.schedule(make_job(), dry_run=True)
    assert server.changes() == []
    user.schedule(make_job())
    server.requests.clear()
    would = user.schedule(make_job(), "0 4 * * *", dry_run=True)
    assert "cron '0 0 3 * * *' -> '0 0 4 * * *'" in "\n".join(would)
    user.unschedule(dry_run=True)
    assert server.changes() == []


@pytest.mark.parametrize("kind", ["status", "drop", "timeout", "done_then_timeout"])
@pytest.mark.parametrize(
    ("path", "done"),
    [
        ("/pipelines$", ()),
        ("/upload_version$", ("pipeline bank created",)),
        ("/experiments$", ("pipeline bank created", "uploaded")),
        ("/runs$", ("pipeline bank created", "uploaded", "experiment nightly created")),
    ],
)
def test_failure_midway_says_what_was_done_and_the_next_call_goes_on(
    server: KfpServer, kind: str, path: str, done: tuple[str, ...]
) -> None:
    user = User(server, read_seconds=0.3)
    server.fail("POST", path, kind)
    with one_line_error(*done, *([] if done else ["nothing was changed before"])):
        user.submit(make_job())
    user.connection = replace(user.connection, read_seconds=5.0)
    user.submit(make_job())
    assert [len(server.all(k)) for k in ("pipelines", "versions", "experiments")] == [1, 1, 1]
    unseen = kind == "done_then_timeout" and path == "/runs$"
    assert len(server.all("runs")) == (2 if unseen else 1)


def test_run_that_may_have_been_started_is_said_to_be(server: KfpServer) -> None:
    server.fail("POST", "/runs$", "timeout")
    with one_line_error("timed out after 0.3 s", "look at the experiment's runs first"):
        User(server, read_seconds=0.3).submit(make_job())


def test_archived_experiment_is_refused_before_anything_changes(
    user: User, server: KfpServer
) -> None:
    user.submit(make_job())
    server.all("experiments")[0]["storage_state"] = "ARCHIVED"
    server.requests.clear()
    with one_line_error("kubeflow.experiment: 'nightly' is archived"):
        user.submit(make_job("image:2"))
    assert server.changes() == []


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["span"], "expected name=value"),
        (["spam=1"], "did you mean 'span'?"),
        (["zzz=1"], "it has data_path, span, pipeline_root"),
    ],
)
def test_wrong_parameters_are_told(given: list[str], said: str) -> None:
    with one_line_error("--param: ", said):
        read_parameters(given, SPEC)


def test_parameters_are_read_as_text_and_the_last_one_holds() -> None:
    assert read_parameters(["span=1", "span=2=3", "pipeline_root=s3://x"], SPEC) == {
        "span": "2=3",
        "pipeline_root": "s3://x",
    }


def test_parameter_without_default_must_be_given() -> None:
    spec = copy.deepcopy(SPEC)
    del spec["root"]["inputDefinitions"]["parameters"]["data_path"]["defaultValue"]
    with one_line_error("no value for data_path"):
        read_parameters([], spec)
    assert read_parameters(["data_path=x"], spec) == {"data_path": "x"}


# Scheduling


def test_schedule_neither_catches_up_nor_overtakes_itself(user: User, server: KfpServer) -> None:
    said = user.schedule(make_job(parameters={"span": "7"}))
    [made] = server.all("recurringruns")
    assert made["trigger"] == {"cron_schedule": {"cron": "0 0 3 * * *"}}
    assert made["no_catchup"] is True
    assert made["max_concurrency"] == "1"
    assert made["mode"] == "ENABLE"
    assert made["runtime_config"]["parameters"] == {"span": "7"}
    assert made["service_account"] == "runner"
    assert "'0 3 * * *' is read as '0 0 3 * * *'" in said[0]
    assert server.all("runs") == []


def test_second_schedule_changes_nothing(user: User, server: KfpServer) -> None:
    user.schedule(make_job())
    server.requests.clear()
    assert "schedule bank: unchanged" in user.schedule(make_job())
    assert server.changes() == []


@pytest.mark.parametrize(
    ("job", "cron"),
    [
        (make_job(), "0 4 * * *"),
        (make_job("image:2"), "0 3 * * *"),
        (make_job(parameters={"span": "8"}), "0 3 * * *"),
        (make_job(pipeline_root="s3://other"), "0 3 * * *"),
        (make_job(service_account="other"), "0 3 * * *"),
        (make_job(experiment="weekly"), "0 3 * * *"),
    ],
)
def test_changed_schedule_takes_the_old_ones_place(
    user: User, server: KfpServer, job: Job, cron: str
) -> None:
    user.schedule(make_job())
    [old] = server.all("recurringruns")
    user.schedule(job, cron)
    [new] = server.all("recurringruns")
    assert new["recurring_run_id"] != old["recurring_run_id"]
    assert new["mode"] == "ENABLE"
    assert new["trigger"]["cron_schedule"]["cron"] == parse_cron(cron).text
    server.requests.clear()
    user.schedule(job, cron)
    assert server.changes() == []


def test_run_at_work_survives_the_change_of_its_schedule(user: User, server: KfpServer) -> None:
    user.schedule(make_job())
    [old] = server.all("recurringruns")
    started = dict(old, state="RUNNING", display_name="bank-1")
    started = {
        k: started[k] for k in ("display_name", "state", "recurring_run_id", "experiment_id")
    }
    run = server.add("runs", "run_id", "V2beta1Run", started)
    for _ in range(3):  # newer ones, of others, on another page
        server.add("runs", "run_id", "V2beta1Run", {**started, "recurring_run_id": "x"})
    assert "a run of it is at work" in user.schedule(make_job(), "0 4 * * *")[-1]
    assert run["state"] == "RUNNING"
    assert len(server.all("recurringruns")) == 2
    assert [s["trigger"]["cron_schedule"]["cron"] for s in enabled(server)] == ["0 0 4 * * *"]
    run["state"] = "SUCCEEDED"
    user.schedule(make_job(), "0 4 * * *")
    assert len(server.all("recurringruns")) == len(enabled(server)) == 1
    assert run["state"] == "SUCCEEDED"


def test_paused_schedule_is_enabled_again(user: User, server: KfpServer) -> None:
    user.schedule(make_job())
    [made] = server.all("recurringruns")
    made.update(mode="DISABLE", status="DISABLED")
    user.schedule(make_job())
    assert server.all("recurringruns") == enabled(server) == [made]


def test_schedule_of_somebody_else_stays(user: User, server: KfpServer) -> None:
    user.schedule(make_job())
    [made] = server.all("recurringruns")
    made["description"] = "by hand"
    said = user.schedule(make_job())
    assert any("not made by this command" in line for line in said)
    assert len(server.all("recurringruns")) == 2
    user.unschedule()
    assert server.all("recurringruns") == [made]


@pytest.mark.parametrize("kind", ["status", "drop", "timeout", "done_then_timeout"])
@pytest.mark.parametrize("step", range(4))
def test_failed_change_leaves_exactly_one_schedule_in_force(
    server: KfpServer, kind: str, step: int
) -> None:
    user = User(server)
    user.schedule(make_job())
    [old] = server.all("recurringruns")
    method, path = [
        ("POST", "/recurringruns$"),
        ("POST", ":disable$"),
        ("POST", ":enable$"),
        ("DELETE", "/recurringruns/"),
    ][step]
    server.fail(method, path, kind)
    user.connection = replace(user.connection, read_seconds=0.3)
    with one_line_error("127.0.0.1"):
        user.schedule(make_job(), "0 4 * * *")
    [in_force] = enabled(server)
    assert (in_force["recurring_run_id"] == old["recurring_run_id"]) == (step < 3)
    user.connection = replace(user.connection, read_seconds=5.0)
    user.schedule(make_job(), "0 4 * * *")
    [new] = server.all("recurringruns")
    assert new["mode"] == "ENABLE"
    assert new["trigger"]["cron_schedule"]["cron"] == "0 0 4 * * *"


def test_interrupted_change_is_taken_back(
    user: User, server: KfpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    user.schedule(make_job())
    [old] = server.all("recurringruns")
    disable = Server.disable_schedule

    def interrupted(self: Server, schedule_id: str) -> None:
        disable(self, schedule_id)
        raise KeyboardInterrupt

    monkeypatch.setattr(Server, "disable_schedule", interrupted)
    with one_line_error("interrupted at old schedule", "taken back: "):
        user.schedule(make_job(), "0 4 * * *")
    assert server.all("recurringruns") == enabled(server) == [old]


def test_what_cannot_be_taken_back_is_said(user: User, server: KfpServer) -> None:
    user.schedule(make_job())
    server.fail("POST", ":enable$", times=2)
    with one_line_error("could not be taken back: old schedule", "disabled"):
        user.schedule(make_job(), "0 4 * * *")
    user.schedule(make_job(), "0 4 * * *")
    assert len(server.all("recurringruns")) == len(enabled(server)) == 1


def test_schedule_is_deleted_once(user: User, server: KfpServer) -> None:
    user.schedule(make_job())
    user.unschedule()
    assert server.all("recurringruns") == []
    assert user.unschedule() == ["schedule bank: there is none"]


# Getting in


def test_token_goes_into_the_header_and_nowhere_else(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    import kfp.client

    context = tmp_path / "context.json"
    context.write_text('{"namespace": "stale", "client_authentication_cookie": "stale"}')
    monkeypatch.setattr(kfp.client.Client, "_LOCAL_KFP_CONTEXT", str(context))
    monkeypatch.setenv("MY_TOKEN", f"{TOKEN}\n")
    caplog.set_level(logging.DEBUG)
    with serving(KfpServer(token=TOKEN, multi_user=True)) as server:
        user = User(server, token_env="MY_TOKEN", namespace="team")
        user.submit(make_job())
        user.schedule(make_job())
        assert {r.headers.get("authorization") for r in server.requests} == {f"Bearer {TOKEN}"}
        assert not any("cookie" in r.headers or "stale" in str(r) for r in server.requests)
        assert {e["namespace"] for e in server.all("experiments")} == {"team"}
    out = capsys.readouterr()
    assert (out.out, out.err) == ("", "")
    assert TOKEN not in "\n".join(user.said) + caplog.text
    assert "stale" in context.read_text()


def test_expired_token_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KFP_TOKEN", TOKEN)
    with (
        serving(KfpServer(token="the new one")) as server,
        one_line_error("HTTP 401", "the token in $KFP_TOKEN expired", "put a new one there"),
    ):
        User(server).submit(make_job())


def test_token_that_expires_midway_is_told_with_what_was_done(
    monkeypatch: pytest.MonkeyPatch, server: KfpServer
) -> None:
    monkeypatch.setenv("KFP_TOKEN", TOKEN)
    server.fail("POST", "/runs$", status=401, body={"message": f"bad token {TOKEN}"})
    with one_line_error("HTTP 401", "***", "done before: pipeline bank created"):
        User(server).submit(make_job())


def test_missing_token_is_told() -> None:
    with serving(KfpServer(token=TOKEN)) as server, one_line_error("$KFP_TOKEN is not set"):
        User(server).submit(make_job())


def test_token_with_blanks_is_refused_without_showing_it(
    monkeypatch: pytest.MonkeyPatch, server: KfpServer
) -> None:
    monkeypatch.setenv("KFP_TOKEN", f"{TOKEN} {TOKEN}")
    with one_line_error("$KFP_TOKEN: holds no token"):
        User(server).submit(make_job())


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ({"status": 403, "body": {"message": "no verb create"}}, "forbidden, HTTP 403 (no verb"),
        ({"status": 404, "body": b"<html>"}, "see that kubeflow.host is Kubeflow Pipelines' API"),
        ({"status": 400, "body": {"error_message": "bad\nspec"}}, "HTTP 400 (bad spec)"),
        ({"status": 500, "body": b"oops"}, "HTTP 500 (oops)"),
        ({"kind": "redirect"}, "not let in, HTTP 302"),
        ({"kind": "login"}, "answers with text/html that is no JSON object: a login page"),
        ({"kind": "drop"}, "the connection broke"),
        ({"kind": "timeout"}, "timed out after 0.3 s"),
        ({"status": 200, "body": b"{oops"}, "no JSON object"),
        ({"status": 200, "body": [1]}, "no JSON object"),
        ({"status": 200, "body": {"pipelines": 3}}, "its answer makes no sense"),
    ],
)
def test_refusal_is_one_line(server: KfpServer, fault: dict[str, Any], said: str) -> None:
    server.fail("GET", "/pipelines$", **{"kind": "status", **fault}, times=9)
    with one_line_error(f"{server.host}: could not list pipelines: ", said):
        User(server, read_seconds=0.3).submit(make_job())
    assert server.changes() == []


def test_change_without_an_id_for_answer_is_told(server: KfpServer) -> None:
    server.fail("POST", "/experiments$", status=200, body={})
    with one_line_error("says done but gives no id", "done before: pipeline bank created"):
        User(server).submit(make_job())


def test_question_is_asked_again_where_the_server_is_busy(user: User, server: KfpServer) -> None:
    server.fail("GET", "/pipelines$", status=503, times=2)
    user.submit(make_job())
    assert len(server.all("runs")) == 1


def test_change_is_never_asked_for_twice(server: KfpServer) -> None:
    server.fail("POST", "/runs$", status=503, times=9)
    with one_line_error("HTTP 503"):
        User(server).submit(make_job())
    assert sum(r.path.endswith("/runs") for r in server.changes()) == 1


def test_unreachable_host_is_told() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    for host, said in (
        (f"http://127.0.0.1:{port}", "Connection refused"),
        ("http://nowhere.invalid", "cannot be reached"),
    ):
        server = KfpServer()
        server.host = host
        with one_line_error(f"{host}: could not", said, "kubeflow.host"):
            User(server).submit(make_job())


def test_server_with_many_users_needs_a_namespace() -> None:
    with serving(KfpServer(multi_user=True)) as server:
        with one_line_error("kubeflow.namespace: not given"):
            User(server).submit(make_job())
        User(server, namespace="team").submit(make_job())
        User(server, namespace="other").submit(make_job())
        assert len(server.all("pipelines")) == 2


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Key and self-signed certificate of 127.0.0.1 in one file."""
    x509 = pytest.importorskip("cryptography.x509")
    import datetime
    import ipaddress

    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.timezone.utc)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return path


def test_certificate_authority_comes_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, certificate: Path
) -> None:
    with serving(KfpServer(), certificate) as server:
        with one_line_error("TLS: self", "$KFP_CA_FILE"):
            User(server).submit(make_job())
        monkeypatch.setenv("KFP_CA_FILE", str(certificate))
        User(server).submit(make_job())
        assert len(server.all("runs")) == 1
        server.host = server.host.replace("127.0.0.1", "localhost")
        with one_line_error("TLS: ", "localhost"):
            User(server).submit(make_job())


def test_tls_to_a_server_without_it_is_told(server: KfpServer) -> None:
    server.host = server.host.replace("http:", "https:")
    with one_line_error("TLS: "):
        User(server).submit(make_job())


@pytest.mark.parametrize(("text", "said"), [(None, "No such file"), ("x", "PEM form")])
def test_useless_file_of_certificates_is_told(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    server: KfpServer,
    text: str | None,
    said: str,
) -> None:
    path = tmp_path / "ca.pem"
    if text is not None:
        path.write_text(text)
    monkeypatch.setenv("KFP_CA_FILE", str(path))
    with one_line_error("$KFP_CA_FILE: ", said):
        User(server).submit(make_job())

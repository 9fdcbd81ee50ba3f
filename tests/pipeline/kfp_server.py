"""A Kubeflow Pipelines API server on the loopback: as much of v2beta1 as is asked of it.

Bodies and answers go through kfp_server_api's own models. Rules of the backend that matter here
are kept: unique names (409), versions and schedules must refer to what exists, at most one page of
results at a time, six cron fields, a schedule's deletion ends its runs (the workflow is owned by
the scheduled workflow), upload as multipart, filters as predicates.
"""

import email.parser
import email.policy
import itertools
import json
import re
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import kfp_server_api
import yaml
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2

API = "/apis/v2beta1/"
_INSIDE = ("versions", "runs")
"""Kinds whose namespace is that of what they belong to."""


class Refused(Exception):
    """An answer other than 200."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass
class Fault:
    """What is to go wrong with requests that match; `times` of them, after `skip` others."""

    method: str
    path: str
    kind: str = "status"
    status: int = 500
    body: Any = None
    times: int = 1
    skip: int = 0
    headers: dict[str, str] = field(default_factory=dict)

    def hits(self, method: str, path: str) -> bool:
        if self.times == 0 or method != self.method or not re.search(self.path, path):
            return False
        if self.skip:
            self.skip -= 1
            return False
        self.times -= 1
        return True


@dataclass
class Request:
    """One request as it came."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any


class KfpServer:
    """State, faults and log of a server."""

    def __init__(self, token: str | None = None, multi_user: bool = False, page: int = 2) -> None:
        self.token = token
        self.multi_user = multi_user
        self.page = page
        self.store: dict[str, dict[str, dict[str, Any]]] = {
            kind: {} for kind in ("pipelines", "versions", "experiments", "runs", "recurringruns")
        }
        self.faults: list[Fault] = []
        self.requests: list[Request] = []
        self.host = ""
        self._ids = itertools.count(1)
        self._lock = threading.Lock()

    def fail(self, method: str, path: str, kind: str = "status", **rest: Any) -> None:
        """Has the next matching request go wrong.

        kind: `status` (with `status`, `body`), `timeout` (no answer), `done_then_timeout`,
        `drop` (connection cut), `login` (200, HTML), `redirect` (302 to a login page).
        """
        self.faults.append(Fault(method, path, kind, **rest))

    def all(self, kind: str) -> list[dict[str, Any]]:
        return list(self.store[kind].values())

    def changes(self) -> list[Request]:
        """The requests that were not mere questions."""
        return [r for r in self.requests if r.method != "GET"]

    def add(self, kind: str, key: str, model: str, values: dict[str, Any]) -> dict[str, Any]:
        made = checked(model, {**values, key: f"{kind}-{next(self._ids)}"})
        self.store[kind][made[key]] = made
        return made

    def answer(self, request: Request) -> dict[str, Any]:
        parts = request.path.removeprefix(API).split("/")
        with self._lock:
            for pattern, handle in _ROUTES:
                if match := re.fullmatch(pattern, f"{request.method} {'/'.join(parts)}"):
                    result: dict[str, Any] = handle(self, request, *match.groups())
                    return result
        raise Refused(404, "Not Found")

    def get(self, kind: str, thing_id: str) -> dict[str, Any]:
        if thing_id not in self.store[kind]:
            raise Refused(404, f"{kind} {thing_id} not found")
        return self.store[kind][thing_id]


def checked(model: str, values: dict[str, Any]) -> dict[str, Any]:
    """A body as the model has it.

    Raises:
      Refused: a key that the model does not have, or a value that does not fit it.
    """
    _refuse_unknown(model, values, model)

    class Response:
        data = json.dumps(values)

    client = kfp_server_api.ApiClient()
    try:
        parsed = client.deserialize(Response, model)
    except (TypeError, ValueError) as error:
        raise Refused(400, f"{model}: {error}") from None
    back: dict[str, Any] = client.sanitize_for_serialization(parsed)
    return back


def _refuse_unknown(model: str, values: Any, where: str) -> None:
    cls = getattr(kfp_server_api.models, model, None)
    if cls is None or not getattr(cls, "openapi_types", None) or not isinstance(values, dict):
        return
    types = {cls.attribute_map[attr]: kind for attr, kind in cls.openapi_types.items()}
    for key, value in values.items():
        if key not in types:
            raise Refused(400, f"{where}: unknown field {key!r}")
        _refuse_unknown(types[key], value, f"{where}.{key}")


def _named(server: KfpServer, kind: str, request: Request, key: str) -> dict[str, Any]:
    """One page of the things that the filter lets through."""
    wanted = {
        p["key"]: p["stringValue"]
        for p in json.loads(request.query.get("filter") or '{"predicates": []}')["predicates"]
        if p["operation"] == "EQUALS" or p["operation"] == 1
    }
    namespace = request.query.get("namespace") or None
    found = [
        thing
        for thing in server.store[kind].values()
        if all(str(thing.get(k, "")).lower() == v.lower() for k, v in wanted.items())
        and (not server.multi_user or kind in _INSIDE or thing.get("namespace") == namespace)
        and thing.get("experiment_id")
        == request.query.get("experiment_id", thing.get("experiment_id"))
    ]
    if request.query.get("sort_by") == "created_at desc":
        found.reverse()
    start = int(request.query.get("page_token") or 0)
    size = min(int(request.query.get("page_size") or 10), server.page)
    answer: dict[str, Any] = {key: found[start : start + size], "total_size": len(found)}
    if start + size < len(found):
        answer["next_page_token"] = str(start + size)
    return answer


def _healthz(server: KfpServer, request: Request) -> dict[str, Any]:
    return checked("V2beta1GetHealthzResponse", {"multi_user": server.multi_user})


def _list_pipelines(server: KfpServer, request: Request) -> dict[str, Any]:
    return _named(server, "pipelines", request, "pipelines")


def _list_versions(server: KfpServer, request: Request, pipeline: str) -> dict[str, Any]:
    server.get("pipelines", pipeline)
    answer = _named(server, "versions", request, "pipeline_versions")
    kept = [v for v in answer["pipeline_versions"] if v["pipeline_id"] == pipeline]
    return {**answer, "pipeline_versions": kept}


def _list_experiments(server: KfpServer, request: Request) -> dict[str, Any]:
    return _named(server, "experiments", request, "experiments")


def _list_runs(server: KfpServer, request: Request) -> dict[str, Any]:
    if "recurring_run_id" in request.query.get("filter", ""):  # kubeflow/pipelines#10429
        raise Refused(500, "Unknown column 'RecurringRunId' in 'where clause'")
    server.get("experiments", request.query["experiment_id"])
    return _named(server, "runs", request, "runs")


def _list_schedules(server: KfpServer, request: Request) -> dict[str, Any]:
    return _named(server, "recurringruns", request, "recurringRuns")


def _unique(server: KfpServer, kind: str, body: dict[str, Any], *same: str) -> None:
    keys = ("display_name", *same)
    if not body.get("display_name"):
        raise Refused(400, f"{kind}: display_name is empty")
    if any(all(o.get(k) == body.get(k) for k in keys) for o in server.store[kind].values()):
        raise Refused(409, f"Already exist error: {kind} {body['display_name']}")


def _placed(server: KfpServer, body: dict[str, Any]) -> None:
    if server.multi_user and not body.get("namespace"):
        raise Refused(400, "Invalid input error: namespace is empty")


def _create_pipeline(server: KfpServer, request: Request) -> dict[str, Any]:
    body = checked("V2beta1Pipeline", request.body)
    _placed(server, body)
    _unique(server, "pipelines", body, "namespace")
    return server.add("pipelines", "pipeline_id", "V2beta1Pipeline", body)


def _upload_version(server: KfpServer, request: Request) -> dict[str, Any]:
    server.get("pipelines", request.query["pipelineid"])
    spec, *more = yaml.safe_load_all(request.body)
    json_format.ParseDict(spec, pipeline_spec_pb2.PipelineSpec())
    for document in more:
        json_format.ParseDict(document, pipeline_spec_pb2.PlatformSpec())
    body = {
        "pipeline_id": request.query["pipelineid"],
        "display_name": request.query["name"],
        "description": request.query.get("description"),
        "pipeline_spec": {"pipeline_spec": spec, "platform_spec": more[0] if more else {}},
    }
    _unique(server, "versions", body, "pipeline_id")
    return server.add("versions", "pipeline_version_id", "V2beta1PipelineVersion", body)


def _create_experiment(server: KfpServer, request: Request) -> dict[str, Any]:
    body = checked("V2beta1Experiment", request.body)
    _placed(server, body)
    _unique(server, "experiments", body, "namespace")
    body["storage_state"] = "AVAILABLE"
    return server.add("experiments", "experiment_id", "V2beta1Experiment", body)


def _startable(server: KfpServer, body: dict[str, Any]) -> None:
    """What a run and a schedule must have."""
    if server.get("experiments", body["experiment_id"])["storage_state"] == "ARCHIVED":
        raise Refused(400, "the experiment is archived")
    reference = body["pipeline_version_reference"]
    version = server.get("versions", reference["pipeline_version_id"])
    if version["pipeline_id"] != reference["pipeline_id"]:
        raise Refused(400, "the version is another pipeline's")
    spec = version["pipeline_spec"]["pipeline_spec"]
    known = spec["root"].get("inputDefinitions", {}).get("parameters", {})
    if unknown := set(body.get("runtime_config", {}).get("parameters") or {}) - set(known):
        raise Refused(400, f"parameter {sorted(unknown)} is not an input of the pipeline")
    if not body.get("display_name"):
        raise Refused(400, "display_name is empty")


def _create_run(server: KfpServer, request: Request) -> dict[str, Any]:
    body = checked("V2beta1Run", request.body)
    _startable(server, body)
    return server.add("runs", "run_id", "V2beta1Run", {**body, "state": "PENDING"})


def _create_schedule(server: KfpServer, request: Request) -> dict[str, Any]:
    body = checked("V2beta1RecurringRun", request.body)
    _startable(server, body)
    if not 1 <= int(body["max_concurrency"]) <= 10:
        raise Refused(400, "The max concurrency of the recurring run is out of range")
    if len(body["trigger"]["cron_schedule"]["cron"].split()) != 6:
        raise Refused(400, "Schedule cron is not a supported format")
    body["status"] = "ENABLED" if body["mode"] == "ENABLE" else "DISABLED"
    body["namespace"] = server.get("experiments", body["experiment_id"]).get("namespace")
    body = {k: v for k, v in body.items() if v is not None}
    return server.add("recurringruns", "recurring_run_id", "V2beta1RecurringRun", body)


def _set_mode(server: KfpServer, request: Request, schedule: str, mode: str) -> dict[str, Any]:
    found = server.get("recurringruns", schedule)
    found["mode"] = mode.upper()
    found["status"] = {"enable": "ENABLED", "disable": "DISABLED"}[mode]
    return {}


def _delete_schedule(server: KfpServer, request: Request, schedule: str) -> dict[str, Any]:
    server.get("recurringruns", schedule)
    del server.store["recurringruns"][schedule]
    for run in server.store["runs"].values():
        if run.get("recurring_run_id") == schedule and run["state"] in ("PENDING", "RUNNING"):
            run["state"] = "FAILED"
    return {}


_ROUTES = (
    ("GET healthz", _healthz),
    ("GET pipelines", _list_pipelines),
    ("POST pipelines", _create_pipeline),
    ("POST pipelines/upload_version", _upload_version),
    ("GET pipelines/([^/]+)/versions", _list_versions),
    ("GET experiments", _list_experiments),
    ("POST experiments", _create_experiment),
    ("GET runs", _list_runs),
    ("POST runs", _create_run),
    ("GET recurringruns", _list_schedules),
    ("POST recurringruns", _create_schedule),
    ("POST recurringruns/([^/:]+):(enable|disable)", _set_mode),
    ("DELETE recurringruns/([^/:]+)", _delete_schedule),
)


def _handler(server: KfpServer, stopped: threading.Event) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # else each answer waits 40 ms for the client's word

        def _serve(self) -> None:
            url = urlsplit(self.path)
            raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            request = Request(
                self.command,
                url.path,
                {k: v[0] for k, v in parse_qs(url.query).items()},
                {k.lower(): v for k, v in self.headers.items()},
                self._body(raw),
            )
            server.requests.append(request)
            fault = next((f for f in server.faults if f.hits(self.command, url.path)), None)
            if fault is not None and fault.kind != "done_then_timeout":
                self._misbehave(fault)
                return
            status, answer = self._answer(request)
            if fault is not None:
                stopped.wait(30)
            self._reply(status, json.dumps(answer).encode(), "application/json")

        do_GET = do_POST = do_DELETE = _serve

        def _answer(self, request: Request) -> tuple[int, dict[str, Any]]:
            bearer = self.headers.get("Authorization")
            if server.token is not None and bearer != f"Bearer {server.token}":
                return 401, {"error": "Unauthenticated", "code": 16, "message": "token expired"}
            try:
                return 200, server.answer(request)
            except Refused as refused:
                return refused.status, {"error": str(refused), "code": 3, "message": str(refused)}
            except Exception as error:  # a fault of the test server itself is seen in the test
                return 500, {"message": f"test server: {type(error).__name__}: {error}"}

        def _body(self, raw: bytes) -> Any:
            kind = self.headers.get("Content-Type") or ""
            if not raw:
                return None
            if "json" in kind:
                return json.loads(raw)
            message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(
                f"Content-Type: {kind}\r\n\r\n".encode() + raw
            )
            [part] = message.iter_parts()
            assert part.get_param("name", header="content-disposition") == "uploadfile"
            return part.get_payload(decode=True)

        def _misbehave(self, fault: Fault) -> None:
            if fault.kind == "timeout":
                stopped.wait(30)
                self.close_connection = True
            elif fault.kind == "drop":
                self.close_connection = True
            elif fault.kind == "login":
                self._reply(200, b"<html>Please log in</html>", "text/html")
            elif fault.kind == "redirect":
                self._reply(302, b"", "text/html", {"Location": "/dex/auth"})
            else:
                body = fault.body if fault.body is not None else {"message": "broken"}
                data = body if isinstance(body, bytes) else json.dumps(body).encode()
                kind = "text/plain" if isinstance(body, bytes) else "application/json"
                self._reply(fault.status, data, kind, fault.headers)

        def _reply(
            self, status: int, data: bytes, kind: str, headers: dict[str, str] | None = None
        ) -> None:
            try:
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(data)))
                for key, value in (headers or {}).items():
                    self.send_header(key, value)
                self.end_headers()
                self.wfile.write(data)
            except OSError:
                self.close_connection = True  # the client has given up

        def log_message(self, *args: Any) -> None:
            pass

    return Handler


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *args: Any) -> None:
        """A client that goes away in the middle is part of some tests."""


@contextmanager
def serving(server: KfpServer, certificate: Path | None = None) -> Iterator[KfpServer]:
    """Runs `server` on a free port; over TLS with `certificate`, a file of key and certificate."""
    stopped = threading.Event()
    httpd = _Quiet(("127.0.0.1", 0), _handler(server, stopped))
    scheme = "http"
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        httpd.socket = context.wrap_socket(
            httpd.socket, server_side=True, do_handshake_on_connect=False
        )
        scheme = "https"
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    server.host = f"{scheme}://127.0.0.1:{httpd.server_port}"
    try:
        yield server
    finally:
        stopped.set()
        httpd.shutdown()
        httpd.server_close()
        thread.join()


def wait_until(condition: Any, seconds: float = 5.0) -> None:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)

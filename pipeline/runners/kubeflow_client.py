"""What `submit` and `schedule` ask of a Kubeflow Pipelines server, through kfp's own client.

kfp's client waits for ever, follows a redirect to a login page, keeps a namespace and a cookie in
the home directory and prints links; none of that is wanted from a cron host. So each request has
a time limit, is sent again only where that is safe, and its failure becomes one line.
"""

import contextlib
import functools
import io
import json
import os
import ssl
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from ...components.errors import UserError

CONNECT_SECONDS = 10.0
READ_SECONDS = 60.0
_PAGE = 100
_RUN_PAGES = 10
_AT_WORK = {"PENDING", "RUNNING", "CANCELING", "PAUSED", "RUNTIME_STATE_UNSPECIFIED", None}

_NONSENSE = (AttributeError, KeyError, TypeError, ValueError)
"""What the generated client raises on an answer of another form than it expects."""

T = TypeVar("T")


@dataclass(frozen=True)
class Connection:
    """Where the server is and which environment variables say how to get in."""

    host: str
    token_env: str = "KFP_TOKEN"
    ca_env: str = "KFP_CA_FILE"
    namespace: str | None = None
    read_seconds: float = READ_SECONDS


@dataclass(frozen=True)
class Schedule:
    """A recurring run as the server has it."""

    id: str
    name: str
    description: str
    enabled: bool
    cron: str | None
    version_id: str | None
    parameters: dict[str, str]
    pipeline_root: str | None
    service_account: str | None
    experiment_id: str | None


class ServerError(UserError):
    """The server cannot be reached or has refused; `unsure` where it may have done it anyway."""

    def __init__(self, message: str, unsure: bool = False) -> None:
        super().__init__(message)
        self.unsure = unsure


class _Strange(ValueError):
    """An answer that is none."""


@dataclass
class Server:
    """One Kubeflow Pipelines server, seen through one namespace."""

    connection: Connection
    _token: str | None = field(init=False, repr=False)
    _client: Any = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._token = _token(self.connection.token_env)
        ca_file = _ca_file(self.connection.ca_env)
        self._client = self._call(
            "connect", lambda: _kfp_client(self.connection, self._token, ca_file)
        )

    def check(self) -> None:
        """Asks the server for its health.

        Raises:
          UserError: where it is no Kubeflow Pipelines, or has many users and no namespace is given.
        """
        health = self._call(
            "ask for its health",
            lambda: _either(self._client._healthz_api, "get_healthz", "healthz_service_")(),
        )
        if health.multi_user and not self.connection.namespace:
            raise UserError(
                f"kubeflow.namespace: not given; the server at {self.connection.host} has many "
                "users: name the namespace of yours"
            )

    def find_pipeline(self, name: str) -> str | None:
        """Id of the pipeline `name`."""
        found = self._all(
            "list pipelines",
            lambda **page: self._client.list_pipelines(
                filter=_equals("display_name", name), namespace=self.connection.namespace, **page
            ),
            "pipelines",
        )
        return next((p.pipeline_id for p in found if p.display_name == name), None)

    def create_pipeline(self, name: str, description: str) -> str:
        """Makes a pipeline without versions; its id."""
        import kfp_server_api

        fields: dict[str, Any] = {"display_name": name, "description": description}
        if "name" in kfp_server_api.V2beta1Pipeline.openapi_types:
            fields["name"] = name
        body = kfp_server_api.V2beta1Pipeline(namespace=self.connection.namespace, **fields)
        create = _either(self._client.pipelines, "create_pipeline", "pipeline_service_")
        made = self._call(f"create pipeline {name}", lambda: create(body))
        return self._id(made.pipeline_id)

    def find_version(self, pipeline_id: str, name: str) -> str | None:
        """Id of the version `name` of a pipeline."""
        found = self._all(
            "list pipeline versions",
            lambda **page: self._client.list_pipeline_versions(
                pipeline_id, filter=_equals("display_name", name), **page
            ),
            "pipeline_versions",
        )
        return next((v.pipeline_version_id for v in found if v.display_name == name), None)

    def upload_version(self, pipeline_id: str, name: str, file: Path, description: str) -> str:
        """Sends a compiled spec as a new version; its id."""
        made = self._call(
            f"upload version {name}",
            lambda: self._client.upload_pipeline_version(
                str(file), name, pipeline_id=pipeline_id, description=description
            ),
        )
        return self._id(made.pipeline_version_id)

    def find_experiment(self, name: str) -> str | None:
        """Id of the experiment `name`.

        Raises:
          UserError: where it is archived, since nothing can be started in it.
        """
        found = self._all(
            "list experiments",
            lambda **page: self._client.list_experiments(
                filter=_equals("display_name", name), namespace=self.connection.namespace, **page
            ),
            "experiments",
        )
        for experiment in found:
            if experiment.display_name == name:
                if str(experiment.storage_state) == "ARCHIVED":
                    raise UserError(
                        f"kubeflow.experiment: {name!r} is archived; restore it in Kubeflow or "
                        "name another one"
                    )
                return str(experiment.experiment_id)
        return None

    def create_experiment(self, name: str) -> str:
        """Makes an experiment; its id."""
        made = self._call(
            f"create experiment {name}",
            lambda: self._client.create_experiment(name, namespace=self.connection.namespace),
        )
        return self._id(made.experiment_id)

    def start_run(
        self,
        name: str,
        experiment_id: str,
        version: tuple[str, str],
        parameters: dict[str, str],
        pipeline_root: str | None,
        service_account: str | None,
    ) -> str:
        """Starts a run of `version` (pipeline id, version id); its id."""
        made = self._call(
            f"start run {name}",
            lambda: self._client.run_pipeline(
                experiment_id,
                name,
                params=parameters,
                pipeline_id=version[0],
                version_id=version[1],
                pipeline_root=pipeline_root,
                service_account=service_account,
            ),
        )
        return self._id(made.run_id)

    def schedules(self, name: str) -> list[Schedule]:
        """Every recurring run `name` of the namespace, whatever its experiment."""
        found = self._all(
            "list schedules",
            lambda **page: self._client.list_recurring_runs(
                filter=_equals("display_name", name), namespace=self.connection.namespace, **page
            ),
            "recurring_runs",
        )
        return [_schedule(run) for run in found if run.display_name == name]

    def create_schedule(
        self,
        name: str,
        description: str,
        cron: str,
        experiment_id: str,
        version: tuple[str, str],
        parameters: dict[str, str],
        pipeline_root: str | None,
        service_account: str | None,
        enabled: bool,
    ) -> str:
        """Makes a recurring run that neither catches up nor overtakes itself; its id."""
        made = self._call(
            f"create schedule {name}",
            lambda: self._client.create_recurring_run(
                experiment_id,
                name,
                description=description,
                cron_expression=cron,
                max_concurrency=1,
                no_catchup=True,
                params=parameters,
                pipeline_id=version[0],
                version_id=version[1],
                pipeline_root=pipeline_root,
                service_account=service_account,
                enabled=enabled,
            ),
        )
        return self._id(made.recurring_run_id)

    def enable_schedule(self, schedule_id: str) -> None:
        """Lets a recurring run start runs."""
        self._call("enable the schedule", lambda: self._client.enable_recurring_run(schedule_id))

    def disable_schedule(self, schedule_id: str) -> None:
        """Stops a recurring run from starting runs; those at work go on."""
        self._call("disable the schedule", lambda: self._client.disable_recurring_run(schedule_id))

    def delete_schedule(self, schedule_id: str) -> None:
        """Deletes a recurring run; Kubernetes then ends those of its runs that are at work."""
        self._call("delete the schedule", lambda: self._client.delete_recurring_run(schedule_id))

    def at_work(self, schedule: Schedule) -> bool:
        """Whether a run that this schedule started, of the experiment's newest, has not ended.

        Not asked as a filter: some servers fail on the key `recurring_run_id` (pipelines#10429).
        """
        token = ""
        for _ in range(_RUN_PAGES):
            page = self._call(
                "list runs",
                functools.partial(
                    self._client.list_runs,
                    page_token=token,
                    page_size=_PAGE,
                    sort_by="created_at desc",
                    experiment_id=schedule.experiment_id,
                    namespace=self.connection.namespace,
                ),
            )
            for run in page.runs or ():
                if run.recurring_run_id == schedule.id and _word(run.state) in _AT_WORK:
                    return True
            token = page.next_page_token or ""
            if not token:
                break
        return False

    def link(self, kind: str, thing_id: str) -> str:
        """Address of a page of Kubeflow's own."""
        return f"{self.connection.host.rstrip('/')}/#/{kind}/details/{thing_id}"

    def _all(self, what: str, ask: Callable[..., Any], key: str) -> list[Any]:
        found: list[Any] = []
        token = ""
        while True:
            page = self._call(what, functools.partial(ask, page_token=token, page_size=_PAGE))
            found += getattr(page, key) or []
            token = page.next_page_token or ""
            if not token:
                return found

    def _id(self, given: Any) -> str:
        if not given:
            raise ServerError(f"{self.connection.host}: says done but gives no id", unsure=True)
        return str(given)

    def _call(self, what: str, act: Callable[[], T]) -> T:
        """Runs `act` in silence and turns what the client raises into one line."""
        with self._explained(what), contextlib.redirect_stdout(io.StringIO()):
            return act()

    @contextlib.contextmanager
    def _explained(self, what: str) -> Iterator[None]:
        from kfp_server_api.exceptions import ApiException, OpenApiException
        from urllib3.exceptions import HTTPError

        try:
            yield
        except UserError:
            raise
        except (OpenApiException, HTTPError, *_NONSENSE) as error:
            chain = list(_chain(error))
            told = next((e for e in chain if isinstance(e, ApiException) and e.status), None)
            if told is not None:
                message, unsure = self._refusal(told), int(told.status) >= 500
            elif isinstance(error, _Strange):
                message, unsure = str(error), True
            elif any(isinstance(e, HTTPError | ssl.SSLError | ApiException) for e in chain):
                message, unsure = self._failure(chain)
            else:
                message, unsure = f"its answer makes no sense: {_line(error)}", True
            host = self.connection.host
            text = f"{host}: could not {what}: {message}"
            raise ServerError(self._without_token(text), unsure) from None

    def _refusal(self, error: Any) -> str:
        said = _said(error.body)
        said = f" ({said})" if said else ""
        env, status = self.connection.token_env, int(error.status)
        if status in (301, 302, 303, 307, 308, 401):
            lack = "expired or is not for this server" if self._token else "is not set"
            return (
                f"not let in, HTTP {status}{said}: the token in ${env} {lack}; put a new one there"
            )
        if status == 403:
            return (
                f"forbidden, HTTP 403{said}: the token in ${env} may not do this in namespace "
                f"{self.connection.namespace!r}, or has expired"
            )
        if status == 404:
            return f"not found, HTTP 404{said}: see that kubeflow.host is Kubeflow Pipelines' API"
        return f"HTTP {status}{said}"

    def _failure(self, chain: list[BaseException]) -> tuple[str, bool]:
        """What to say of an exchange that did not come to an answer, and whether it may count."""
        from urllib3 import exceptions as http

        def has(*kinds: type[BaseException]) -> BaseException | None:
            return next((e for e in chain if isinstance(e, kinds)), None)

        if refused := has(http.NewConnectionError):
            reason = str(refused).rpartition(": ")[2]
            return f"cannot be reached: {reason}; see kubeflow.host", False
        if has(http.ConnectTimeoutError):
            return f"no connection within {CONNECT_SECONDS:g} s; see kubeflow.host", False
        if has(http.ReadTimeoutError):
            return f"timed out after {self.connection.read_seconds:g} s", True
        tls = has(ssl.SSLError, http.SSLError) or next(
            (e for e in chain if any(w in str(e) for w in ("[SSL", "certificate", "hostname"))),
            None,
        )
        if tls is not None:
            return (
                f"TLS: {_tls_reason(chain)}; ${self.connection.ca_env} names the file with the "
                "certificates to trust",
                False,
            )
        return f"the connection broke: {_line(chain[-1])}", True

    def _without_token(self, text: str) -> str:
        return text.replace(self._token, "***") if self._token else text


def _kfp_client(connection: Connection, token: str | None, ca_file: str | None) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import kfp.client

        class Client(kfp.client.Client):  # type: ignore[misc]
            """Knows only what it is told, and asks nothing while it is made."""

            def _load_context_setting_or_default(self) -> None:
                self._context_setting = {"namespace": connection.namespace or ""}

            def get_kfp_healthz(self, *args: Any, **kwargs: Any) -> Any:
                import kfp_server_api

                return kfp_server_api.V2beta1GetHealthzResponse(multi_user=False)

        client = Client(
            host=connection.host,
            namespace=connection.namespace or "kubeflow",
            existing_token=token,
            ssl_ca_cert=ca_file,
        )
    client._context_setting = {"namespace": connection.namespace or ""}
    api_client = client._run_api.api_client
    api_client.rest_client = _rest_client(api_client.configuration, connection.read_seconds)
    return client


def _rest_client(configuration: Any, read_seconds: float) -> Any:
    import kfp_server_api.rest
    from urllib3.util import Retry

    class RestClient(kfp_server_api.rest.RESTClientObject):  # type: ignore[misc]
        """Gives up in time, repeats what is safe to repeat, takes JSON only."""

        def request(self, method: str, url: str, **kwargs: Any) -> Any:
            kwargs["_request_timeout"] = (CONNECT_SECONDS, read_seconds)
            answer = super().request(method, url, **kwargs)
            if not _is_object(answer.data):  # which kfp would take for an empty one
                kind = answer.urllib3_response.headers.get("content-type") or "something"
                raise _Strange(
                    f"answers with {kind} that is no JSON object: a login page, or not Kubeflow "
                    "Pipelines' API; see kubeflow.host and the token"
                )
            return answer

    rest = RestClient(configuration)
    rest.pool_manager.urlopen = functools.partial(
        rest.pool_manager.urlopen,
        redirect=False,  # to a login page, which would answer 200
        retries=Retry(
            total=None,
            connect=2,
            read=0,
            redirect=0,
            other=0,
            status=2,
            status_forcelist=(502, 503, 504),
            allowed_methods=("GET",),
            raise_on_status=False,
            respect_retry_after_header=False,
            backoff_factor=0.2,
        ),
    )
    return rest


def _is_object(data: bytes) -> bool:
    try:
        return isinstance(json.loads(data), dict)
    except ValueError:
        return False


def _either(api: Any, name: str, prefix: str) -> Callable[..., Any]:
    """A generated method under its older or its newer name."""
    method: Callable[..., Any] = getattr(api, name, None) or getattr(api, prefix + name)
    return method


def _equals(key: str, value: str) -> str:
    predicate = {"operation": "EQUALS", "key": key, "stringValue": value}
    return json.dumps({"predicates": [predicate]})


def _schedule(run: Any) -> Schedule:
    cron = run.trigger.cron_schedule if run.trigger else None
    version = run.pipeline_version_reference
    runtime = run.runtime_config
    return Schedule(
        id=str(run.recurring_run_id),
        name=run.display_name,
        description=run.description or "",
        # Some servers call a new schedule's status DISABLED whatever its mode.
        enabled=(_word(run.mode) or _word(run.status)) in ("ENABLE", "ENABLED"),
        cron=cron.cron if cron else None,
        version_id=version.pipeline_version_id if version else None,
        parameters=dict((runtime.parameters if runtime else None) or {}),
        pipeline_root=(runtime.pipeline_root if runtime else None) or None,
        service_account=run.service_account or None,
        experiment_id=run.experiment_id or None,
    )


def _word(value: Any) -> str | None:
    """An enum's value: some versions of the generated client give an empty object for it."""
    return value if isinstance(value, str) else None


def _token(env: str) -> str | None:
    token = os.environ.get(env, "").strip()
    if not token:
        return None
    if not token.isascii() or any(c.isspace() or not c.isprintable() for c in token):
        raise UserError(f"${env}: holds no token: it has blanks or other signs that none has")
    return token


def _ca_file(env: str) -> str | None:
    path = os.environ.get(env, "").strip()
    if not path:
        return None
    try:
        ssl.create_default_context(cafile=path)
    except ssl.SSLError:
        raise UserError(f"${env}: {path}: holds no certificates in PEM form") from None
    except OSError as error:
        raise UserError(f"${env}: {path}: cannot be read: {error.strerror}") from None
    return path


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An exception, what urllib3 calls its reason, and what it was raised from or during."""
    seen: set[int] = set()
    stack = [error]
    while stack:
        error = stack.pop(0)
        if error is None or id(error) in seen:
            continue
        seen.add(id(error))
        yield error
        reason = getattr(error, "reason", None)
        stack += [reason if isinstance(reason, BaseException) else None]
        stack += [error.__cause__, error.__context__]


def _tls_reason(chain: list[BaseException]) -> str:
    for error in chain:
        if isinstance(error, ssl.SSLCertVerificationError):
            return str(error.verify_message)
    for error in chain:
        if isinstance(error, ssl.SSLError) and error.reason:
            return str(error.reason).replace("_", " ").lower()
    return _line(chain[-1])


def _said(body: Any) -> str:
    """What the server says of its refusal."""
    text = body.decode("utf-8", "replace") if isinstance(body, bytes) else str(body or "")
    try:
        parsed = json.loads(text)
    except ValueError:
        return "" if "<" in text else _line(text)
    if not isinstance(parsed, dict):
        return ""
    words = next(
        (
            parsed[k]
            for k in ("error_message", "message", "error")
            if isinstance(parsed.get(k), str)
        ),
        "",
    )
    return _line(words)


def _line(words: Any) -> str:
    text = " ".join(str(words).split())
    return text if len(text) <= 300 else text[:297] + "..."

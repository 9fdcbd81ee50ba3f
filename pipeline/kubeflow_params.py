"""The config's section `kubeflow`: where and with what the nodes' containers run."""

import re
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator
from typing_extensions import Self

from ..components.masking import is_secret
from ..components.params import Params

NODE_NAMES = (
    "StratifiedExampleGen",
    "StatisticsGen",
    "SchemaGen",
    "ImportSchemaGen",
    "ExampleValidator",
    "ImbalanceDetector",
    "Transform",
    "Tuner",
    "Rebalancer",
    "ChampionLoader",
    "Trainer",
    "Calibrator",
    "Evaluator",
    "Gate",
    "Pusher",
    "DriftCheck",
    "Reporter",
)
"""Every node that a pipeline may have."""

REMOTE = r"^(gs|s3|minio)://[^/]+"
"""Object stores that Kubeflow's launcher uploads to; it reads oci:// and leaves it at that."""

_DNS_NAME = r"^[a-z0-9]([-.a-z0-9]{0,251}[a-z0-9])?$"
_VARIABLE = r"^[A-Za-z_][A-Za-z0-9_]*$"
_UNITS = {
    "": 1,
    "m": Decimal("0.001"),
    **{unit: 1000**i for i, unit in enumerate("kMGTPE", 1)},
    **{f"{unit}i": 1024**i for i, unit in enumerate("KMGTPE", 1)},
}


def _as_text(value: Any) -> Any:
    """YAML reads `cpu: 4` as a number; Kubernetes takes either."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return str(value) if is_number else value


_CORES = r"^(\d+m|\d+(\.\d+)?)$"
_Cpu = Annotated[
    str,
    BeforeValidator(_as_text),
    Field(pattern=_CORES),
    WithJsonSchema({"anyOf": [{"type": "string", "pattern": _CORES}, {"type": "number"}]}),
]
_Memory = Annotated[str, Field(pattern=r"^\d+(\.\d+)?([kMGTPE]|[KMGTPE]i)$")]
_Node = Literal[NODE_NAMES]  # type: ignore[valid-type]


def quantity(text: str) -> float:
    """A Kubernetes quantity as a number: '500m' is 0.5, '4Gi' is 4294967296."""
    number, unit = re.fullmatch(r"([\d.]+)(\w*)", text).groups()  # type: ignore[union-attr]
    return float(Decimal(number) * _UNITS[unit])


class Toleration(Params):
    """A taint of Kubernetes nodes that the pod accepts."""

    key: str | None = Field(None, description="of the taint; every taint when not given")
    operator: Literal["Exists", "Equal"] = Field("Exists", description="what is compared")
    value: str | None = Field(None, description="of the taint; for Equal")
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = Field(
        None, description="of the taint; every one when not given"
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.operator == "Equal" and (self.key is None or self.value is None):
            raise ValueError("operator: 'Equal' needs key and value")
        if self.operator == "Exists" and self.value is not None:
            raise ValueError(f"value: found {self.value!r}, which operator Exists does not compare")
        return self


class Resources(Params):
    """What a container may use and where its pod goes; what is not given is the default's."""

    cpu: _Cpu | None = Field(None, description="limit in cores, such as 4 or 500m")
    memory: _Memory | None = Field(None, description="limit, such as 16Gi")
    cpu_request: _Cpu | None = Field(None, description="reserved; the cluster's rule if not given")
    memory_request: _Memory | None = Field(
        None, description="reserved; the cluster's rule if not given"
    )
    accelerator: str | None = Field(
        None,
        pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?/[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$",
        description="resource name of the device, such as nvidia.com/gpu",
    )
    accelerator_count: int | None = Field(None, ge=1, description="1 when not given")
    node_selector: dict[str, str] | None = Field(
        None, description="label -> value of the Kubernetes nodes to run on"
    )
    tolerations: tuple[Toleration, ...] | None = Field(
        None, description="taints that the pod accepts"
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for what in ("cpu", "memory"):
            limit, request = getattr(self, what), getattr(self, f"{what}_request")
            if limit and request and quantity(request) > quantity(limit):
                raise ValueError(f"{what}_request: found {request!r}, above {what}: {limit!r}")
            if limit and not quantity(limit):
                raise ValueError(f"{what}: found {limit!r}; a limit must be above 0")
        return self

    def over(self, default: "Resources") -> "Resources":
        """These, and what they leave open from `default`.

        A node that states a limit but no request does not inherit one above its limit.
        """
        merged = default.model_dump() | {
            k: v for k, v in self.model_dump().items() if v is not None
        }
        for what in ("cpu", "memory"):
            limit, request = merged[what], merged[f"{what}_request"]
            if limit and request and quantity(request) > quantity(limit):
                merged[f"{what}_request"] = limit
        return Resources(**merged)


class ResourcesSection(Params):
    """Limits of the containers."""

    default: Resources = Resources()
    nodes: dict[_Node, Resources] = Field({}, description="node -> what it has instead")

    @model_validator(mode="after")
    def _counts_have_devices(self) -> Self:
        for node, resources in {"default": self.default, **self.nodes}.items():
            if resources.accelerator_count and not resources.over(self.default).accelerator:
                path = node if node == "default" else f"nodes.{node}"
                raise ValueError(f"{path}.accelerator_count: given without an accelerator")
        return self

    def of(self, node: str) -> Resources:
        """Those of one node."""
        return self.nodes.get(node, Resources()).over(self.default)


class Secret(Params):
    """A Kubernetes secret that becomes environment variables: names only, never values."""

    name: str = Field(pattern=_DNS_NAME, description="of the Kubernetes secret")
    env: dict[
        Annotated[str, Field(pattern=_VARIABLE)],
        Annotated[str, Field(pattern=r"^[-._a-zA-Z0-9]+$")],
    ] = Field(min_length=1, description="environment variable -> key in the secret")


class RetriesSection(Params):
    """How often a node that failed is tried again; the wait doubles from one minute on."""

    default: int = Field(2, ge=0, le=10, description="of every node")
    nodes: dict[_Node, Annotated[int, Field(ge=0, le=10)]] = Field(
        {}, description="node -> its own number"
    )


class KubeflowSection(Params):
    """How `compile`, `submit` and `schedule` put the pipeline on Kubeflow."""

    image: str = Field(min_length=1, description="image with this package, with its tag")
    image_gpu: str | None = Field(
        None, min_length=1, description="of nodes with an accelerator; image when not given"
    )
    pipeline_root: str = Field(
        pattern=REMOTE, description="where artifacts go: gs://, s3:// or minio://"
    )
    serving_dir: str | None = Field(
        None, description="registry of pushed models; output.serving_dir when that is a URI"
    )
    data_path: str | None = Field(
        None,
        description="the data as the containers find them; data.path when that is a URI, and "
        "otherwise data.path is what is looked at when compiling",
    )
    schema_file: str | None = Field(
        None, description="likewise; data.schema_file when that is a URI"
    )
    service_account: str | None = Field(
        None, pattern=_DNS_NAME, description="name of the pods' service account"
    )
    env: dict[Annotated[str, Field(pattern=_VARIABLE)], str] = Field(
        {}, description="environment variable -> value, such as AWS_ENDPOINT_URL; no secrets"
    )
    secrets: tuple[Secret, ...] = Field((), description="environment variables from secrets")
    resources: ResourcesSection = ResourcesSection()
    retries: RetriesSection = RetriesSection()
    cache: bool = Field(
        True,
        description="reuse what a node made of the same inputs; never for nodes that read from "
        "outside the pipeline",
    )
    host: str | None = Field(None, description="address of Kubeflow Pipelines, for submit")
    token_env: str = Field(
        "KFP_TOKEN", pattern=_VARIABLE, description="environment variable with the token"
    )
    ca_env: str = Field(
        "KFP_CA_FILE",
        pattern=_VARIABLE,
        description="environment variable with the path of the certificate authority's file",
    )
    experiment: str | None = Field(None, description="the pipeline's name when not given")
    namespace: str | None = Field(None, description="of a Kubeflow with several users")

    @model_validator(mode="after")
    def _variables_once(self) -> Self:
        for variable in self.env:
            if is_secret(variable):
                raise ValueError(f"env: {variable} looks like a secret; name one under secrets")
        seen = dict.fromkeys(self.env, "env")
        for secret in self.secrets:
            for variable in secret.env:
                if variable in seen:
                    raise ValueError(
                        f"secrets: {variable} is set by {seen[variable]!r} and by {secret.name!r}"
                    )
                seen[variable] = secret.name
        return self

    def retries_of(self, node: str) -> int:
        """How often one node is tried again."""
        return self.retries.nodes.get(node, self.retries.default)

    def image_of(self, node: str) -> str:
        """The image of one node."""
        has_device = self.resources.of(node).accelerator is not None
        return self.image_gpu if has_device and self.image_gpu else self.image

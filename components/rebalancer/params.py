"""What a user may say to Rebalancer."""

import difflib
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator
from typing_extensions import Self

from ..errors import UserError
from ..params import Params
from .outliers_params import OutlierOptions

Method = Literal[
    "none",
    "over",
    "under",
    "both",
    "downsample_upweight",
    "rose",
    "smote",
    "smote_nc",
    "smote_n",
    "borderline_smote_1",
    "borderline_smote_2",
    "adasyn",
    "kmeans_smote",
    "tomek_links",
    "edited_nearest_neighbours",
    "near_miss_1",
    "near_miss_2",
    "near_miss_3",
    "smote_tomek",
    "smote_enn",
    "imblearn",
]
SamplingStrategy = (
    Literal["auto", "minority", "majority", "not majority", "not minority", "all"]
    | float
    | dict[str, int]
    | tuple[str, ...]
)
_STRATEGIES = (
    "auto, minority, majority, not majority, not minority or all; a number above 0 and at most 1, "
    "for two classes; a map of classes to whole numbers of rows; or, for methods that clean, a "
    "list of classes"
)

_SMOTES: tuple[Method, ...] = ("smote", "smote_nc", "smote_n", "smote_tomek", "smote_enn")
_BORDERLINES: tuple[Method, ...] = ("borderline_smote_1", "borderline_smote_2")
_ENN: tuple[Method, ...] = ("edited_nearest_neighbours", "smote_enn")
_NEAR_MISSES: tuple[Method, ...] = ("near_miss_1", "near_miss_2", "near_miss_3")
EXACT_ROWS = 60_000
"""With as many rows, exact search takes about as long as any other and a tenth of the memory."""
RECALL = 0.97
METHODS_OF: dict[str, tuple[Method, ...]] = {
    "under_sampling_strategy": ("both",),
    "k_neighbors": (*_SMOTES, *_BORDERLINES, "adasyn", "kmeans_smote"),
    "m_neighbors": _BORDERLINES,
    "shrinkage": ("rose",),
    "n_clusters": ("kmeans_smote",),
    "cluster_balance_threshold": ("kmeans_smote",),
    "density_exponent": ("kmeans_smote",),
    "n_neighbors": (*_ENN, *_NEAR_MISSES),
    "kind_sel": _ENN,
    "sampler": ("imblearn",),
    "sampler_params": ("imblearn",),
}
"""option -> the methods that read it; options that are not here are read by all."""


class RebalanceOptions(Params):
    """How the train split is rebalanced, in imbalanced-learn's vocabulary."""

    method: Method = Field(
        "none", description="copies, drops, makes or cleans rows; docs/rebalancing.md has each"
    )
    sampling_strategy: SamplingStrategy = Field(
        "auto",
        description="auto, minority, majority, not majority, not minority, all; a float (binary: "
        "rows of "
        "the minority by rows of the majority afterwards); class name -> rows; or, for methods "
        "that clean, a list of classes",
    )
    k_neighbors: int = Field(5, ge=1, description="a synthetic row's neighbour is one of so many")
    under_sampling_strategy: SamplingStrategy = Field(
        "auto", description="`both`: applied after oversampling by sampling_strategy"
    )
    m_neighbors: int = Field(10, ge=1, description="borderline: neighbours that tell the danger")
    shrinkage: float = Field(
        1.0, ge=0, description="rose: bandwidth by the normal reference rule's; 0 copies"
    )
    n_clusters: int | None = Field(
        None,
        ge=1,
        description="kmeans_smote: clusters; when not given the root of half the rows, at most "
        "500, and so few that each can hold 2 (k + 1) rows of the smallest class that grows",
    )
    cluster_balance_threshold: float | None = Field(
        None,
        ge=0,
        le=1,
        description="kmeans_smote: least share of the class in a cluster that grows; when not "
        "given half the class's share of all synthetic rows",
    )
    density_exponent: float | None = Field(
        None,
        ge=0,
        description="kmeans_smote: exponent of a cluster's mean distance in its sparsity, which "
        "grows with it; when not given log(n, 1.6) ** 1.8 * 0.16 of the n rows of the class in it",
    )
    n_neighbors: int = Field(3, ge=1, description="cleaning methods: neighbours that are looked at")
    kind_sel: Literal["all", "mode"] = Field(
        "all", description="edited nearest neighbours: a row stays if all or most agree with it"
    )
    sampler: str | None = Field(
        None,
        description="one of imbalanced-learn's, such as imblearn.under_sampling.OneSidedSelection; "
        "with method imblearn, which may be left out",
    )
    sampler_params: dict[str, Any] = Field({}, description="arguments of `sampler`")
    unsupported: Literal["error", "copy"] = Field(
        "error",
        description="text, sparse or varying-length features of a synthetic row: an error, or "
        "copied from its base row",
    )
    provenance: bool = Field(
        False,
        description="synthetic rows say where they come from, in features _synthetic_base, "
        "_synthetic_neighbor, _synthetic_gap, _synthetic_method",
    )
    outliers: OutlierOptions = Field(
        OutlierOptions(), description="found before anything is counted or sampled"
    )
    max_growth: float = Field(10.0, gt=1, description="most rows afterwards by rows before")
    exact_rows: int = Field(
        EXACT_ROWS,
        ge=1,
        description="up to so many rows their nearest neighbours are found exactly; among more in "
        "cells of a coarse quantizer",
    )
    recall: float = Field(
        RECALL, gt=0, lt=1, description="cells: least share of the true neighbours that is found"
    )
    memory_limit_mb: int = Field(
        1024, ge=1, description="largest feature matrix that is held in one place"
    )

    @model_validator(mode="before")
    @classmethod
    def _sampler_is_a_method(cls, given: Any) -> Any:
        if isinstance(given, dict) and given.get("sampler") and "method" not in given:
            return {**given, "method": "imblearn"}
        return given

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.method == "imblearn" and self.sampler is None:
            raise ValueError("sampler: missing; method imblearn needs the path of a sampler")
        for option in self.model_fields_set:
            methods = METHODS_OF.get(option)
            default = type(self).model_fields[option].default
            if methods and self.method not in methods and getattr(self, option) != default:
                raise ValueError(
                    f"{option}: method {self.method} does not read it; {', '.join(methods)} "
                    f"{'do' if len(methods) > 1 else 'does'}"
                )
        return self

    @property
    def acts(self) -> bool:
        """Whether there is anything to do."""
        return self.method != "none" or self.outliers.method != "none"


class RebalanceParams(RebalanceOptions):
    """Rebalancer's parameters.

    Raises:
      UserError: a value is none that there can be; one line a mistake.
    """

    seed: int = Field(0, ge=0)

    def __init__(self, **given: Any) -> None:
        try:
            super().__init__(**{name: _classes_named(value) for name, value in given.items()})
        except ValidationError as error:
            raise UserError(*_in_words(error, type(self))) from None


def _classes_named(value: Any) -> Any:
    """A strategy with the names of classes that are numbers or truth values."""
    if isinstance(value, Mapping) and any(not isinstance(key, str) for key in value):
        from .labels import names_of

        return dict(zip(names_of(list(value)), value.values(), strict=True))
    return value


def _in_words(error: ValidationError, model: type[RebalanceOptions]) -> list[str]:
    """Each mistake once: of a strategy pydantic tells one for each form that it could have."""
    said: dict[str, str] = {}
    for mistake in error.errors():
        name = str(mistake["loc"][0]) if mistake["loc"] else ""
        path = ".".join(map(str, mistake["loc"]))
        words = mistake["msg"].removeprefix("Value error, ")
        if name.endswith("sampling_strategy"):
            words = f"expected {_STRATEGIES}"
            path = name
        elif mistake["type"] == "extra_forbidden":
            near = difflib.get_close_matches(name, model.model_fields, n=1)
            words = f"unknown parameter; did you mean {near[0]!r}?" if near else "unknown parameter"
        words = words.replace("Input should be", "expected")
        said.setdefault(path, f"{path}: found {mistake['input']!r}; {words}" if path else words)
    return list(said.values())

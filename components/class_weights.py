"""Class weights from class counts.

References: inverse frequency as in scikit-learn's `compute_class_weight("balanced")`; effective
number of samples, Cui et al., "Class-Balanced Loss Based on Effective Number of Samples", CVPR
2019, eq. 2; cost matrix to class weights, Ting, "An Instance-Weighting Method to Induce
Cost-Sensitive Trees", TKDE 2002, eq. 1.
"""

from collections.abc import Collection, Mapping
from typing import Literal

import numpy as np
from pydantic import Field, model_validator
from typing_extensions import Self

from .errors import UserError
from .params import Params

Scheme = Literal["none", "balanced", "inverse_sqrt", "effective_number", "explicit", "cost_matrix"]


class ClassWeightParams(Params):
    """How each class is weighted in the loss."""

    scheme: Scheme = Field(
        "none", description="balanced: inverse frequency; inverse_sqrt: its square root"
    )
    beta: float = Field(0.999, ge=0, lt=1, description="effective_number only")
    explicit: dict[str, float] = Field({}, description="class name -> weight, scheme explicit")
    cost_matrix: dict[str, dict[str, float]] = Field(
        {},
        description="true class -> predicted class -> cost, scheme cost_matrix; what is left out "
        "costs 0",
    )

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.scheme == "explicit" and not self.explicit:
            raise ValueError("scheme explicit needs `explicit`: a weight for each class")
        if self.scheme == "cost_matrix" and not self.cost_matrix:
            raise ValueError("scheme cost_matrix needs `cost_matrix`")
        if any(not 0 < w < np.inf for w in self.explicit.values()):
            raise ValueError("explicit weights must be finite and greater than 0")
        if any(not 0 <= c < np.inf for row in self.cost_matrix.values() for c in row.values()):
            raise ValueError("costs must be finite and not negative")
        if any(row.get(true) for true, row in self.cost_matrix.items()):
            raise ValueError("cost_matrix: a correct decision must cost 0")
        return self


def class_weights(counts: Mapping[str, int], params: ClassWeightParams) -> dict[str, float]:
    """Weight of each class, scaled so that the weights' mean over rows is 1.

    Args:
      counts: class name -> rows the learner sees; every count greater than 0.
      params: the scheme.

    Returns:
      class name -> weight, in the order of `counts`; sum(weight * count) == sum(count).

    Raises:
      UserError: a class without rows; explicit weights or the cost matrix do not name every class
        or name one that does not exist.
    """
    classes = list(counts)
    n = np.array([counts[c] for c in classes], dtype=np.float64)
    if (n <= 0).any():
        raise UserError(f"class weights need at least one row of each class, found {dict(counts)}")
    if params.scheme == "none":
        raw = np.ones_like(n)
    elif params.scheme == "balanced":
        raw = 1 / n
    elif params.scheme == "inverse_sqrt":
        raw = 1 / np.sqrt(n)
    elif params.scheme == "effective_number":
        raw = (1 - params.beta) / (1 - params.beta**n)
    elif params.scheme == "explicit":
        _must_name(classes, params.explicit, "class_weights.explicit")
        raw = np.array([params.explicit[c] for c in classes])
    else:
        _must_name(classes, params.cost_matrix, "class_weights.cost_matrix")
        for true, row in params.cost_matrix.items():
            _must_exist(classes, row, f"class_weights.cost_matrix.{true}")
        raw = np.array([sum(params.cost_matrix[c].values()) for c in classes], dtype=np.float64)
        if (raw <= 0).any():
            raise UserError("class_weights.cost_matrix: each true class needs a cost above 0")
    weights = raw * n.sum() / (raw * n).sum()
    return dict(zip(classes, weights.tolist(), strict=True))


def _must_name(classes: list[str], given: Collection[str], path: str) -> None:
    if missing := [c for c in classes if c not in given]:
        raise UserError(f"{path}: no entry for class {', '.join(missing)}; classes are {classes}")
    _must_exist(classes, given, path)


def _must_exist(classes: list[str], given: Collection[str], path: str) -> None:
    if unknown := [c for c in given if c not in classes]:
        raise UserError(f"{path}: unknown class {', '.join(unknown)}; classes are {classes}")

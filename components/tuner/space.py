"""Which values of a learner's parameters are tried.

Default spaces: of the MLP after Gorishniy et al., "Revisiting Deep Learning Models for Tabular
Data", NeurIPS 2021, appendix; of boosted trees after Grinsztajn, Oyallon and Varoquaux, "Why do
tree-based models still outperform deep learning on tabular data?", NeurIPS 2022, appendix, both
narrowed to what a few dozen trials can search. Importing this costs no keras_tuner.
"""

import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import UserError
from ..trainer.hyperparameters import encoded, overridden, tunable, value_at
from ..trainer.params import TrainOptions


@dataclass(frozen=True)
class Choices:
    """One of some values, each `encoded`."""

    values: tuple[Any, ...]

    def __contains__(self, value: Any) -> bool:
        return value in self.values

    @property
    def described(self) -> list[Any]:
        """As a config has it."""
        return list(self.values)


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both included.

    Attributes:
      log: whether equal ratios, not equal differences, are equally probable.
      step: between neighbours, a factor where `log`; None: any.
      whole: whether they are integers.
    """

    low: float
    high: float
    log: bool = False
    step: float | None = None
    whole: bool = False

    def __contains__(self, value: Any) -> bool:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return number and self.step is None and self.low <= value <= self.high

    @property
    def described(self) -> dict[str, Any]:
        """As a config has it."""
        told = {"min": self.low, "max": self.high, "log": self.log, "step": self.step}
        return {name: value for name, value in told.items() if value not in (None, False)}


Dimension = Choices | Range

DEFAULTS: dict[str, dict[str, Dimension]] = {
    "mlp": {
        "mlp.hidden": Choices(("[64]", "[128, 64]", "[256, 128]", "[256, 128, 64]")),
        "mlp.bins": Choices((0, 16, 48)),
        "mlp.dropout": Range(0.0, 0.6),
        "mlp.learning_rate": Range(3e-4, 5e-3, log=True),
        "mlp.weight_decay": Range(1e-6, 1e-2, log=True),
        "mlp.batch_size": Choices((128, 256, 512)),
    },
    "boosted_trees": {
        "boosted_trees.learning_rate": Range(0.02, 0.3, log=True),
        "boosted_trees.max_depth": Range(2, 10, whole=True),
        "boosted_trees.min_child_weight": Range(0.5, 32.0, log=True),
        "boosted_trees.subsample": Range(0.5, 1.0),
        "boosted_trees.colsample": Range(0.4, 1.0),
        "boosted_trees.l2": Range(0.1, 32.0, log=True),
    },
}
"""learner -> path -> values; another learner is only cross-validated unless the user gives some."""


def space_of(given: Mapping[str, Any], train: TrainOptions) -> dict[str, Dimension]:
    """The learner's default space with what the user gave, by path in sorted order.

    Args:
      given: `tune.space` of the config.
      train: which learner, and its parameters where they are not tried.

    Raises:
      UserError: a path that the learner does not read, choices or a range that are none, or a
        value that is not allowed there.
    """
    known = tunable(train)
    space = dict(DEFAULTS.get(train.learner, {}))
    for path, said in given.items():
        if path not in known:
            near = difflib.get_close_matches(path, known, n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise UserError(
                f"tune.space: found {path!r}; {hint}learner {train.learner} has {', '.join(known)}"
            )
        whole = isinstance(value_at(train, path), int) or "int" in str(known[path].annotation)
        space[path] = _dimension(path, said, whole)
        _must_be_allowed(path, space[path], train)
    return dict(sorted(space.items()))


def baseline(space: Mapping[str, Dimension], train: TrainOptions) -> dict[str, Any]:
    """Path -> the value that the config has, encoded; one of the space where that is outside."""
    values = {}
    for path, dimension in space.items():
        mine = encoded(value_at(train, path))
        if mine not in dimension:
            first = dimension.values[0] if isinstance(dimension, Choices) else dimension.low
            mine = int(first) if isinstance(dimension, Range) and dimension.whole else first
        values[path] = mine
    return values


def _dimension(path: str, said: Any, whole: bool) -> Dimension:
    where = f"tune.space.{path}"
    if isinstance(said, list | tuple):
        if not said:
            raise UserError(f"{where}: found an empty list; expected at least one choice")
        values = [encoded(list(v) if isinstance(v, tuple) else v) for v in said]
        if len({type(v) for v in values}) > 1:  # keras_tuner takes choices of one type
            numbers = all(type(v) in (int, float) for v in values)
            values = [float(v) if numbers else _as_text(v) for v in values]
        if len(set(values)) < len(values):
            raise UserError(f"{where}: found {list(said)}; a choice stands there twice")
        return Choices(tuple(values))
    unknown = sorted(set(said) - {"min", "max", "log", "step"})
    if unknown or not {"min", "max"} <= set(said):
        raise UserError(
            f"{where}: found {dict(said)}; expected a list of choices, or a map of min, max and, "
            "if need be, log and step"
        )
    low, high, step, log = (said.get(key) for key in ("min", "max", "step", "log"))
    for key, value in (("min", low), ("max", high), ("step", step)):
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number and not (key == "step" and value is None):
            raise UserError(f"{where}.{key}: found {value!r}; expected a number")
        if whole and isinstance(value, float) and not value.is_integer():
            raise UserError(f"{where}.{key}: found {value!r}; expected a whole number")
    if not isinstance(log, bool | None):
        raise UserError(f"{where}.log: found {log!r}; expected true or false")
    if low >= high:
        raise UserError(f"{where}: found min {low}, max {high}; expected min below max")
    if log and low <= 0:
        raise UserError(f"{where}.min: found {low}; expected more than 0 where log is true")
    least = 1 if log else 0
    if step is not None and step <= least:
        raise UserError(f"{where}.step: found {step}; expected more than {least}")
    if whole:
        low, high, step = int(low), int(high), None if step is None else int(step)
    return Range(low, high, bool(log), step, whole)


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _must_be_allowed(path: str, dimension: Dimension, train: TrainOptions) -> None:
    """Tries each choice, or both ends of a range, on the learner's parameters."""
    ends = dimension.values if isinstance(dimension, Choices) else (dimension.low, dimension.high)
    for value in ends:
        try:
            changed = overridden(train, {path: value})
        except UserError as error:
            raise UserError(f"tune.space.{path}: {error}") from None
        if changed.balances and not train.balances:
            raise UserError(
                f"tune.space.{path}: found {value!r}, by which training balances the classes "
                f"itself; choose it under train.{path}, not in the space"
            )

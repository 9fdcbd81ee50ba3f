"""Every sampler of imbalanced-learn, by name."""

import difflib
import functools
import importlib
import inspect
import re
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from ... import hashing
from ...errors import UserError
from ..features import Features
from ..params import RebalanceParams
from ..rows import Rows, Split
from ..strategy import over_targets, under_targets
from .base import Outcome, SplitSampler, must_be_numbers, register

_SAMPLER, _ARGUMENTS = "rebalance.sampler", "rebalance.sampler_params"
_STRATEGY = "rebalance.sampling_strategy"
_MODULES = ("imblearn.over_sampling", "imblearn.under_sampling", "imblearn.combine")
_NESTED_PACKAGES = ("imblearn", "sklearn", "xgboost")
_WITHOUT_DISTANCES = ("RandomUnderSampler", "InstanceHardnessThreshold")


@register
class ImblearnSampler(SplitSampler):
    """Runs one of imbalanced-learn's samplers on the whole split in one place.

    It sees float64 values of the examples, numeric features first (a vector as one column for
    each value), then categorical ones as their integers; labels are the classes' numbers in name
    order, since not all samplers take names, and draws are the same as for names. `random_state`,
    of the sampler and of estimators inside it, is the seed modulo 2**32 unless given. It runs on
    one thread, since sums that several threads share differ in their last bits.

    An output row that equals an input row of its class bit for bit is that row; of equal input
    rows the first are taken first. Others are synthetic, and have the mean weight of their class.

    References:
      Lemaître, Nogueira and Aridas, "Imbalanced-learn: A Python Toolbox to Tackle the Curse of
      Imbalanced Datasets in Machine Learning", JMLR 18(17), 2017.
    """

    name = "imblearn"

    def check(self, counts: Mapping[str, int], features: Features, params: RebalanceParams) -> None:
        """Sampler, arguments, strategy, features and memory; a UserError names what is wrong."""
        must_be_numbers(self.name, features)
        if features.copied:
            raise UserError(
                "rebalance.unsupported: 'copy': a row that imbalanced-learn makes has no base row "
                f"to copy {', '.join(features.copied)} from; leave them out in Transform, or use "
                "one of our own methods"
            )
        if not features.values:
            raise UserError("rebalance.method: 'imblearn' needs a feature, found none; use over")
        sampler = built(params, features)
        _must_suit(sampler, features)
        _must_be_valid(sampler)
        names = _in_name_order(counts)
        before = sum(counts.values())
        after = _rows_afterwards(sampler, counts)
        _number_classes(sampler, names)
        if after > params.max_growth * before:
            raise UserError(
                f"rebalance.max_growth: {params.max_growth:g} allows "
                f"{int(params.max_growth * before)} rows, but {params.sampler} would turn {before} "
                f"rows of train into {after}; lower the targets of sampling_strategy, or raise it"
            )
        wide = 8 * (features.values + 1)
        needed = -(-(before + 2 * after) * wide // 2**20)
        if needed > params.memory_limit_mb:
            raise UserError(
                f"rebalance.memory_limit_mb: {params.memory_limit_mb}, but {params.sampler} works "
                f"in one place and needs about {needed} MB for {before} rows of "
                f"{features.values} numbers and a class (8 bytes each), in three copies; "
                "raise the limit, or use a method that is spread out, such as under or smote"
            )

    def outcome(self, split: Split, params: RebalanceParams) -> Outcome:
        """Which rows stay, how often, and which are new.

        Args:
          split: all n rows.
          params: sampler, its arguments, strategy.

        Raises:
          UserError: imbalanced-learn refuses rows or arguments; a class would lose all its rows.
        """
        sampler = built(params, split.features)
        x, codes = matrix(split), split.rows.codes
        present = np.bincount(codes, minlength=len(split.classes)).tolist()
        names = _in_name_order(dict(zip(split.classes, present, strict=True)))
        _number_classes(sampler, names)
        code_of = np.array([split.classes.index(name) for name in names], np.int64)
        number_of = np.zeros(len(split.classes), np.int64)
        number_of[code_of] = np.arange(len(names))
        try:
            with threadpool_limits(1), warnings.catch_warnings():
                # SMOTEN of imbalanced-learn 0.14 calls them; their results are not affected.
                for name in ("distance_matrix", "minkowski_distance", "minkowski_distance_p"):
                    warnings.filterwarnings("ignore", f"`{name}` is deprecated")
                # Said on machines without lscpu, of a number of threads that is 1 here.
                warnings.filterwarnings("ignore", "Could not find the number of physical cores")
                made, labels = sampler.fit_resample(x, number_of[codes])
        except (ValueError, RuntimeError, TypeError) as error:
            raise _from_imblearn(sampler, error, names) from error
        made, made_codes = np.ascontiguousarray(made, np.float64) + 0.0, code_of[labels]
        copies, new = _traced(sampler, x, codes, made, made_codes)
        synthetic = _rows(made[new], made_codes[new], split, params) if new.any() else None
        for name in names:
            code = split.classes.index(name)
            if not (made_codes == code).any():
                raise UserError(
                    f"{_SAMPLER}: {params.sampler} leaves no row of class {name}, which has "
                    f"{present[code]} in train; leave the class out of sampling_strategy, or use "
                    "another sampler"
                )
        return Outcome(copies, synthetic)


def matrix(split: Split) -> np.ndarray:
    """float64 [n, values]: numeric features, then categorical ones; zeros have no sign."""
    columns = [split.rows.columns[name] for name in split.features.names]
    wide = [column.reshape(len(column), -1).astype(np.float64) for column in columns]
    return np.concatenate(wide, axis=1) + 0.0


@functools.cache
def available() -> dict[str, type]:
    """Path -> class of every sampler that the installed imbalanced-learn has."""
    try:
        modules = [importlib.import_module(name) for name in _MODULES]
    except ImportError as error:
        raise UserError(
            "rebalance.method: 'imblearn' needs the package imbalanced-learn, which cannot be "
            f"imported ({error}); pip install imbalanced-learn"
        ) from None
    return {
        f"{module.__name__}.{name}": getattr(module, name)
        for module in modules
        for name in sorted(module.__all__)
        if hasattr(getattr(module, name), "fit_resample")
    }


def built(params: RebalanceParams, features: Features) -> Any:
    """The sampler with its arguments, random states and categorical features set.

    Raises:
      UserError: no such sampler or argument, or `sampling_strategy` given twice.
    """
    path = str(params.sampler)
    cls = _sampler_class(path)
    given = dict(params.sampler_params)
    if params.sampling_strategy != "auto":
        if "sampling_strategy" in given:
            raise UserError(
                f"{_ARGUMENTS}.sampling_strategy: {given['sampling_strategy']!r}: "
                f"rebalance.sampling_strategy says {params.sampling_strategy!r} already; "
                "give one of the two"
            )
        given["sampling_strategy"] = params.sampling_strategy
    if cls.__name__ == "SMOTENC":
        given["categorical_features"] = _columns_of(given.get("categorical_features"), features)
    sampler = _constructed(cls, given, _ARGUMENTS)
    states = {
        name: params.seed % 2**32
        for name, value in sampler.get_params(deep=True).items()
        if name.rpartition("__")[2] == "random_state" and value is None
    }
    return sampler.set_params(**states)


def _sampler_class(path: str) -> type:
    samplers = available()
    if path in samplers:
        return samplers[path]
    names = {name.rpartition(".")[2].lower(): name for name in samplers}
    last = path.rpartition(".")[2]
    if path.startswith("imblearn.ensemble"):
        reason = "it is a classifier that samples for itself, no sampler"
    elif last == "FunctionSampler":
        reason = "it needs a Python function, which a config cannot hold"
    else:
        near = difflib.get_close_matches(last.lower(), names, n=3)
        found = " or ".join(names[name] for name in near)
        reason = "not a sampler of imbalanced-learn" + (f"; did you mean {found}?" if found else "")
    raise UserError(f"{_SAMPLER}: {path!r}: {reason}; allowed: {', '.join(samplers)}")


def _constructed(cls: type, given: Mapping[str, Any], path: str) -> Any:
    """cls(**given), mappings {class: ..., params: ...} replaced by what they name."""
    signature = inspect.signature(cls).parameters.values()
    allowed = [p.name for p in signature if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    unknown = [name for name in given if name not in allowed]
    if unknown and not any(p.kind == p.VAR_KEYWORD for p in signature):
        raise UserError(
            f"{path}.{unknown[0]}: not an argument of {cls.__name__}; allowed: {', '.join(allowed)}"
        )
    arguments = {name: _argument(value, f"{path}.{name}") for name, value in given.items()}
    if "sampling_strategy" in arguments:
        arguments["sampling_strategy"] = _strategy(arguments["sampling_strategy"])
    try:
        return cls(**arguments)
    except (TypeError, ValueError) as error:
        raise UserError(f"{path}: {cls.__name__} says: {_one_line(error)}") from error


def _argument(value: Any, path: str) -> Any:
    if not (isinstance(value, Mapping) and "class" in value):
        return value
    from sklearn.base import BaseEstimator

    if unknown := value.keys() - {"class", "params"}:
        raise UserError(f"{path}.{min(unknown)}: unknown key; allowed: class, params")
    module, _, name = str(value["class"]).rpartition(".")
    if module.partition(".")[0] not in _NESTED_PACKAGES:
        raise UserError(
            f"{path}.class: {value['class']!r}: allowed: the path of a class in "
            f"{', '.join(_NESTED_PACKAGES)}, such as sklearn.ensemble.RandomForestClassifier"
        )
    try:
        cls = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise UserError(f"{path}.class: {value['class']!r}: cannot be imported ({error})") from None
    if not (inspect.isclass(cls) and issubclass(cls, BaseEstimator)):
        raise UserError(f"{path}.class: {value['class']!r}: not an estimator or sampler")
    return _constructed(cls, value.get("params") or {}, f"{path}.params")


def _strategy(strategy: Any) -> Any:
    """As imbalanced-learn takes it; a config may hold class names as numbers."""
    if isinstance(strategy, Mapping):
        return {str(name): rows for name, rows in strategy.items()}
    if isinstance(strategy, (list, tuple)):
        return [str(name) for name in strategy]
    return strategy


def _columns_of(given: Any, features: Features) -> list[Any]:
    """Matrix columns of SMOTENC's `categorical_features`: names, or numbers as they are."""
    path = f"{_ARGUMENTS}.categorical_features"
    starts, end = {}, 0
    for name in features.names:
        starts[name] = end
        end += features.widths.get(name, 1)
    if given is None:
        return [starts[name] for name in features.categorical]
    if not isinstance(given, (list, tuple)):
        raise UserError(f"{path}: {given!r}: allowed: a list of features or of column numbers")
    columns: list[Any] = []
    for value in given:
        if not isinstance(value, str):
            columns.append(value)
        elif value in starts:
            columns.extend(range(starts[value], starts[value] + features.widths.get(value, 1)))
        else:
            raise UserError(f"{path}: no feature {value!r}; there are {', '.join(features.names)}")
    return columns


def _must_suit(sampler: Any, features: Features) -> None:
    """Categories must not be taken for numbers, nor numbers for categories."""
    name = type(sampler).__name__
    numeric, categorical = ", ".join(features.numeric), ", ".join(features.categorical)
    if name == "SMOTENC":
        columns = len(sampler.categorical_features)
        if not columns or columns == features.values:
            found = f"only numeric ones ({numeric})" if not columns else "only categorical ones"
            other = "imblearn.over_sampling.SMOTE" + ("N" if columns else "")
            raise UserError(
                f"{_SAMPLER}: SMOTENC needs features of both sorts, found {found}; use {other}"
            )
    elif name == "SMOTEN":
        if features.numeric:
            raise UserError(
                f"{_SAMPLER}: SMOTEN takes every value for a category, but features {numeric} are "
                "numeric; use imblearn.over_sampling.SMOTENC or SMOTE"
            )
    elif name not in _WITHOUT_DISTANCES and features.categorical:
        copies = name == "RandomOverSampler"
        if not copies or sampler.shrinkage is not None:
            cause = "its shrinkage" if copies else "it"
            raise UserError(
                f"{_SAMPLER}: {name}: {cause} takes the numbers of categorical features "
                f"({categorical}) for distances; use imblearn.over_sampling.SMOTENC, a sampler "
                "that draws at random, or encode them in Transform"
            )


def _must_be_valid(sampler: Any) -> None:
    """Raises UserError where imbalanced-learn would refuse an argument's value."""
    try:
        sampler._validate_params()
    except (ValueError, TypeError) as error:
        raise _from_imblearn(sampler, error, []) from error


def _rows_afterwards(sampler: Any, counts: Mapping[str, int]) -> int:
    """Most rows that there can be afterwards, by the sampling strategy, which is checked."""
    sort = getattr(sampler, "_sampling_type", "")
    strategy = sampler.sampling_strategy
    before = sum(counts.values())
    if sort not in ("over-sampling", "under-sampling"):
        return before
    if strategy == "majority":
        return before
    targets = (over_targets if sort == "over-sampling" else under_targets)(strategy, counts)
    return max(before, sum(targets.values()))


def _in_name_order(counts: Mapping[str, int]) -> list[str]:
    return sorted(name for name, rows in counts.items() if rows)


def _number_classes(sampler: Any, names: list[str]) -> None:
    """Replaces class names by their numbers, in the strategies of the sampler and those in it."""
    number = {name: i for i, name in enumerate(names)}
    changed: dict[str, Any] = {}
    for name, value in sampler.get_params(deep=True).items():
        if name.rpartition("__")[2] != "sampling_strategy":
            continue
        if not isinstance(value, (Mapping, list)):
            continue
        if unknown := [key for key in value if key not in number]:
            inside = f"{_ARGUMENTS}.{name.replace('__', '.params.')}"
            path = inside if "__" in name else _STRATEGY
            raise UserError(
                f"{path}: {value!r}: no rows of class {', '.join(unknown)}; train has "
                f"{', '.join(names)}"
            )
        if isinstance(value, Mapping):
            changed[name] = {number[key]: rows for key, rows in value.items()}
        else:
            changed[name] = [number[key] for key in value]
    sampler.set_params(**changed)


def _traced(
    sampler: Any, x: np.ndarray, codes: np.ndarray, made: np.ndarray, made_codes: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Copies int64 [n] of each input row, and bool [m]: the output rows that are synthetic."""
    n, m = len(x), len(made)
    index = getattr(sampler, "sample_indices_", None)
    if (
        index is not None
        and len(index) == m
        and np.array_equal(codes[index], made_codes)
        and np.array_equal(x[index], made)
    ):
        return np.bincount(index, minlength=n), np.zeros(m, bool)
    if np.array_equal(made_codes[:n], codes) and np.array_equal(made[:n], x):
        return np.ones(n, np.int64), np.arange(m) >= n
    # Equal rows get one group; the i-th output row of a group is its i-th input row.
    keys = np.column_stack([np.append(codes, made_codes), np.concatenate([x, made])])
    keys = np.ascontiguousarray(keys)
    _, group = np.unique(keys.view(f"V{keys.strides[0]}")[:, 0], return_inverse=True)
    sizes = np.bincount(group[:n], minlength=group.max(initial=0) + 1)
    rank = _rank(group[n:])
    new = rank >= sizes[group[n:]]
    by_group = np.argsort(group[:n], kind="stable")
    first = np.cumsum(sizes) - sizes
    copies = np.zeros(n, np.int64)
    copies[by_group[(first[group[n:]] + rank)[~new]]] = 1
    return copies, new


def _rank(group: np.ndarray) -> np.ndarray:
    """int64 [m]: how many elements of the same group int64 [m] come before."""
    order = np.argsort(group, kind="stable")
    sizes = np.bincount(group)
    rank = np.empty(len(group), np.int64)
    rank[order] = np.arange(len(group)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return rank


def _rows(made: np.ndarray, codes: np.ndarray, split: Split, params: RebalanceParams) -> Rows:
    """Synthetic rows from float64 [s, values]; integers are rounded to the nearest."""
    features, columns, at = split.features, {}, 0
    for name in features.names:
        width = features.widths.get(name, 1)
        values = made[:, at : at + width] if name in features.widths else made[:, at]
        columns[name] = _as(values, split.rows.columns[name].dtype)
        at += width
    if features.weight:
        name, _ = features.weight
        weight = split.rows.columns[name].astype(np.float64)
        rows = np.bincount(split.rows.codes, minlength=len(split.classes))
        mean = np.bincount(split.rows.codes, weight, len(split.classes)) / np.maximum(rows, 1)
        columns[name] = _as(mean[codes], split.rows.columns[name].dtype)
    ids = hashing.keyed(np.arange(len(made)), split.seed, f"{params.sampler}/synthetic")
    return Rows(ids.view(np.int64), codes, columns)


def _as(values: np.ndarray, kind: np.dtype) -> np.ndarray:
    return np.asarray((np.rint(values) if kind == np.int64 else values).astype(kind))


def _from_imblearn(sampler: Any, error: Exception, names: list[str]) -> UserError:
    text = _one_line(error)
    named = re.match(r"The '(\w+)' parameter of", text)
    path = f"{_ARGUMENTS}.{named[1]}" if named else _ARGUMENTS
    if named and named[1] == "sampling_strategy":
        path = _STRATEGY
    if names and re.search(r"\bclass\b", text):
        text += f" (classes: {', '.join(f'{i} is {name}' for i, name in enumerate(names))})"
    return UserError(f"{path}: {type(sampler).__name__} says: {text}")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__

"""Class counts that `sampling_strategy` asks for, exactly as imbalanced-learn counts.

Reference: imbalanced-learn 0.14, `imblearn.utils.check_sampling_strategy`. Where two classes tie
for largest or smallest, the first in name order counts as it, as there. One thing is refused that
imbalanced-learn allows: removing a class altogether, since no prior correction brings it back.
"""

from collections.abc import Mapping

from ..errors import UserError
from .params import SamplingStrategy

OVER_PATH = "rebalance.sampling_strategy"
UNDER_PATH = "rebalance.under_sampling_strategy"

_OVER_ALLOWED = (
    "auto, minority, not majority, not minority, all, a float in (0, 1] for two classes, "
    "or class name: rows"
)
_UNDER_ALLOWED = (
    "auto, majority, not majority, not minority, all, a float in (0, 1] for two classes, or class "
    "name: rows"
)
_CLEAN_ALLOWED = "auto, majority, not majority, not minority, all, or a list of classes"


def over_targets(
    strategy: SamplingStrategy, counts: Mapping[str, int], path: str = OVER_PATH
) -> dict[str, int]:
    """Rows of each class after oversampling; never fewer than before.

    Args:
      strategy: for a float, rows of the minority by rows of the majority afterwards.
      counts: class name -> rows; classes without rows are left alone.
      path: where `strategy` stands in the config.

    Raises:
      UserError: the strategy does not fit the counts; names path, value and what is allowed.
    """
    present = _present(counts, strategy, path)
    if isinstance(strategy, tuple):
        raise _no_list(strategy, path, _OVER_ALLOWED)
    largest, smallest = max(present, key=present.__getitem__), min(present, key=present.__getitem__)
    top = present[largest]
    if isinstance(strategy, Mapping):
        chosen = _checked(strategy, present, path, _OVER_ALLOWED)
        for name, rows in chosen.items():
            if rows < present[name]:
                raise _error(
                    path,
                    strategy,
                    f"oversampling cannot take class {name} from {present[name]} to {rows} rows",
                    f"at least {present[name]} for {name}",
                )
    elif strategy == "majority":
        raise _error(path, strategy, "oversampling leaves the majority alone", _OVER_ALLOWED)
    elif isinstance(strategy, str):
        targeted = {
            "auto": present.keys() - {largest},
            "not majority": present.keys() - {largest},
            "not minority": present.keys() - {smallest},
            "minority": {smallest},
            "all": present.keys(),
        }
        chosen = dict.fromkeys(targeted[strategy], top)
    else:
        _must_be_ratio(strategy, present, path, _OVER_ALLOWED)
        chosen = {
            name: rows + int(top * strategy - rows)
            for name, rows in present.items()
            if name != largest
        }
        for name, rows in chosen.items():
            if rows <= present[name]:
                ratio = present[name] / top
                raise _error(
                    path,
                    strategy,
                    f"class {name} already has {present[name]} rows to {top} of {largest}",
                    f"a ratio that adds rows, above {ratio:.6g} and at most 1"
                    if ratio < 1
                    else "auto, as the classes are balanced already",
                )
    return {name: chosen.get(name, rows) for name, rows in counts.items()}


def under_targets(
    strategy: SamplingStrategy, counts: Mapping[str, int], path: str = OVER_PATH
) -> dict[str, int]:
    """Rows of each class after undersampling; never more than before, never 0.

    Args:
      strategy: for a float, rows of the minority by rows of the majority afterwards.
      counts: class name -> rows; classes without rows are left alone.
      path: where `strategy` stands in the config.

    Raises:
      UserError: the strategy does not fit the counts; names path, value and what is allowed.
    """
    present = _present(counts, strategy, path)
    if isinstance(strategy, tuple):
        raise _no_list(strategy, path, _UNDER_ALLOWED)
    largest, smallest = max(present, key=present.__getitem__), min(present, key=present.__getitem__)
    low = present[smallest]
    if isinstance(strategy, Mapping):
        chosen = _checked(strategy, present, path, _UNDER_ALLOWED)
        for name, rows in chosen.items():
            if not 1 <= rows <= present[name]:
                raise _error(
                    path,
                    strategy,
                    f"undersampling cannot take class {name} from {present[name]} to {rows} rows",
                    f"1 to {present[name]} for {name}",
                )
    elif strategy == "minority":
        raise _error(path, strategy, "undersampling leaves the minority alone", _UNDER_ALLOWED)
    elif isinstance(strategy, str):
        targeted = {
            "auto": present.keys() - {smallest},
            "majority": {largest},
            "not minority": present.keys() - {smallest},
            "not majority": present.keys() - {largest},
            "all": present.keys(),
        }
        chosen = dict.fromkeys(targeted[strategy], low)
    else:
        _must_be_ratio(strategy, present, path, _UNDER_ALLOWED)
        # Past the rows there are it no longer matters by how much.
        chosen = {
            name: int(min(low / strategy, rows + 1))
            for name, rows in present.items()
            if name != smallest
        }
        for name, rows in chosen.items():
            if rows > present[name]:
                raise _error(
                    path,
                    strategy,
                    f"class {name} has only {present[name]} rows to {low} of {smallest}",
                    f"a ratio that removes rows, at least {low / present[name]:.6g}",
                )
    return {name: chosen.get(name, rows) for name, rows in counts.items()}


def cleaned_classes(
    strategy: SamplingStrategy, counts: Mapping[str, int], path: str = OVER_PATH
) -> tuple[str, ...]:
    """Names of the classes that a cleaning method may remove rows of, in name order.

    Args:
      strategy: a word or a list of classes; rows cannot be asked for, the data decides.
      counts: class name -> rows; classes without rows are left alone.
      path: where `strategy` stands in the config.

    Raises:
      UserError: the strategy does not fit the counts; names path, value and what is allowed.
    """
    present = _present(counts, strategy, path)
    largest, smallest = max(present, key=present.__getitem__), min(present, key=present.__getitem__)
    if isinstance(strategy, tuple | list):
        if not strategy:
            raise _error(path, strategy, "the list names no class", _CLEAN_ALLOWED)
        if unknown := [name for name in strategy if name not in present]:
            raise _error(path, strategy, _no_rows(unknown, present), _CLEAN_ALLOWED)
        return tuple(sorted(set(strategy)))
    if isinstance(strategy, Mapping):
        reason = "cleaning takes no rows by class, the neighbours decide"
        raise _error(path, strategy, reason, _CLEAN_ALLOWED)
    if not isinstance(strategy, str):
        raise _error(
            path, strategy, "cleaning takes no ratio, the neighbours decide", _CLEAN_ALLOWED
        )
    if strategy == "minority":
        raise _error(path, strategy, "cleaning leaves the minority alone", _CLEAN_ALLOWED)
    if strategy == "majority":
        return (largest,)
    spared = {"not majority": {largest}, "all": set()}.get(strategy, {smallest})
    return tuple(name for name in present if name not in spared)


def _present(counts: Mapping[str, int], strategy: SamplingStrategy, path: str) -> dict[str, int]:
    """The classes with rows, in name order."""
    present = {name: counts[name] for name in sorted(counts) if counts[name] > 0}
    if len(present) < 2:
        found = f"train has rows of {len(present)} class ({', '.join(present) or 'none'})"
        raise _error(path, strategy, found, "data with at least two classes")
    return present


def _checked(
    wanted: Mapping[str, int], present: Mapping[str, int], path: str, allowed: str
) -> dict[str, int]:
    if unknown := [name for name in wanted if name not in present]:
        raise _error(path, wanted, _no_rows(unknown, present), allowed)
    if negative := [name for name, rows in wanted.items() if rows < 0]:
        raise _error(path, wanted, f"negative rows for class {', '.join(negative)}", allowed)
    return dict(wanted)


def _no_rows(unknown: list[str], present: Mapping[str, int]) -> str:
    return f"no rows of class {', '.join(unknown)}; train has {', '.join(present)}"


def _no_list(strategy: tuple[str, ...], path: str, allowed: str) -> UserError:
    reason = "a list of classes is for methods that clean; this one needs rows"
    return _error(path, list(strategy), reason, allowed)


def _must_be_ratio(ratio: float, present: Mapping[str, int], path: str, allowed: str) -> None:
    if not 0 < ratio <= 1:
        raise _error(path, ratio, "a float must be above 0 and at most 1", allowed)
    if len(present) != 2:
        reason = f"a float needs two classes, train has {len(present)}"
        raise _error(path, ratio, reason, f"class name: rows, for any of {', '.join(present)}")


def _error(path: str, value: object, reason: str, allowed: str) -> UserError:
    return UserError(f"{path}: {value!r}: {reason}; allowed: {allowed}")

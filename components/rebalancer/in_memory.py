"""Rebalancing of a table in memory, for notebooks: the rows that Rebalancer gives."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa
from scipy import sparse

from .. import hashing
from ..errors import UserError
from . import selection, sketch
from .content import identities, plain
from .copies import copies_of
from .features import Features, FeatureType
from .labels import as_given, labels_of, taken
from .outliers import findings, fit_rows, moved_rows, samples_of
from .params import RebalanceParams
from .plan import decide, decides, outcome_tally, plan, planned_tally, prepare
from .report import OutlierFindings, Rebalancing
from .rows import Origin, Rows, Split
from .samplers import SAMPLERS, SyntheticSampler
from .synthesis import synthesise

_CATEGORIES: Final = {
    "string",
    "bytes",
    "boolean",
    "categorical",
    "mixed",
    "mixed-integer",
    "empty",
}
"""What pandas.api.types.infer_dtype says of columns that are categorical by themselves."""
_MOST: Final = 2**63 - 1


@dataclass(frozen=True)
class Resampled:
    """A rebalanced table.

    Attributes:
      x: as was given, [m, d]: rows that were kept or copied in the order they had, then synthetic.
      y: [m], their classes, as was given; of a list an array.
      index: int64 [m], row of the input; -1 for synthetic rows.
      origin: of the synthetic rows, columns base and neighbor (rows of the input), gap, method.
      weights: float64 [m], what each row counts for: 1 but for downsample_upweight.
      report: as the RebalanceReport has it.
    """

    x: Any
    y: Any
    index: np.ndarray
    origin: pd.DataFrame
    weights: np.ndarray
    report: Rebalancing


def resample(
    x: Any,
    y: Any,
    params: RebalanceParams,
    categorical: Sequence[str | int] = (),
) -> Resampled:
    """Rebalances (x, y).

    The same rows as of Rebalancer, given examples with the same feature names (of an array: x0, x1,
    ...) and values, without `_row_id`. Floats that float32 would change stay float64, as no example
    can hold them.

    Example:
      ```
      done = resample(frame, frame.pop("fraud"), RebalanceParams(method="smote", seed=7))
      model.fit(done.x, done.y)
      ```

    Args:
      x: n rows: a DataFrame, an array or a sparse matrix [n, d]. Methods that copy or drop take
        columns of any sort, with missing values; the others need numbers, and columns of text,
        categories or truth values are categorical. They make a sparse matrix dense meanwhile, and
        refuse what neither int64 nor float64 holds, such as times, unless `categorical` names it.
      y: n classes: a Series, a frame of one column, a categorical, an array [n] or [n, 1], a list.
        Integers and whole floats are called as '3', truth values 'true' and 'false', as in the
        pipeline. Rows of pandas keep their index unless there are synthetic rows, which have none.
      params: method, strategies, limits, seed.
      categorical: columns of x (names, or indices of an array) that are categorical though they
        are numbers.

    Raises:
      UserError: table, strategy or method do not fit; says which column or parameter.
    """
    given = x if isinstance(x, pd.DataFrame) or sparse.issparse(x) else _array(x)
    if given.ndim != 2:
        raise UserError(f"x has {given.ndim} dimensions; expected rows and columns")
    found_labels = labels_of(y)
    labels, classes = found_labels.codes, found_labels.classes
    if given.shape[0] != len(labels):
        raise UserError(f"x has {given.shape[0]} rows, y has {len(labels)}")
    names = _names(given)
    chosen = _chosen(categorical, names, by_position=not isinstance(x, pd.DataFrame))
    found, kept = None, np.arange(len(labels))
    kinds: dict[str, np.ndarray | None] = {}
    features = Features({})
    if SAMPLERS[params.method].reads == "counts" and params.outliers.method == "none":
        table = given
        rows = Rows(_of_copies(identities(given), labels), labels, {})
    else:
        table = _table(given, names, params)
        columns, kinds = _columns(table, chosen)
        features = _features(columns, kinds)
        rows = Rows(_ids(columns, labels), labels, columns)
    if params.outliers.method != "none":
        _must_be_finite(rows, f"outliers.method {params.outliers.method}")
        rows, kept, found = _screened(rows, classes, features, params)
        if params.outliers.action == "clip":
            table = given = _restored(rows.columns, table, kinds)
    ids = rows.ids

    counted = sketch.empty(len(classes))
    words = selection.hashes(ids, params.seed)
    counted = sketch.add(counted, rows.codes, words, [])
    made = plan(counted, classes, features, params)
    tally = planned_tally(made, classes)
    sampler = SAMPLERS[params.method]
    new: list[tuple[Rows, Origin | None]] = []
    copies = np.ones(len(ids), np.int64)
    if sampler.reads == "counts":
        copies, edge = made.copies.of(rows.codes, words)
        for code in np.unique(rows.codes[edge]).tolist():
            group = np.flatnonzero(edge & (rows.codes == code))
            within = made.copies.within[code]
            copies[group[np.argsort(words[group], kind="stable")[:within]]] += 1
    seen = rows
    if isinstance(sampler, SyntheticSampler) and sampler.reads == "classes":
        seen = rows.take(np.isin(rows.codes, list(made.new)))
    if sampler.reads != "counts":
        _must_be_finite(seen, f"method {params.method}")
    if decides(sampler):
        order = rows.canonical_order()
        there, outcome = decide(rows.take(order), made, classes, features, params)
        tally = outcome_tally(there, outcome, made, classes)
        copies[order] = outcome.copies
        if outcome.synthetic is not None:
            new = [(outcome.synthetic, outcome.origin)]
    elif isinstance(sampler, SyntheticSampler) and made.new:
        ready = prepare(seen, made, classes, features, params)
        tally = replace(tally, recall={classes[code]: r for code, r in ready.recall.items()})
        new = [
            synthesise(sampler, ready.split, source, 0, int(source.uses.sum()))
            for source in ready.sources
        ]
    if found is not None:
        tally = tally.screened(found)
    index = np.repeat(np.arange(len(ids)), copies)
    synthetic = [_restored(made_up.columns, table, kinds) for made_up, _ in new]
    codes = np.concatenate([rows.codes[index], *(made_up.codes for made_up, _ in new)])
    # A synthetic row's class is that of any row of the class.
    like = np.append(kept[index], found_labels.first[codes[len(index) :]])
    return Resampled(
        x=_joined(given, kept[index], synthetic, x),
        y=taken(y, like, relabel=bool(synthetic)),
        index=np.append(kept[index], np.full(len(codes) - len(index), -1)),
        origin=_origins([origin for _, origin in new if origin is not None], ids, kept),
        weights=made.weights[codes],
        report=tally.report(params, "computed", "counted"),
    )


def numeric_of(table: pd.DataFrame) -> np.ndarray | None:
    """float32 or float64 [n, d], the rows between which methods measure distances in `resample`.

    Args:
      table: n rows, its columns named by text.

    Returns:
      None where a column is categorical.

    Raises:
      UserError: a column is neither numeric nor categorical.
    """
    columns, kinds = _columns(table, set())
    none = np.zeros(len(table), np.int64)
    rows = Rows(none, none, columns)
    return None if kinds else Split(rows, (), _features(columns, kinds), 0).numeric


def _array(x: Any) -> np.ndarray:
    if np.ma.is_masked(x):
        raise UserError("x is an array with masked values; fill them, as by x.filled(np.nan)")
    try:
        return np.asarray(x)
    except ValueError as error:
        raise UserError(f"x is no table: {error}") from None


def _names(given: Any) -> list[Any]:
    """Names of the columns; of an array x0, x1, ..."""
    if not isinstance(given, pd.DataFrame):
        return [f"x{i}" for i in range(given.shape[1])]
    names = [str(name) for name in given.columns]
    if len(set(names)) < len(names):
        twice = sorted(name for name, times in Counter(names).items() if times > 1)
        raise UserError(f"x: columns {', '.join(map(repr, twice))} stand twice; rename one of them")
    return list(given.columns)


def _table(given: Any, names: list[Any], params: RebalanceParams) -> pd.DataFrame:
    """All values in one place, as a method needs them that looks at them."""
    if not names:
        raise UserError(
            f"x has no columns, but method {params.method} with outliers.method "
            f"{params.outliers.method} looks at values; use over or under, without outliers"
        )
    if isinstance(given, pd.DataFrame):
        return given
    if sparse.issparse(given):
        needed = given.shape[0] * given.shape[1] * given.dtype.itemsize / 2**20
        if needed > params.memory_limit_mb:
            raise UserError(
                f"x is a sparse matrix of {given.shape[0]} x {given.shape[1]}, and method "
                f"{params.method} makes it dense, which takes {needed:.0f} MB, but memory_limit_mb "
                f"is {params.memory_limit_mb}; reduce the columns first, as by sklearn's "
                "TruncatedSVD, raise memory_limit_mb, or use over or under, which keep it sparse"
            )
        given = given.toarray()
    return pd.DataFrame(given, columns=names)


def _joined(given: Any, index: np.ndarray, synthetic: list[pd.DataFrame], x: Any) -> Any:
    """Rows of the input, then the synthetic ones, in the form of `x`.

    Args:
      given: DataFrame, array or sparse matrix, with the values that the rows of x have now.
      index: int64 [m], its rows.
      synthetic: frames with its columns.
      x: what the user gave.
    """
    if isinstance(given, pd.DataFrame):
        whole = given.iloc[index]
        if synthetic:
            whole = pd.concat([whole, *synthetic], ignore_index=True)
        widened = given.dtypes[whole.dtypes != given.dtypes]  # as pandas does sparse columns
        if len(widened):
            whole = whole.astype(widened)
        if isinstance(x, pd.DataFrame):
            return whole
        whole = whole.to_numpy(x.dtype if sparse.issparse(x) else np.asarray(x).dtype)
        return type(x)(whole) if sparse.issparse(x) else whole
    parts = [part.to_numpy(given.dtype) for part in synthetic]
    if not sparse.issparse(given):
        return np.concatenate([given[index], *parts])
    form = type(given)
    return form(sparse.vstack([given.tocsr()[index], *map(sparse.csr_matrix, parts)], given.format))


def _chosen(categorical: Sequence[str | int], names: list[Any], by_position: bool) -> set[object]:
    chosen: set[object] = set()
    for column in categorical:
        if by_position and isinstance(column, int | np.integer):
            if not -len(names) <= column < len(names):
                raise UserError(f"categorical: no column {column}; x has {len(names)}")
            column = names[column]
        if column not in names:
            raise UserError(f"categorical: no column {column!r}")
        chosen.add(column)
    return chosen


def _columns(
    table: pd.DataFrame, categorical: set[object]
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray | None]]:
    """Columns as examples hold them; of categorical ones also the first row of each category.

    Integers that are categories are themselves, so they have None.
    """
    columns: dict[str, np.ndarray] = {}
    kinds: dict[str, np.ndarray | None] = {}
    for name, column in table.infer_objects().items():
        column = plain(column)
        said, kind = str(name), column.dtype.kind
        if name in categorical or kind not in "iufc":
            if name not in categorical and pd.api.types.infer_dtype(column) not in _CATEGORIES:
                raise _unfit(said, table[name], column.notna())
            if column.isna().any():
                raise UserError(f"column {said!r}: categories are missing in some rows; fill them")
            if kind in "iu" and not _beyond(column).any():
                columns[said], kinds[said] = column.to_numpy(np.int64), None
            else:
                columns[said], kinds[said] = _factorized(said, column)
        elif kind in "iu":
            if column.isna().any():
                raise UserError(f"column {said!r}: integers are missing in some rows; fill them")
            if (beyond := _beyond(column)).any():
                raise _unfit(said, table[name], beyond)
            columns[said] = column.to_numpy(np.int64)
        else:
            columns[said] = _floats(said, table[name], column)
    return columns, kinds


def _beyond(column: pd.Series) -> np.ndarray:
    """bool [n]: integers that int64 does not hold."""
    return np.asarray(column > _MOST, bool)


def _factorized(name: str, column: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """int64 [n], codes by the order of the values, and the first row of each."""
    try:
        codes, _ = pd.factorize(column, sort=True)
    except TypeError:
        raise UserError(
            f"column {name!r}: its values are no categories, they cannot be "
            "hashed or sorted; make them text or numbers, leave the column out, or use over or "
            "under"
        ) from None
    return codes.astype(np.int64), np.unique(codes, return_index=True)[1]


def _floats(name: str, given: pd.Series, column: pd.Series) -> np.ndarray:
    """`given` as `column` has it, float32 or float64 [n], which hold what is there."""
    if column.dtype.kind == "c":
        raise _unfit(name, given, column.notna())
    with np.errstate(over="ignore"):
        values = column.to_numpy(np.float64, na_value=np.nan)
    if given.dtype.kind == "O" or given.dtype == np.longdouble:
        changed = given.notna() & (given != values)
        if changed.any():
            raise _unfit(name, given, changed)
    return _narrowed(values)


def _unfit(name: str, column: pd.Series, rows: Any) -> UserError:
    """An error about the first of `rows`, bool [n]."""
    row = int(np.argmax(np.asarray(rows)))
    return UserError(
        f"column {name!r}: {as_given(column.iloc[row])} (row {row}) is neither a number that int64 "
        "or float64 holds nor a category by itself; make the column int64 or float64, say that it "
        "is categorical, leave it out, or use over or under"
    )


def _narrowed(values: np.ndarray) -> np.ndarray:
    """float64 [n] as examples hold it, float32, if that changes no value."""
    with np.errstate(over="ignore"):
        narrow = values.astype(np.float32)
    return narrow if np.array_equal(narrow, values, equal_nan=True) else values


def _features(columns: dict[str, np.ndarray], kinds: dict[str, np.ndarray | None]) -> Features:
    numeric: dict[str, FeatureType] = {
        name: "int" if column.dtype == np.int64 else "float"
        for name, column in sorted(columns.items())
        if name not in kinds
    }
    return Features(numeric, tuple(sorted(kinds)))


def _must_be_finite(rows: Rows, what: str) -> None:
    for name, column in rows.columns.items():
        if not (np.abs(column) <= np.finfo(np.float32).max).all():
            raise UserError(
                f"column {name!r} is missing, NaN or infinite in some rows (3.4e38 is the largest "
                f"number), but {what} needs a number in every row; fill it, or use over or under"
            )


def _restored(
    columns: dict[str, np.ndarray], table: pd.DataFrame, kinds: dict[str, np.ndarray | None]
) -> pd.DataFrame:
    """Columns of examples as a table with the given one's columns and types."""
    restored = {}
    for name, dtype in table.dtypes.items():
        column, first = columns[str(name)], kinds.get(str(name))
        if first is not None:
            restored[name] = table[name].iloc[first[column]].reset_index(drop=True)
            continue
        numbers = getattr(dtype, "numpy_dtype", getattr(dtype, "subtype", dtype))
        if numbers.kind in "iu":
            limits = np.iinfo(numbers)
            # With more than _MOST np.clip would give float64.
            column = np.clip(column, limits.min, min(limits.max, _MOST)).astype(numbers)
        elif numbers.kind == "f":
            column = np.clip(column, np.finfo(numbers).min, np.finfo(numbers).max).astype(numbers)
        restored[name] = pd.Series(column).astype(dtype)
    return pd.DataFrame(restored, columns=table.columns)


def _ids(columns: dict[str, np.ndarray], codes: np.ndarray) -> np.ndarray:
    """int64 [n], of each row among equal ones, which are numbered by class."""
    table = pa.Table.from_pydict({name: pa.array(column) for name, column in columns.items()})
    return _of_copies(hashing.row_ids(table), codes)


def _of_copies(ids: np.ndarray, codes: np.ndarray) -> np.ndarray:
    return hashing.copy_ids(ids, copies_of(ids, codes))


def _screened(
    rows: Rows, classes: tuple[str, ...], features: Features, params: RebalanceParams
) -> tuple[Rows, np.ndarray, OutlierFindings]:
    """Rows after the outliers' action, which of the given rows they are, and what was found."""
    model = fit_rows(samples_of([rows], params), classes, features, params)
    kept, touched = np.arange(len(rows.ids)), np.empty(0, np.int64)
    screened = rows
    if params.outliers.action == "drop":
        flags = model.flag_rows(rows, features)
        kept, touched = np.flatnonzero(~flags), np.flatnonzero(flags)
        screened = rows.take(kept)
    elif params.outliers.action == "clip":
        screened = model.clip_rows(rows, features)
        touched = moved_rows(rows, screened)
    counts = np.bincount(rows.codes[touched], minlength=len(classes))
    return screened, kept, findings(model, [counts], classes)


def _origins(origins: list[Origin], ids: np.ndarray, kept: np.ndarray) -> pd.DataFrame:
    """With rows of the input in place of identities."""
    known, first = np.unique(ids, return_index=True)
    first = kept[first]
    parts = [
        pd.DataFrame(
            {
                "base": first[np.searchsorted(known, origin.base)],
                "neighbor": first[np.searchsorted(known, origin.neighbor)],
                "gap": origin.gap,
                "method": origin.method,
            }
        )
        for origin in origins
    ]
    return (
        pd.concat(parts, ignore_index=True)
        if parts
        else pd.DataFrame(columns=["base", "neighbor", "gap", "method"])
    )

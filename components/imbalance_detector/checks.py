"""The checks on class counts, labels, splits and anomalies, each in words."""

import math
from collections.abc import Mapping, Sequence
from typing import Literal, get_args

from tensorflow_metadata.proto.v0 import schema_pb2, statistics_pb2

from ..names import SPLITS, TRAIN
from .counts import LabelCounts, Statistics, find_feature, has_values, overall
from .params import DetectorParams, Severity
from .report import Check, Imbalance

_CHANCE = 4
"""A shift between splits is worth a word from this multiple of what chance alone makes."""
_MINORITY_MOVE = 0.1
"""... and from this part of the rows outside the largest class."""
_SHARE_OFF, _ROWS_OFF = 0.02, 2
"""A split may miss its share of a class by this part of its rows, or by so many rows."""
_MOST_LISTED = 10
"""A message names at most so many classes, columns or anomalies."""
_TYPES = {"INT": "whole numbers", "FLOAT": "decimal numbers", "BYTES": "text"}
_UNREAD = (
    schema_pb2.DEPRECATED,
    schema_pb2.DISABLED,
    schema_pb2.PLANNED,
    schema_pb2.ALPHA,
    schema_pb2.DEBUG_ONLY,
    schema_pb2.VALIDATION_DERIVED,
)
"""Stages of features that Transform leaves out."""


def run_checks(
    report: Imbalance,
    labels: Mapping[str, LabelCounts],
    schema: schema_pb2.Schema,
    params: DetectorParams,
) -> list[Check]:
    """All checks; without exact counts only those that need none.

    Args:
      report: what was counted; its `checks` and `recommendation` are not read.
      labels: split -> the label column.
      schema: the data's schema.
      params: bounds, and what is to fail.
    """
    checks = [_label_counts(labels), _unlabelled(report, params)]
    if checks[0].level == "ok":
        checks += _count_checks(report, schema, params)
    if report.anomalies:
        checks.append(_anomalies(report, params))
    return checks


def required_values(
    statistics: Mapping[str, Statistics], schema: schema_pb2.Schema, schema_file: str
) -> Check:
    """Whether each row has the values that a curated schema requires of it.

    A column with a `shape` is dense for all that reads it, so Transform fails on a row without it.

    Args:
      statistics: split -> its statistics.
      schema: the curated schema.
      schema_file: where it is from.
    """
    groups = schema.tensor_representation_group.values()
    own = {r.dense_tensor.column_name for g in groups for r in g.tensor_representation.values()}
    found = []
    for feature in schema.feature:
        if not _is_read(feature) or not feature.HasField("shape") or feature.name in own:
            continue
        values = math.prod(dim.size for dim in feature.shape.dim)
        for split, of_split in statistics.items():
            dataset = overall(of_split)
            column = find_feature(dataset, feature.name)
            common = (
                getattr(column, column.WhichOneof("stats") or "").common_stats if column else None
            )
            some = common.num_non_missing if common else 0
            if lacking := dataset.num_examples - some:
                rows = "row" if lacking == 1 else "rows"
                found.append(f"column {feature.name!r} has none in {lacking:,} {rows} of {split}")
            elif common and some and not common.min_num_values == common.max_num_values == values:
                most = f"{common.min_num_values} to {common.max_num_values}"
                found.append(f"column {feature.name!r} has {most} values a row in {split}")
    message = (
        f"{schema_file} requires values in every row, but {_listed(found)}; fill them in, or take "
        "the columns' shape out of the schema, which makes them optional"
        if found
        else f"every row has the values that {schema_file} requires"
    )
    return _check("required_values", bool(found), message)


def column_types(
    statistics: Mapping[str, Statistics], schema: schema_pb2.Schema, schema_file: str
) -> Check:
    """Whether the values have the types that a curated schema says; Transform fails on others.

    Args:
      statistics: split -> its statistics.
      schema: the curated schema.
      schema_file: where it is from.
    """
    found = []
    for feature in filter(_is_read, schema.feature):
        said = schema_pb2.FeatureType.Name(feature.type)
        held: dict[str, list[str]] = {}
        for split, of_split in statistics.items():
            column = find_feature(overall(of_split), feature.name)
            if column and has_values(column):
                kind = statistics_pb2.FeatureNameStatistics.Type.Name(column.type)
                held.setdefault("BYTES" if kind == "STRING" else kind, []).append(split)
        for kind, splits in held.items():
            if kind != said:
                what = f"{kind} ({_TYPES.get(kind, 'no feature')}) in {', '.join(splits)}"
                found.append(f"column {feature.name!r} is {said}, and the data have {what}")
        if not held and said not in _TYPES:
            found.append(f"column {feature.name!r} is {said}, and none of {', '.join(_TYPES)}")
    message = (
        f"{schema_file} says other types than the data have: {_listed(found)}; set the columns' "
        "type in the schema to what the data have, or write the data in the schema's types"
        if found
        else f"every column has the type that {schema_file} says"
    )
    return _check("column_types", bool(found), message)


def _is_read(feature: schema_pb2.Feature) -> bool:
    return not feature.deprecated and feature.lifecycle_stage not in _UNREAD


def percent(share: float) -> str:
    """A share for people, such as '11.7 %'."""
    return f"{100 * share:.3g} %"


def shares(counts: Mapping[str, int]) -> dict[str, float]:
    """class -> share of the rows; all 0 where there are no rows."""
    total = sum(counts.values())
    return {c: n / total if total else 0.0 for c, n in counts.items()}


def _check(name: str, bad: bool, message: str, *, fatal: bool = True) -> Check:
    level: Literal["ok", "warn", "fail"] = "ok" if not bad else "fail" if fatal else "warn"
    return Check(name=name, level=level, message=message)


def _count_checks(
    report: Imbalance, schema: schema_pb2.Schema, params: DetectorParams
) -> list[Check]:
    """The checks that mean something only where the counts are exact."""
    checks = [
        _one_class(report),
        _class_missing_in_split(report, params),
        _class_smaller_than(report, params),
        _label_outside_schema(report, schema, params),
        _severity(report, params),
        _imbalance_ratio(report, params),
        _prior_shift(report, params),
        _too_few(
            "k_neighbors",
            report,
            params.k_neighbors + 1,
            f"{params.k_neighbors} neighbours of one's own class (SMOTE)",
        ),
        _too_few("folds", report, params.folds, f"{params.folds} folds with the class in each"),
    ]
    if params.split_shares:
        checks.append(_split_shares(report, params.split_shares, params.fail_on.split_shares))
    if params.slices:
        checks.append(_slices(report, params))
    return checks


def _label_counts(labels: Mapping[str, LabelCounts]) -> Check:
    problems = [f"{split}: {found.problem}" for split, found in labels.items() if found.problem]
    good = "class counts sum to the labelled rows of every split"
    return _check("label_counts", bool(problems), ", ".join(problems) or good)


def _one_class(report: Imbalance) -> Check:
    present = [c for c, n in report.counts[TRAIN].items() if n]
    if len(present) > 1:
        return _check("one_class", False, f"train has {len(present)} classes")
    found = f"class {present[0]!r} only" if present else "no labelled row"
    return _check("one_class", True, f"train has {found} in {report.label!r}, expected two or more")


def _unlabelled(report: Imbalance, params: DetectorParams) -> Check:
    found = {split: n for split, n in report.unlabelled.items() if n}
    message = (
        f"rows without a value of {report.label!r}: {_listed(_numbers(found))}"
        if found
        else f"every row has a value of {report.label!r}"
    )
    return _check("unlabelled", bool(found), message, fatal=params.fail_on.unlabelled)


def _class_missing_in_split(report: Imbalance, params: DetectorParams) -> Check:
    missing = [
        f"{split} has no row of class {_listed(lost)}"
        for split, counts in report.counts.items()
        if (lost := [c for c, n in counts.items() if not n])
    ]
    message = ", ".join(missing) or "every class is in every split"
    fatal = params.fail_on.class_missing_in_split
    return _check("class_missing_in_split", bool(missing), message, fatal=fatal)


def _class_smaller_than(report: Imbalance, params: DetectorParams) -> Check:
    least = params.fail_on.class_smaller_than
    return _too_few("class_smaller_than", report, least, "training", fatal=True)


def _too_few(
    name: str, report: Imbalance, needed: int, purpose: str, *, fatal: bool = False
) -> Check:
    small = {c: n for c, n in report.counts[TRAIN].items() if n < needed}
    message = (
        f"too few rows in train for {purpose}: {_listed(_numbers(small))}, needed {needed} a class"
        if small
        else f"every class has the {needed} rows in train needed for {purpose}"
    )
    return _check(name, bool(small), message, fatal=fatal)


def _label_outside_schema(
    report: Imbalance, schema: schema_pb2.Schema, params: DetectorParams
) -> Check:
    name = "label_outside_schema"
    domain = label_domain(schema, report.label)
    if domain is None:
        return _check(name, False, f"the schema names no values of {report.label!r}")
    outside = [c for c in report.classes if not _inside(c, domain)]
    if outside:
        message = f"values of {report.label!r} that the schema does not name: {_listed(outside)}"
        return _check(name, True, message, fatal=params.fail_on.label_outside_schema)
    unseen = [c for c in domain if c not in report.classes] if not isinstance(domain, range) else []
    message = (
        f"classes that the schema names and no split has: {_listed(unseen)}"
        if unseen
        else f"the schema names every value of {report.label!r}"
    )
    return _check(name, bool(unseen), message, fatal=False)


def label_domain(schema: schema_pb2.Schema, label: str) -> Sequence[str] | range | None:
    """The label's values by the schema, a range for integers; None where it says nothing."""
    feature = next((f for f in schema.feature if f.name == label), None)
    kind = feature.WhichOneof("domain_info") if feature else None
    if feature is None or kind is None:
        return None
    if kind == "bool_domain":
        named = [feature.bool_domain.true_value, feature.bool_domain.false_value]
        return [value for value in named if value] or ["0", "1"]
    if kind == "int_domain":
        bounds = feature.int_domain
        if bounds.HasField("min") and bounds.HasField("max"):
            return range(bounds.min, bounds.max + 1)
        return None
    if kind == "domain":
        shared = next((d for d in schema.string_domain if d.name == feature.domain), None)
        return list(shared.value) or None if shared else None
    return list(feature.string_domain.value) or None if kind == "string_domain" else None


def _inside(value: str, domain: Sequence[str] | range) -> bool:
    if isinstance(domain, range):
        try:
            return int(value) in domain
        except ValueError:
            return False
    return value in domain


def _severity(report: Imbalance, params: DetectorParams) -> Check:
    order = get_args(Severity)
    limit = params.fail_on.severity
    failed = limit is not None and order.index(report.severity) >= order.index(limit)
    message = (
        f"{report.severity} imbalance: class {report.minority} is "
        f"{percent(report.minority_share)} of train"
        if report.minority
        else "no second class to compare with"
    )
    if failed:
        message += f" (checks.fail_on.severity is {limit})"
    return _check("severity", failed or report.severity == "extreme", message, fatal=failed)


def _imbalance_ratio(report: Imbalance, params: DetectorParams) -> Check:
    limit = params.fail_on.imbalance_ratio_above
    failed = limit is not None and report.imbalance_ratio > limit
    message = (
        f"the largest class has {report.imbalance_ratio:,.4g} rows a row of the smallest"
        if math.isfinite(report.imbalance_ratio)
        else "the smallest class has no row in train"
    )
    if failed:
        message += f" (checks.fail_on.imbalance_ratio_above is {limit:g})"
    return _check("imbalance_ratio", failed, message)


def _prior_shift(report: Imbalance, params: DetectorParams) -> Check:
    limit = params.fail_on.prior_shift_above
    over = {s: d for s, d in report.prior_shift.items() if limit is not None and d > limit}
    odd = {s: d for s, d in report.prior_shift.items() if d > _shift_bound(report, s)}
    found = over or odd or report.prior_shift
    text = ", ".join(f"{split} {distance:.4f}" for split, distance in found.items())
    if not (over or odd):
        message = f"class shares are those of train (total variation distance: {text or 'none'})"
    else:
        bound = f"above {limit:g}" if over else "more than chance makes"
        message = f"class shares differ from train's by {text} (total variation distance), {bound}"
    return _check("prior_shift", bool(over or odd), message, fatal=bool(over))


def _split_shares(report: Imbalance, asked: Sequence[float], fatal: bool) -> Check:
    rows = {split: report.counts.get(split, {}) for split in SPLITS}
    kinds = {"the rows": {split: sum(counts.values()) for split, counts in rows.items()}}
    for name in report.classes:
        kinds[f"class {name!r}"] = {split: counts.get(name, 0) for split, counts in rows.items()}
    missed = []
    for what, counts in kinds.items():
        total = sum(counts.values())
        for (split, count), share in zip(counts.items(), asked, strict=True):
            off = abs(count - share * total)
            if off > max(_SHARE_OFF * total, _ROWS_OFF):
                found = f"{split} has {percent(count / total)} of {what} instead of"
                missed.append((off / total, f"{found} {percent(share)}"))
    missed.sort(key=lambda m: -m[0])
    good = "every split has its share of the rows and of each class"
    message = _listed([text for _, text in missed]) or good
    return _check("split_shares", bool(missed), message, fatal=fatal)


def _shift_bound(report: Imbalance, split: str) -> float:
    """Total variation distance to train that is worth a word.

    Chance makes 1/2 sum_c sqrt(2/pi p_c (1-p_c) (1/n_train + 1/n_split)) on average, the mean
    absolute value of a normal difference for each class.
    """
    prior = shares(report.counts[TRAIN])
    inverse = sum(1 / max(sum(report.counts[s].values()), 1) for s in (TRAIN, split))
    chance = sum(math.sqrt(2 / math.pi * p * (1 - p) * inverse) for p in prior.values()) / 2
    return max(_CHANCE * chance, _MINORITY_MOVE * (1 - max(prior.values(), default=0.0)))


def _anomalies(report: Imbalance, params: DetectorParams) -> Check:
    mode = params.fail_on.anomalies
    found = [f"{split}: {text}" for split, texts in report.anomalies.items() for text in texts]
    if not found:
        return _check("anomalies", False, "ExampleValidator found no anomaly")
    message = f"{len(found)} anomalies by ExampleValidator: {_listed(found)}"
    return _check("anomalies", mode != "ignore", message, fatal=mode == "fail")


def _slices(report: Imbalance, params: DetectorParams) -> Check:
    lost = [c for c in params.slices if c not in {s.column for s in report.slices}]
    message = (
        f"no counts by {_listed(lost)}: StatisticsGen's slicing_config does not name it, or "
        "its slices cannot be told from another column's"
        if lost
        else f"counted by {', '.join(params.slices)}"
    )
    return _check("slices", bool(lost), message, fatal=False)


def _numbers(counts: Mapping[str, int]) -> list[str]:
    return [f"{name} {n:,}" for name, n in counts.items()]


def _listed(items: Sequence[str]) -> str:
    more = len(items) - _MOST_LISTED
    return ", ".join(items[:_MOST_LISTED]) + (f" and {more:,} more" if more > 0 else "")

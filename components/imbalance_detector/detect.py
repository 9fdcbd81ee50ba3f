"""From TFDV's statistics to an ImbalanceReport; no data are read."""

import math
from collections.abc import Iterable, Mapping

from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2

from ..class_weights import ClassWeightParams, Scheme, class_weights
from ..errors import UserError
from ..example_gen.notes import Note
from ..names import BOOKKEEPING, SPLITS, TRAIN
from .checks import column_types, required_values, run_checks, shares
from .counts import (
    LabelCounts,
    Statistics,
    has_values,
    label_counts,
    natural_key,
    overall,
    slices,
)
from .params import DetectorParams, Severity
from .recommendation import recommend
from .report import Check, Imbalance, Recommendation, SliceCounts

_SUGGESTED: tuple[Scheme, ...] = ("balanced", "inverse_sqrt", "effective_number")
"""The schemes that ask nothing of the user about single classes."""


def detect(
    statistics: Mapping[str, Statistics],
    schema: schema_pb2.Schema,
    params: DetectorParams,
    anomalies: Mapping[str, anomalies_pb2.Anomalies] | None = None,
    notes: Iterable[Note] = (),
) -> Imbalance:
    """Counts, judges and advises. As complete a report as can be, whatever is wrong with the data.

    Args:
      statistics: split -> its statistics; 'train' must be there.
      schema: the data's schema.
      params: the label, bounds, and what is to fail.
      anomalies: split -> what ExampleValidator found; None: it did not run.
      notes: what the ingest says of the data; each becomes a check that warns.

    Raises:
      UserError: no train split, no such label, a positive class that does not exist or is no part
        of a binary label, or class weights for other classes than there are.
    """
    names = sorted(statistics, key=lambda s: (SPLITS.index(s) if s in SPLITS else len(SPLITS), s))
    if TRAIN not in names:
        raise UserError(f"statistics have the splits {', '.join(names)}; expected {TRAIN!r}")
    labels = {split: label_counts(overall(statistics[split]), params.label) for split in names}
    _require_label(statistics, schema, labels, params.label)
    train = labels[TRAIN].counts
    exact = not any(found.problem for found in labels.values())
    classes = order_classes(
        {c: train.get(c, 0) for found in labels.values() for c in found.counts},
        params.positive if exact else None,
    )
    counts = {split: {c: labels[split].counts.get(c, 0) for c in classes} for split in names}
    in_train = counts[TRAIN]
    two = len(classes) >= 2
    majority = max(classes, key=in_train.__getitem__, default="")
    minority = min(reversed(classes), key=in_train.__getitem__) if two else ""
    share = shares(in_train).get(minority, 0.0)
    weighable = two and exact and all(in_train.values())
    report = Imbalance(
        label=params.label,
        classes=classes,
        positive=classes[1] if len(classes) == 2 else None,
        counts=counts,
        unlabelled={split: labels[split].unlabelled for split in names},
        majority=majority,
        minority=minority,
        minority_share=share,
        imbalance_ratio=in_train[majority] / in_train[minority]
        if in_train.get(minority)
        else math.inf,
        normalized_entropy=normalized_entropy(in_train.values()),
        severity=severity(share, len(classes)),
        prior_shift={
            split: total_variation(in_train, counts[split])
            for split in names
            if split != TRAIN and any(counts[split].values())
        },
        slices=[c for split in names for c in _slice_counts(split, statistics, classes, params)],
        class_weights=class_weights(in_train, params.class_weights) if weighable else {},
        suggested_class_weights=_suggestions(in_train, params) if weighable else {},
        anomalies={split: _in_words(anomalies[split]) for split in names if split in anomalies}
        if anomalies is not None
        else {},
        checks=[],
        recommendation=Recommendation(technique="", reasons=[]),
    )
    report.checks = run_checks(report, labels, schema, params)
    report.checks += [Check(name=n.name, level="warn", message=n.message) for n in notes]
    if params.schema_file:
        for check in (column_types, required_values):
            report.checks.append(check(statistics, schema, params.schema_file))
    report.recommendation = recommend(report)
    return report


def order_classes(in_train: Mapping[str, int], positive: str | None) -> list[str]:
    """The class order that every later component uses.

    Binary: [negative, positive], where positive is the one asked for, else the smaller class in
    train, else (equal) the later name. More classes: natural order of the names.

    Raises:
      UserError: `positive` is not a class, or there are more than two.
    """
    names = sorted(in_train, key=natural_key)
    if positive is not None and len(names) > 1:
        if positive not in names:
            raise UserError(
                f"data.positive: found {positive!r}; the label's classes are {', '.join(names)}"
            )
        if len(names) > 2:
            raise UserError(
                f"data.positive: found {positive!r}, but the label has {len(names)} classes "
                f"({', '.join(names)}); leave it out, or clean the label"
            )
    if len(names) != 2:
        return names
    last = positive or min(reversed(names), key=in_train.__getitem__)
    return sorted(names, key=lambda name: name == last)


def severity(minority_share: float, n_classes: int) -> Severity:
    """Google's bands: minority of 20-40 % mild, 1-20 % moderate, below 1 % extreme.

    They are for two classes; a share counts n_classes / 2 times, so that 1 / n_classes is
    balanced for any number of classes as 1/2 is for two.

    Source: developers.google.com, Machine Learning Crash Course, "Imbalanced datasets".
    """
    share = minority_share * n_classes / 2
    if share < 0.01:
        return "extreme"
    if share < 0.2:
        return "moderate"
    return "mild" if share <= 0.4 else "none"


def normalized_entropy(counts: Iterable[int]) -> float:
    """Entropy of the class shares by log(number of classes): 1 is balanced, 0 one class."""
    numbers = list(counts)
    total = sum(numbers)
    if total == 0 or len(numbers) < 2:
        return 0.0
    entropy = -sum(n / total * math.log(n / total) for n in numbers if n)
    return abs(entropy) / math.log(len(numbers))


def total_variation(a: Mapping[str, int], b: Mapping[str, int]) -> float:
    """Half the sum of the absolute differences of class shares; in [0, 1]."""
    p, q = shares(a), shares(b)
    return sum(abs(p.get(c, 0.0) - q.get(c, 0.0)) for c in p.keys() | q.keys()) / 2


def _require_label(
    statistics: Mapping[str, Statistics],
    schema: schema_pb2.Schema,
    labels: Mapping[str, LabelCounts],
    label: str,
) -> None:
    """A column without a single value may be missing in the statistics, but not in the schema."""
    columns = sorted(
        {f.path.step[0] for s in statistics.values() for f in overall(s).features if f.path.step}
    )
    known = {*columns, *(feature.name for feature in schema.feature)}
    if label not in known and any(found.rows for found in labels.values()):
        raise UserError(f"data.label: no column {label!r}; columns are {', '.join(columns)}")


def _slice_counts(
    split: str, statistics: Mapping[str, Statistics], classes: list[str], params: DetectorParams
) -> list[SliceCounts]:
    found = []
    for column, value, dataset in slices(statistics[split], params.slices):
        counted = label_counts(dataset, params.label).counts
        counts = {c: counted.get(c, 0) for c in classes}
        found.append(SliceCounts(split=split, column=column, value=value, counts=counts))
    return sorted(found, key=lambda s: (params.slices.index(s.column), natural_key(s.value)))


def _suggestions(
    in_train: Mapping[str, int], params: DetectorParams
) -> dict[str, dict[str, float]]:
    beta = params.class_weights.beta
    return {
        scheme: class_weights(in_train, ClassWeightParams(scheme=scheme, beta=beta))
        for scheme in _SUGGESTED
    }


def _in_words(anomalies: anomalies_pb2.Anomalies) -> list[str]:
    named = {
        ".".join(info.path.step) or name: info for name, info in anomalies.anomaly_info.items()
    }
    if anomalies.HasField("dataset_anomaly_info"):
        named["the data set"] = anomalies.dataset_anomaly_info
    return [f"{name}: {' '.join(named[name].description.split())}" for name in sorted(named)]


def optional(schema: schema_pb2.Schema, train: Statistics, label: str) -> schema_pb2.Schema:
    """A copy in which every column may be missing from any row, and has one value where it is not.

    SchemaGen sees train alone. What has no gap there may have one in val, in test or in a request,
    so an inferred schema must not promise otherwise; Transform reads such columns as sparse.
    Columns with several values a row keep their shape, for a preprocessing function of the user's.
    A column without any value in train is left out: there is nothing to learn from it, and what
    type SchemaGen gives it may not be that of the values elsewhere.
    """
    relaxed = schema_pb2.Schema()
    relaxed.CopyFrom(schema)
    empty = {f.path.step[0] for f in overall(train).features if f.path.step and not has_values(f)}
    del relaxed.feature[:]
    relaxed.feature.extend(f for f in schema.feature if f.name == label or f.name not in empty)
    for feature in relaxed.feature:
        if feature.HasField("value_count"):
            several = feature.value_count.max != 1
        else:
            several = any(d.size != 1 for d in feature.shape.dim)
        if several or feature.HasField("value_counts"):
            continue
        feature.ClearField("presence")
        feature.presence.SetInParent()
        feature.ClearField("shape_type")
        feature.value_count.max = 1
    return relaxed


def with_row_id(schema: schema_pb2.Schema) -> schema_pb2.Schema:
    """A copy of the schema that has `_row_id` and `_row_copy`, one int64 value each in a row."""
    extended = schema_pb2.Schema()
    extended.CopyFrom(schema)
    known = {feature.name for feature in schema.feature}
    for name in (name for name in BOOKKEEPING if name not in known):
        feature = extended.feature.add(name=name, type=schema_pb2.INT)
        feature.presence.min_fraction = 1
        feature.presence.min_count = 1
        feature.shape.dim.add(size=1)
    return extended

"""Exact class counts, overall and by slice, out of TFDV's statistics."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from tensorflow_data_validation import constants
from tensorflow_metadata.proto.v0 import statistics_pb2

from ..errors import UserError

Statistics: TypeAlias = statistics_pb2.DatasetFeatureStatisticsList

_UNREADABLE = {
    constants.NON_UTF8_PLACEHOLDER: "not UTF-8 text",
    constants.LARGE_BYTES_PLACEHOLDER: "too long to be class names",
}
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?")


@dataclass(frozen=True)
class LabelCounts:
    """The label column on one set of rows.

    Attributes:
      counts: class -> rows, as far as the statistics list them.
      rows: rows, labelled or not.
      labelled: rows with a label.
      problem: why `counts` are not exact, in words; None where they are.
    """

    counts: dict[str, int]
    rows: int
    labelled: int
    problem: str | None = None

    @property
    def unlabelled(self) -> int:
        """Rows without a label."""
        return self.rows - self.labelled


def overall(statistics: Statistics) -> statistics_pb2.DatasetFeatureStatistics:
    """The statistics of all rows, slices left aside.

    Raises:
      UserError: there are several slices and none is of all rows.
    """
    datasets = statistics.datasets
    if len(datasets) <= 1:
        return datasets[0] if datasets else statistics_pb2.DatasetFeatureStatistics()
    for dataset in datasets:
        if dataset.name == constants.DEFAULT_SLICE_KEY:
            return dataset
    raise UserError(
        f"statistics have {len(datasets)} slices but none named {constants.DEFAULT_SLICE_KEY!r}"
    )


def find_feature(
    dataset: statistics_pb2.DatasetFeatureStatistics, name: str
) -> statistics_pb2.FeatureNameStatistics | None:
    """The statistics of one top-level feature; None where it is not among them."""
    return next((f for f in dataset.features if list(f.path.step) == [name]), None)


def has_values(feature: statistics_pb2.FeatureNameStatistics) -> bool:
    """Whether any row has a value."""
    kind = feature.WhichOneof("stats")
    return kind is not None and getattr(feature, kind).common_stats.num_non_missing > 0


def label_counts(dataset: statistics_pb2.DatasetFeatureStatistics, label: str) -> LabelCounts:
    """Counts the classes by the rank histogram, which TFDV keeps exactly for text.

    An integer label has one too where the schema that StatisticsGen was given marks it
    `int_domain.is_categorical`; else TFDV keeps approximate quantiles only.
    """
    rows = int(dataset.num_examples)
    feature = find_feature(dataset, label)
    kind = feature.WhichOneof("stats") if feature else None
    if feature is None or kind is None:
        return LabelCounts({}, rows, 0)
    common = getattr(feature, kind).common_stats
    labelled = int(common.num_non_missing)
    if kind != "string_stats":
        problem = (
            f"label {label!r} is not text, and TFDV counts only text exactly: make it text, or "
            "mark it int_domain.is_categorical in the schema that StatisticsGen gets"
        )
        return LabelCounts({}, rows, labelled, problem if labelled else None)
    counts = _histogram(feature)
    return LabelCounts(counts, rows, labelled, _problem(label, counts, labelled, common))


def slices(
    statistics: Statistics, columns: Sequence[str]
) -> Iterator[tuple[str, str, statistics_pb2.DatasetFeatureStatistics]]:
    """(column, value, statistics) of each slice on one of `columns`.

    TFDV names a slice `<column>_<value>`, which several columns may claim, and adds slices of one
    name together; so a slice counts only if all its rows have the value, for one column.
    """
    for dataset in statistics.datasets:
        claims = [
            (column, value)
            for column in columns
            if dataset.name.startswith(f"{column}_")
            and _all_rows_have(dataset, column, value := dataset.name[len(column) + 1 :])
        ]
        if len(claims) == 1:
            yield *claims[0], dataset


def natural_key(text: str) -> tuple[object, ...]:
    """Sort key by which 'class 2' comes before 'class 10' and '-1' before '0'."""
    if _NUMBER.fullmatch(text):
        return 0, float(text), text
    parts = re.split(r"(\d+)", text)
    return 1, tuple(int(p) if i % 2 else p for i, p in enumerate(parts)), text


def _problem(
    label: str, counts: dict[str, int], labelled: int, common: statistics_pb2.CommonStatistics
) -> str | None:
    if common.max_num_values > 1:
        return f"label {label!r} has up to {common.max_num_values} values a row, expected one"
    for placeholder, what in _UNREADABLE.items():
        if placeholder in counts:
            return f"{counts[placeholder]:,} values of label {label!r} are {what}"
    if sum(counts.values()) != labelled:
        return (
            f"the {len(counts):,} classes that the statistics list have {sum(counts.values()):,} "
            f"rows, but {labelled:,} rows have a label: {label!r} has too many values to be a "
            "class, or StatisticsGen's num_rank_histogram_buckets is too small"
        )
    return None


def _histogram(feature: statistics_pb2.FeatureNameStatistics) -> dict[str, int]:
    buckets = feature.string_stats.rank_histogram.buckets
    return {bucket.label: round(bucket.sample_count) for bucket in buckets}


def _all_rows_have(
    dataset: statistics_pb2.DatasetFeatureStatistics, column: str, value: str
) -> bool:
    feature = find_feature(dataset, column)
    if feature is None:
        return False
    if feature.WhichOneof("stats") == "string_stats":
        return _histogram(feature).get(value, 0) >= dataset.num_examples
    try:
        return feature.num_stats.min == feature.num_stats.max == float(value)
    except ValueError:
        return False

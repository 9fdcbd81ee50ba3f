import math
import pickle

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import tensorflow as tf
import tensorflow_data_validation as tfdv
from google.protobuf import text_format
from scipy.stats import entropy
from tensorflow_data_validation.utils import slicing_util
from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2, statistics_pb2
from tensorflow_transform.tf_metadata import schema_utils
from tfx.types import Channel, artifact_utils, standard_artifacts

from tfx_imbalance import artifacts
from tfx_imbalance.components.artifact_io import read_report
from tfx_imbalance.components.class_weights import ClassWeightParams, class_weights
from tfx_imbalance.components.errors import DataCheckError, UserError
from tfx_imbalance.components.example_gen.notes import (
    IDENTITY_PROPERTY,
    NOTES_PROPERTY,
    Identity,
    Note,
    to_text,
)
from tfx_imbalance.components.imbalance_detector.checks import label_domain
from tfx_imbalance.components.imbalance_detector.component import ImbalanceDetector
from tfx_imbalance.components.imbalance_detector.counts import natural_key
from tfx_imbalance.components.imbalance_detector.detect import (
    detect,
    optional,
    order_classes,
    severity,
    total_variation,
)
from tfx_imbalance.components.imbalance_detector.errors import ImbalanceCheckFailed
from tfx_imbalance.components.imbalance_detector.executor import Executor
from tfx_imbalance.components.imbalance_detector.params import DetectorParams, FailOn
from tfx_imbalance.components.imbalance_detector.report import Imbalance

SPLITS = {"train": 10, "val": 2, "test": 2}
"""Rows of a split by rows of the numbers that a test gives."""


def frame(counts, **columns):
    """One row a count, classes in order; a class None has no label."""
    label = [c for c, n in counts.items() for _ in range(n)]
    return pd.DataFrame({"y": pd.Series(label, dtype=object), **columns})


def statistics_of(data, **options):
    return tfdv.generate_statistics_from_dataframe(data, tfdv.StatsOptions(**options), n_jobs=1)


def splits_of(counts, **options):
    """Three splits with `counts` times 10, 2 and 2."""
    return {
        split: statistics_of(frame({c: n * times for c, n in counts.items()}), **options)
        for split, times in SPLITS.items()
    }


def found(statistics, schema=None, anomalies=None, **params):
    schema = schema or tfdv.infer_schema(statistics["train"])
    return detect(statistics, schema, DetectorParams(label="y", **params), anomalies)


def check(report, name):
    (one,) = [c for c in report.checks if c.name == name]
    return one


def sliced(data, columns):
    """Statistics with slices, keyed by TFDV's own slicing functions and without Beam."""
    batch = pa.RecordBatch.from_arrays(
        [pa.array([None if pd.isna(v) else [v] for v in data[c]]) for c in data], names=list(data)
    )
    rows = {"All Examples": [batch]}
    for column in columns:
        for name, part in slicing_util.get_feature_value_slicer({column: None})(batch):
            rows.setdefault(name, []).append(part)
    result = statistics_pb2.DatasetFeatureStatisticsList()
    for name, parts in rows.items():
        table = pa.Table.from_batches(parts).to_pandas()
        flat = table.apply(lambda c: c.map(lambda v: None if v is None else v[0]))
        result.datasets.add().CopyFrom(statistics_of(flat).datasets[0])
        result.datasets[-1].name = name
    return result


BINARY = {"no": 90, "yes": 10}


def test_counts_are_those_of_pandas():
    rng = np.random.default_rng(0)
    data = {
        split: pd.DataFrame({"y": rng.choice(["a", "b", "c"], n, p=[0.6, 0.3, 0.1])})
        for split, n in {"train": 1000, "val": 300, "test": 200}.items()
    }
    report = found({split: statistics_of(rows) for split, rows in data.items()})
    assert list(report.counts) == ["train", "val", "test"]
    assert report.counts == {s: dict(rows["y"].value_counts()) for s, rows in data.items()}
    assert not report.failed


def test_figures_of_train():
    report = found(splits_of(BINARY))
    assert (report.majority, report.minority) == ("no", "yes")
    assert report.minority_share == pytest.approx(0.1)
    assert report.imbalance_ratio == pytest.approx(9)
    assert report.normalized_entropy == pytest.approx(entropy([90, 10], base=2))
    assert report.severity == "moderate"
    assert report.prior_shift == {"val": 0, "test": 0}
    assert report.unlabelled == {"train": 0, "val": 0, "test": 0}
    assert report.recommendation.technique.startswith("leave the data as they are")


def test_report_survives_json_with_an_infinite_ratio():
    statistics = splits_of(BINARY)
    statistics["train"] = statistics_of(frame({"no": 10}))
    report = found(statistics)
    assert report.imbalance_ratio == math.inf
    assert Imbalance.model_validate_json(report.model_dump_json()) == report


@pytest.mark.parametrize(
    ("counts", "positive", "expected"),
    [
        ({"a": 1, "b": 5}, None, ["b", "a"]),
        ({"a": 5, "b": 1}, None, ["a", "b"]),
        ({"b": 5, "a": 5}, None, ["a", "b"]),
        ({"10": 5, "9": 5}, None, ["9", "10"]),
        ({"a": 1, "b": 5}, "b", ["a", "b"]),
        ({"c10": 1, "c2": 9, "c1": 5}, None, ["c1", "c2", "c10"]),
        ({"1": 1, "-1": 9, "0": 5, "10": 2}, None, ["-1", "0", "1", "10"]),
        ({"a": 1}, "b", ["a"]),
    ],
)
def test_class_order(counts, positive, expected):
    assert order_classes(counts, positive) == expected


def test_natural_order_does_not_depend_on_the_order_found():
    names = ["1.5", "2", "10", "", "-", "1a", "a02", "a2", "a10", "²", "é1"]
    orders = [names, names[::-1], names[::2] + names[1::2]]
    assert len({tuple(sorted(order, key=natural_key)) for order in orders}) == 1


def test_positive_is_the_last_class_and_only_of_two():
    assert found(splits_of(BINARY), positive="no").classes == ["yes", "no"]
    assert found(splits_of(BINARY), positive="no").positive == "no"
    assert found(splits_of({"a": 5, "b": 4, "c": 3})).positive is None


@pytest.mark.parametrize(
    ("counts", "message"),
    [(BINARY, "'oui'; the label's classes are no, yes"), ({"a": 3, "b": 3, "oui": 3}, "3 classes")],
)
def test_a_positive_class_that_does_not_fit_is_a_users_mistake(counts, message):
    with pytest.raises(UserError, match=message):
        found(splits_of(counts), positive="oui")


@pytest.mark.parametrize(
    ("share", "n_classes", "expected"),
    [
        (0.5, 2, "none"),
        (0.41, 2, "none"),
        (0.4, 2, "mild"),
        (0.2, 2, "mild"),
        (0.19, 2, "moderate"),
        (0.01, 2, "moderate"),
        (0.0099, 2, "extreme"),
        (0.1, 10, "none"),
        (0.04, 10, "mild"),
        (0.0019, 10, "extreme"),
    ],
)
def test_severity_by_googles_bands(share, n_classes, expected):
    assert severity(share, n_classes) == expected


def test_total_variation_by_hand():
    assert total_variation({"a": 9, "b": 1}, {"a": 5, "b": 3, "c": 2}) == pytest.approx(0.4)


def test_integer_label_that_is_categorical_is_counted_exactly():
    schema = schema_pb2.Schema()
    schema.feature.add(name="y", type=schema_pb2.INT).int_domain.is_categorical = True
    statistics = splits_of({0: 90, 1: 10}, schema=schema)
    report = found(statistics)
    assert report.counts["train"] == {"0": 900, "1": 100}
    assert not report.failed


def test_integer_label_otherwise_fails_and_says_how_to_mend_it():
    report = found(splits_of({0: 90, 1: 10}))
    assert check(report, "label_counts").level == "fail"
    assert "is_categorical" in check(report, "label_counts").message
    assert [c.name for c in report.failed] == ["label_counts"]
    assert report.recommendation.technique == "repair the data"


def test_truncated_rank_histogram_fails():
    report = found(splits_of({"a": 9, "b": 8, "c": 7}, num_rank_histogram_buckets=2), positive="c")
    assert "2 classes that the statistics list have 170 rows, but 240" in report.failed[0].message


def test_several_labels_a_row_fail():
    batch = pa.RecordBatch.from_arrays([pa.array([["a", "b"], ["a"], ["b"]])], names=["y"])
    data = batch.to_pandas()
    report = found(dict.fromkeys(SPLITS, statistics_of(data)))
    assert "up to 2 values a row" in check(report, "label_counts").message


def test_labels_that_are_not_text_fail():
    statistics = splits_of({b"\xff\xfe": 5, b"a": 5})
    assert "not UTF-8" in check(found(statistics), "label_counts").message


@pytest.mark.parametrize(("fails", "level"), [(True, "fail"), (False, "warn")])
def test_unlabelled_rows(fails, level):
    statistics = splits_of({"no": 80, "yes": 10, None: 1})
    report = found(statistics, fail_on=FailOn(unlabelled=fails))
    assert report.unlabelled == {"train": 10, "val": 2, "test": 2}
    assert check(report, "unlabelled").level == level
    assert "train 10, val 2, test 2" in check(report, "unlabelled").message
    assert report.counts["train"] == {"no": 800, "yes": 100}


def test_no_label_at_all_still_gives_a_report():
    statistics = splits_of({None: 5})
    schema = schema_pb2.Schema()
    schema.feature.add(name="y", type=schema_pb2.BYTES)
    report = found(statistics, schema)
    assert {"unlabelled", "one_class"} <= {c.name for c in report.failed}
    assert report.unlabelled["train"] == 50
    assert report.classes == [] and report.class_weights == {}


def test_one_class_only():
    report = found(splits_of({"no": 5}), positive="yes")
    assert check(report, "one_class").level == "fail"
    assert "class 'no' only" in check(report, "one_class").message
    assert report.recommendation.technique == "repair the data"


@pytest.mark.parametrize(("fails", "level"), [(True, "fail"), (False, "warn")])
def test_class_missing_in_a_split(fails, level):
    statistics = splits_of(BINARY)
    statistics["val"] = statistics_of(frame({"no": 9}))
    report = found(statistics, fail_on=FailOn(class_missing_in_split=fails))
    assert check(report, "class_missing_in_split").level == level
    assert check(report, "class_missing_in_split").message == "val has no row of class yes"


def test_empty_split_has_no_class():
    statistics = splits_of(BINARY)
    statistics["val"] = statistics_pb2.DatasetFeatureStatisticsList()
    statistics["test"] = statistics_pb2.DatasetFeatureStatisticsList(
        datasets=[statistics_pb2.DatasetFeatureStatistics()]
    )
    report = found(statistics)
    assert report.counts["val"] == report.counts["test"] == {"no": 0, "yes": 0}
    assert "test has no row of class no, yes" in check(report, "class_missing_in_split").message
    assert report.prior_shift == {}


def test_classes_too_small_for_training_neighbours_and_folds():
    statistics = splits_of(BINARY)
    statistics["train"] = statistics_of(frame({"no": 900, "yes": 5}))
    report = found(statistics, k_neighbors=5, folds=6, fail_on=FailOn(class_smaller_than=6))
    assert check(report, "class_smaller_than").level == "fail"
    assert check(report, "k_neighbors").level == "warn"
    assert check(report, "folds").level == "warn"
    assert "yes 5, needed 6" in check(report, "folds").message
    report = found(statistics, k_neighbors=4, folds=5, fail_on=FailOn(class_smaller_than=5))
    for name in ("class_smaller_than", "k_neighbors", "folds"):
        assert check(report, name).level == "ok"


@pytest.mark.parametrize(("fails", "level"), [(True, "fail"), (False, "warn")])
def test_label_outside_the_schema(fails, level):
    statistics = splits_of({"no": 90, "yes": 10})
    schema = tfdv.infer_schema(statistics["train"])
    statistics["test"] = statistics_of(frame({"no": 5, "yes": 1, "dunno": 1}))
    report = found(
        statistics,
        schema,
        fail_on=FailOn(label_outside_schema=fails, class_missing_in_split=False),
    )
    assert check(report, "label_outside_schema").level == level
    assert check(report, "label_outside_schema").message.endswith("does not name: dunno")


def test_class_that_only_the_schema_knows_warns():
    statistics = splits_of(BINARY)
    schema = tfdv.infer_schema(statistics["train"])
    schema.string_domain[0].value.append("dunno")
    assert check(found(statistics, schema), "label_outside_schema").level == "warn"


def test_label_domain_in_each_form():
    schema = schema_pb2.Schema()
    schema.feature.add(name="text").string_domain.value.extend(["a", "b"])
    schema.feature.add(name="shared", domain="abc")
    schema.string_domain.add(name="abc").value.append("c")
    schema.feature.add(name="dangling", domain="xyz")
    schema.feature.add(name="range").int_domain.CopyFrom(schema_pb2.IntDomain(min=0, max=2))
    schema.feature.add(name="open").int_domain.is_categorical = True
    schema.feature.add(name="bool").bool_domain.true_value = "t"
    schema.feature.add(name="bits").bool_domain.SetInParent()
    schema.feature.add(name="silent")
    expected = {
        "text": ["a", "b"],
        "shared": ["c"],
        "dangling": None,
        "range": range(3),
        "open": None,
        "bool": ["t"],
        "bits": ["0", "1"],
        "silent": None,
        "absent": None,
    }
    assert {name: label_domain(schema, name) for name in expected} == expected


def test_integer_label_outside_its_range():
    schema = schema_pb2.Schema()
    domain = schema.feature.add(name="y", type=schema_pb2.INT).int_domain
    domain.is_categorical, domain.min, domain.max = True, 0, 1
    statistics = splits_of({0: 90, 1: 10, 7: 5}, schema=schema)
    assert "name: 7" in check(found(statistics, schema), "label_outside_schema").message


def test_prior_shift_warns_beyond_chance_and_fails_beyond_the_bound():
    statistics = splits_of(BINARY)
    statistics["test"] = statistics_of(frame({"no": 150, "yes": 50}))
    report = found(statistics)
    assert report.prior_shift["test"] == pytest.approx(0.15)
    assert check(report, "prior_shift").level == "warn"
    assert "test 0.1500" in check(report, "prior_shift").message
    report = found(statistics, fail_on=FailOn(prior_shift_above=0.1))
    assert check(report, "prior_shift").level == "fail"
    assert found(statistics, fail_on=FailOn(prior_shift_above=0.2)).failed == []


def test_prior_shift_that_chance_makes_is_no_warning():
    statistics = splits_of(BINARY)
    statistics["test"] = statistics_of(frame({"no": 187, "yes": 13}))
    assert check(found(statistics), "prior_shift").level == "ok"


def test_severity_and_ratio_fail_where_asked():
    statistics = splits_of(BINARY)
    report = found(statistics, fail_on=FailOn(severity="mild", imbalance_ratio_above=8))
    assert [c.name for c in report.failed] == ["severity", "imbalance_ratio"]
    report = found(statistics, fail_on=FailOn(severity="extreme", imbalance_ratio_above=10))
    assert report.failed == []
    assert check(found(splits_of({"no": 400, "yes": 3})), "severity").level == "warn"


def anomalies_of(statistics):
    schema = tfdv.infer_schema(statistics_of(frame(BINARY, age=range(100))))
    return {s: tfdv.validate_statistics(x, schema) for s, x in statistics.items()}


@pytest.mark.parametrize(("mode", "level"), [("fail", "fail"), ("warn", "warn"), ("ignore", "ok")])
def test_anomalies_in_words(mode, level):
    statistics = splits_of(BINARY)
    report = found(statistics, anomalies=anomalies_of(statistics), fail_on=FailOn(anomalies=mode))
    assert report.anomalies["val"] == ["age: Column is completely missing"]
    assert check(report, "anomalies").level == level
    assert "val: age: Column is completely missing" in check(report, "anomalies").message


def test_no_anomaly_and_no_validator():
    statistics = splits_of(BINARY)
    none = dict.fromkeys(SPLITS, anomalies_pb2.Anomalies())
    assert check(found(statistics, anomalies=none), "anomalies").level == "ok"
    assert "anomalies" not in {c.name for c in found(statistics).checks}


def test_anomaly_of_the_whole_data_set():
    anomalies = anomalies_pb2.Anomalies()
    anomalies.dataset_anomaly_info.description = "Too few\nexamples."
    report = found(splits_of(BINARY), anomalies={"train": anomalies})
    assert report.anomalies == {"train": ["the data set: Too few examples."]}


def test_slices_are_those_of_pandas():
    rng = np.random.default_rng(1)
    data = pd.DataFrame(
        {
            "y": rng.choice(["no", "yes"], 400, p=[0.8, 0.2]),
            "job": rng.choice(["clerk", "cook_head", ""], 400),
            "age": rng.integers(9, 12, 400),
            "rate": rng.choice([0.5, 1.0], 400),
        }
    )
    data.loc[:9, "job"] = None
    data.loc[data["age"] == 11, "y"] = "no"
    columns = ("job", "age", "rate")
    statistics = {**splits_of(BINARY), "train": sliced(data, columns)}
    report = found(statistics, slices=columns)
    expected = [
        (column, str(value), {c: int((part["y"] == c).sum()) for c in ("no", "yes")})
        for column in columns
        for value, part in data.groupby(column)
    ]
    assert [(s.column, s.value, s.counts) for s in report.slices if s.split == "train"] == expected
    assert report.counts["train"] == dict(data["y"].value_counts())
    assert check(report, "slices").level == "ok"


def test_slices_that_tfdv_mixed_up_are_left_out():
    data = pd.DataFrame(
        {
            "y": ["no", "yes", "no", "no"],
            "job": ["a_x", "b", "b", "b"],
            "job_a": ["y", "x", "y", "y"],
        }
    )
    statistics = {**splits_of(BINARY), "train": sliced(data, ("job", "job_a"))}
    report = found(statistics, slices=("job", "job_a"))
    assert [(s.column, s.value) for s in report.slices] == [("job", "b"), ("job_a", "y")]


def test_a_slice_column_without_slices_warns():
    assert "by job:" in check(found(splits_of(BINARY), slices=("job",)), "slices").message


def test_weights_of_the_scheme_and_suggestions():
    scheme = ClassWeightParams(scheme="explicit", explicit={"no": 1, "yes": 3})
    report = found(splits_of(BINARY), class_weights=scheme)
    assert report.class_weights == class_weights({"no": 900, "yes": 100}, scheme)
    assert report.suggested_class_weights == {
        name: class_weights({"no": 900, "yes": 100}, ClassWeightParams(scheme=name))
        for name in ("balanced", "inverse_sqrt", "effective_number")
    }


def test_weights_for_unknown_classes_are_a_users_mistake():
    scheme = ClassWeightParams(scheme="explicit", explicit={"no": 1, "oui": 3})
    with pytest.raises(UserError, match=r"class_weights\.explicit"):
        found(splits_of(BINARY), class_weights=scheme)


@pytest.mark.parametrize(
    ("counts", "technique"),
    [
        ({"no": 50, "yes": 50}, "train on the data as they are"),
        ({"no": 70, "yes": 30}, "leave the data as they are"),
        ({"no": 9000, "yes": 80}, "leave the data as they are"),
        ({"no": 10_000, "yes": 3}, "downsample the majority and correct"),
        ({"no": 400, "yes": 1}, "collect more rows, or detect anomalies"),
        ({"a": 400, "b": 40, "c": 1}, "collect more rows of the rare classes"),
    ],
)
def test_recommendation(counts, technique):
    recommendation = found(splits_of(counts)).recommendation
    assert recommendation.technique.startswith(technique)
    assert recommendation.reasons
    assert "SMOTE" not in recommendation.technique


def test_label_that_is_no_column_is_a_users_mistake():
    with pytest.raises(UserError, match=r"data\.label: no column 'z'; columns are y"):
        detect(splits_of(BINARY), schema_pb2.Schema(), DetectorParams(label="z"))


def test_statistics_without_train_are_a_users_mistake():
    statistics = {"eval": statistics_of(frame(BINARY))}
    with pytest.raises(UserError, match="splits eval; expected 'train'"):
        found(statistics, schema_pb2.Schema())


def test_slices_without_a_whole_are_a_users_mistake():
    statistics = splits_of(BINARY)
    statistics["train"].datasets.add(name="x_1")
    with pytest.raises(UserError, match="none named 'All Examples'"):
        found(statistics, schema_pb2.Schema())


def test_long_lists_are_cut():
    report = found(splits_of({f"c{i}": 1 for i in range(30)}), folds=11)
    assert check(report, "folds").message.count("c") < 20
    assert "and 20 more" in check(report, "folds").message


def test_failure_is_one_line_and_carries_the_report():
    statistics = splits_of({"no": 8, "yes": 1, None: 1})
    report = found(statistics, fail_on=FailOn(severity="mild"))
    failure = pickle.loads(pickle.dumps(ImbalanceCheckFailed(report)))
    assert failure.report == report and failure.exit_code == 4
    assert str(failure).split("; ") == [c.message for c in report.failed]
    assert len(report.failed) == 2 and "\n" not in str(failure)


def artifact(kind, path, files, splits=None):
    made = kind()
    made.uri = str(path)
    if splits:
        made.split_names = artifact_utils.encode_split_names(splits)
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return [made]


def run(tmp_path, statistics, notes=(), **params):
    examples = artifact(standard_artifacts.Examples, tmp_path / "examples", {})
    examples[0].set_string_custom_property(NOTES_PROPERTY, to_text(notes))
    identity = Identity(version=2, key=("id",)).model_dump_json()
    examples[0].set_string_custom_property(IDENTITY_PROPERTY, identity)
    inputs = {
        "statistics": artifact(
            standard_artifacts.ExampleStatistics,
            tmp_path / "statistics",
            {f"Split-{s}/FeatureStats.pb": x.SerializeToString() for s, x in statistics.items()},
            list(statistics),
        ),
        "anomalies": artifact(
            standard_artifacts.ExampleAnomalies,
            tmp_path / "anomalies",
            {
                f"Split-{split}/SchemaDiff.pb": x.SerializeToString()
                for split, x in anomalies_of(statistics).items()
            },
            list(statistics),
        ),
        "schema": artifact(standard_artifacts.Schema, tmp_path / "schema", {}),
        "examples": examples,
    }
    (tmp_path / "schema").mkdir()
    schema = tfdv.infer_schema(statistics["train"])
    tfdv.write_schema_text(schema, str(tmp_path / "schema" / "schema.pbtxt"))
    outputs = {
        "report": artifact(artifacts.ImbalanceReport, tmp_path / "report", {}),
        "checked_schema": artifact(standard_artifacts.Schema, tmp_path / "checked", {}),
    }
    params = DetectorParams(label="y", **params)
    Executor().Do(inputs, outputs, {"params": params.to_property(), "code_fingerprint": ""})
    return read_report(outputs, "report", Imbalance)


@pytest.mark.parametrize(
    ("val", "level", "said"),
    [
        ({"no": 150, "yes": 15}, "ok", "every split has its share"),
        ({"no": 150, "yes": 18}, "warn", "val has 17.5 % of class 'yes' instead of 15 %"),
        ({"no": 300, "yes": 15}, "warn", "train has 60.9 % of class 'no' instead of 70 %, "),
    ],
)
def test_a_split_that_misses_its_share_is_told_and_fails_where_asked(val, level, said):
    counts = {"train": {"no": 700, "yes": 70}, "val": val, "test": {"no": 150, "yes": 15}}
    statistics = {split: statistics_of(frame(c)) for split, c in counts.items()}
    shares = (0.7, 0.15, 0.15)
    asked = check(found(statistics, split_shares=shares), "split_shares")
    assert (asked.level, said in asked.message) == (level, True)
    strict = found(statistics, split_shares=shares, fail_on=FailOn(split_shares=True))
    assert ["split_shares"] * (level == "warn") == [c.name for c in strict.failed]
    assert "split_shares" not in {c.name for c in found(statistics).checks}


def test_executor_writes_the_report(tmp_path):
    report = run(tmp_path, splits_of(BINARY))
    assert report.counts["train"] == {"no": 900, "yes": 100}
    assert report.anomalies["train"] == ["age: Column is completely missing"]


@pytest.mark.parametrize("row_id", [False, True])
def test_the_checked_schema_has_the_row_identity_where_the_examples_have_it(tmp_path, row_id):
    run(tmp_path, splits_of(BINARY), row_id=row_id)
    given, checked = (
        {f.name: f for f in tfdv.load_schema_text(str(tmp_path / d / "schema.pbtxt")).feature}
        for d in ("schema", "checked")
    )
    assert set(checked) - set(given) == ({"_row_id", "_row_copy"} if row_id else set())
    assert set(given) - set(checked) <= {"age"}  # it has no value
    if row_id:
        assert checked["_row_id"].shape.dim[0].size == 1
        assert checked["_row_copy"].shape.dim[0].size == 1


def test_what_the_ingest_says_of_the_data_becomes_checks_that_warn(tmp_path):
    notes = [Note(name="precision", column="t", message="column 't' loses digits")]
    report = run(tmp_path, splits_of(BINARY), notes=notes)
    assert check(report, "precision").level == "warn"
    assert check(report, "precision").message == "column 't' loses digits"
    assert report.identity == Identity(version=2, key=("id",))
    assert not report.failed


def test_in_an_inferred_schema_any_column_may_be_missing(tmp_path):
    run(tmp_path, splits_of(BINARY))
    schema = tfdv.load_schema_text(str(tmp_path / "checked" / "schema.pbtxt"))
    given = tfdv.load_schema_text(str(tmp_path / "schema" / "schema.pbtxt"))
    assert any(feature.HasField("shape") for feature in given.feature)
    given = [feature for feature in given.feature if feature.name != "age"]  # it has no value
    for feature, before in zip(schema.feature, given, strict=True):
        assert (feature.name, feature.type) == (before.name, before.type)
        assert not feature.HasField("shape") and feature.value_count.max == 1
        assert feature.presence.min_fraction == feature.presence.min_count == 0
    specs = schema_utils.schema_as_feature_spec(schema).feature_spec
    assert {type(spec) for spec in specs.values()} == {tf.io.VarLenFeature}


def test_columns_of_several_values_keep_their_shape():
    schema = schema_pb2.Schema()
    schema.feature.add(name="vector", type=schema_pb2.FLOAT).shape.dim.add(size=3)
    schema.feature.add(name="list", type=schema_pb2.INT).value_count.min = 1
    assert optional(schema, statistics_of(frame({"no": 3})), "y") == schema


def test_a_column_without_a_value_in_train_is_left_out():
    train = statistics_of(frame({"no": 3}, a=[1.0] * 3, late=[None] * 3))
    schema = tfdv.infer_schema(train)
    assert "late" in [feature.name for feature in schema.feature]
    assert {f.name for f in optional(schema, train, "y").feature} == {"y", "a"}


def test_a_curated_schema_stays_as_it_is(tmp_path):
    run(tmp_path, splits_of(BINARY), schema_file="mine.pbtxt")
    given, checked = (
        tfdv.load_schema_text(str(tmp_path / d / "schema.pbtxt")) for d in ("schema", "checked")
    )
    assert checked == given


def test_what_a_curated_schema_requires_and_a_split_lacks_is_told(tmp_path):
    splits = {
        split: statistics_of(pd.DataFrame({"y": ["no", "yes"] * 20, "a": a, "b": [1.0] * 40}))
        for split, a in [
            ("train", [1.0] * 40),
            ("val", [1.0] * 39 + [None]),
            ("test", [None] * 40),
        ]
    }
    schema = tfdv.infer_schema(splits["train"])
    required = check(found(splits, schema, schema_file="mine.pbtxt"), "required_values")
    assert required.level == "fail"
    for words in (
        "mine.pbtxt",
        "column 'a' has none in 1 row of val",
        "column 'a' has none in 40 rows of test",
    ):
        assert words in required.message
    assert "'b'" not in required.message
    assert not any(c.name == "required_values" for c in found(splits, schema).checks)
    assert not found(
        splits, optional(schema, splits["train"], "y"), schema_file="mine.pbtxt"
    ).failed


HELD = {"INT": [1, 2] * 20, "FLOAT": [0.5, 1.0] * 20, "BYTES": ["a", "b"] * 20}
WORDS = {"INT": "INT (whole numbers)", "FLOAT": "FLOAT (decimal numbers)", "BYTES": "BYTES (text)"}


def types_check(data, feature):
    """The check of one schema of one feature, over the same data in each split."""
    statistics = dict.fromkeys(SPLITS, statistics_of(data))
    schema = text_format.Parse(f"feature {{ {feature} }}", schema_pb2.Schema())
    return check(found(statistics, schema, schema_file="mine.pbtxt"), "column_types"), schema


def is_readable(values, schema):
    """Oracle: whether TensorFlow parses the values by Transform's own reading of the schema."""
    kind, of_kind = {int: ("int64_list", tf.train.Int64List)}.get(
        type(values[0]), ("float_list", tf.train.FloatList)
    )
    if isinstance(values[0], str):
        kind, of_kind = "bytes_list", tf.train.BytesList
        values = [value.encode() for value in values]
    features = {"a": tf.train.Feature(**{kind: of_kind(value=values[:1])})}
    record = tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()
    try:
        spec = schema_utils.schema_as_feature_spec(schema).feature_spec
        if spec:
            tf.io.parse_example([record], spec)
    except (ValueError, tf.errors.InvalidArgumentError):
        return False
    return True


@pytest.mark.parametrize("stage", ["PRODUCTION", "BETA", "DEPRECATED", "PLANNED", "DISABLED"])
@pytest.mark.parametrize("said", [*HELD, "TYPE_UNKNOWN"])
@pytest.mark.parametrize("held", HELD)
def test_a_type_that_a_curated_schema_says_and_the_data_have_not_is_told(held, said, stage):
    data = pd.DataFrame({"y": ["no", "yes"] * 20, "a": HELD[held]})
    types, schema = types_check(data, f'name: "a" type: {said} lifecycle_stage: {stage}')
    assert (types.level == "ok") == is_readable(HELD[held], schema)
    if types.level != "ok":
        assert types.level == "fail" and "mine.pbtxt" in types.message
        words = f"column 'a' is {said}, and the data have {WORDS[held]} in train, val, test"
        assert words in types.message


def test_a_type_is_told_of_the_label_too_and_not_of_columns_without_a_value():
    data = pd.DataFrame({"y": ["no", "yes"] * 20, "a": [None] * 40})
    assert "column 'y' is INT" in types_check(data, 'name: "y" type: INT')[0].message
    assert types_check(data, 'name: "a" type: INT')[0].level == "ok"
    assert types_check(data, 'name: "gone" type: INT')[0].level == "ok"
    assert "column 'gone' is TYPE_UNKNOWN" in types_check(data, 'name: "gone"')[0].message


def test_executor_fails_with_the_report_and_writes_none(tmp_path):
    with pytest.raises(DataCheckError, match="without a value") as failure:
        run(tmp_path, splits_of({"no": 8, "yes": 1, None: 1}))
    assert failure.value.report.unlabelled["train"] == 10
    assert not (tmp_path / "report" / "report.json").exists()


def test_component_wires_with_and_without_anomalies():
    statistics = Channel(type=standard_artifacts.ExampleStatistics)
    schema = Channel(type=standard_artifacts.Schema)
    anomalies = Channel(type=standard_artifacts.ExampleAnomalies)
    params = DetectorParams(label="y")
    without = ImbalanceDetector(statistics=statistics, schema=schema, params=params)
    assert "anomalies" not in without.inputs
    node = ImbalanceDetector(
        statistics=statistics, schema=schema, anomalies=anomalies, params=params
    )
    assert node.inputs["anomalies"] is anomalies
    assert node.outputs["report"].type is artifacts.ImbalanceReport
    assert DetectorParams.from_property(node.exec_properties["params"]) == params
    assert len(node.exec_properties["code_fingerprint"]) == 64

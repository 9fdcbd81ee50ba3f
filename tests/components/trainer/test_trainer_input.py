from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_metadata.proto.v0 import schema_pb2

from tfx_imbalance.components.errors import UserError
from tfx_imbalance.components.trainer.input import Feature, Rows, model_features, pack, read_rows

CLASSES = ("no", "yes")


def read(data, patterns=None, **changes) -> Rows:
    features = model_features(data.transform, "y", "w")
    options = {"label": "y", "classes": CLASSES, "weight": "w", **changes}
    return read_rows(patterns or data.patterns("train"), data.transform, features, **options)


def stub(specs: dict, domains: dict[str, tuple[int, int]] | None = None) -> SimpleNamespace:
    """Stands for a TFTransformOutput with the given transformed features."""
    schema = schema_pb2.Schema()
    for name in specs:
        feature = schema.feature.add(name=name)
        if name in (domains or {}):
            feature.int_domain.min, feature.int_domain.max = domains[name]
    return SimpleNamespace(
        transformed_feature_spec=lambda: specs,
        transformed_metadata=SimpleNamespace(schema=schema),
    )


def dense(dtype: tf.DType, *shape: int) -> tf.io.FixedLenFeature:
    return tf.io.FixedLenFeature(list(shape), dtype)


def test_label_weight_and_row_id_are_no_features(data):
    features = model_features(data.transform, "y", "w")
    assert [f.name for f in features] == ["age", "color", "income", "income_missing"]


def test_a_category_is_an_integer_with_a_domain_and_all_else_is_a_number():
    specs = {
        "c": dense(tf.int64, 1),
        "i": dense(tf.int64, 1),
        "v": dense(tf.float32, 3),
        "s": dense(tf.float32),
        "y": dense(tf.string, 1),
    }
    assert model_features(stub(specs, {"c": (-1, 4)}), "y", None) == (
        Feature("c", 1, 6, -1),
        Feature("i", 1),
        Feature("s", 1),
        Feature("v", 3),
    )


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (dense(tf.string, 1), "transformed feature 'x' is text"),
        (tf.io.VarLenFeature(tf.float32), "transformed feature 'x' has a varying number"),
    ],
)
def test_features_that_no_model_can_take_are_refused_by_name(spec, message):
    with pytest.raises(UserError, match=message):
        model_features(stub({"x": spec, "y": dense(tf.string, 1)}), "y", None)


def test_no_feature_at_all_is_refused():
    with pytest.raises(UserError, match="no feature"):
        model_features(stub({"y": dense(tf.string, 1)}), "y", None)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (dense(tf.float32, 1), "'y' is a decimal number: regression is not supported"),
        (dense(tf.string, 2), "'y' has several values a row: multi-label"),
        (tf.io.VarLenFeature(tf.string), "'y' has several values a row: multi-label"),
    ],
)
def test_regression_and_multi_label_are_refused_by_name(spec, message):
    with pytest.raises(UserError, match=message):
        read_rows([], stub({"y": spec}), [], label="y", classes=CLASSES, weight=None)


def test_rows_are_what_the_examples_say(data):
    rows = read(data)
    by_id = sorted(data.rows["train"], key=lambda row: row["_row_id"])
    assert rows.labels.tolist() == [CLASSES.index(row["y"]) for row in by_id]
    np.testing.assert_allclose(rows.weights, [row["w"] for row in by_id])
    age = np.array([row["age"] for row in by_id])
    np.testing.assert_allclose(rows.numbers[:, 0], (age - age.mean()) / age.std(), atol=1e-4)
    assert rows.categories.shape == (len(by_id), 2)  # color, income_missing
    assert rows.categories[:, 1].tolist() == [int("income" not in row) for row in by_id]


def test_order_and_sharding_of_the_files_do_not_matter(data, tmp_path: Path):
    records = [
        r.numpy()
        for r in tf.data.TFRecordDataset(
            [str(p) for p in (data.transformed / "Split-train").glob("*")], "GZIP"
        )
    ]
    np.random.default_rng(0).shuffle(records)
    for shard in range(3):
        with tf.io.TFRecordWriter(str(tmp_path / f"{shard}.gz"), "GZIP") as writer:
            for record in records[shard::3]:
                writer.write(record)
    one, other = read(data), read(data, [str(tmp_path / "*.gz")])
    for field in ("numbers", "categories", "labels", "weights"):
        np.testing.assert_array_equal(getattr(one, field), getattr(other, field))


def test_without_a_weight_all_rows_weigh_one(data):
    assert set(read(data, weight=None).weights.tolist()) == {1.0}


def test_a_label_that_is_no_class_is_named(data):
    with pytest.raises(UserError, match="label 'y' has the value 'yes'; expected one of"):
        read(data, classes=("no", "maybe"))


def test_a_negative_weight_is_refused(data):
    with pytest.raises(UserError, match="sample weight 'age'"):
        read(data, weight="age")


def test_an_unknown_weight_is_refused(data):
    with pytest.raises(UserError, match="no sample weight 'cost'"):
        read(data, weight="cost")


def test_a_truncated_file_is_named(data, tmp_path: Path):
    (whole,) = (data.transformed / "Split-train").glob("*")
    (tmp_path / "cut.gz").write_bytes(whole.read_bytes()[:-200])
    with pytest.raises(UserError, match=r"cut\.gz: truncated, corrupt or no TFRecord file"):
        read(data, [str(tmp_path / "*.gz")])


def test_no_rows_are_refused(data, tmp_path: Path):
    with pytest.raises(UserError, match="no rows"):
        read(data, [str(tmp_path / "*.gz")])


def test_pack_moves_ids_outside_the_range_to_its_end():
    columns = {"c": tf.constant([[-5], [0], [9]], tf.int64), "x": tf.constant([[1], [2], [3]])}
    numbers, categories = pack(columns, [Feature("c", 1, 3, -1), Feature("x", 1)])
    assert categories.numpy().tolist() == [[0], [1], [2]]
    assert numbers.numpy().tolist() == [[1.0], [2.0], [3.0]]

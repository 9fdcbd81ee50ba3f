"""Rows that stand for others of their class count for as many."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tfx_imbalance.components.trainer.input import Rows, model_features, read_rows

NAME = "_sampling_weight"


def read(data, patterns=None, weight="w") -> Rows:
    features = model_features(data.transform, "y", "w")
    return read_rows(
        patterns or data.patterns("train"),
        data.transform,
        features,
        label="y",
        classes=("no", "yes"),
        weight=weight,
    )


@pytest.fixture
def weighted(data, tmp_path: Path) -> tuple[list[str], dict[int, float]]:
    """Files whose every third row has a sampling weight, and the weights by identity."""
    weights = {}
    with tf.io.TFRecordWriter(str(tmp_path / "a.gz"), "GZIP") as writer:
        paths = [str(p) for p in (data.transformed / "Split-train").glob("*")]
        for i, record in enumerate(tf.data.TFRecordDataset(paths, "GZIP").as_numpy_iterator()):
            example = tf.train.Example.FromString(record)
            row_id = example.features.feature["_row_id"].int64_list.value[0]
            weights[row_id] = 1.0
            if i % 3 == 0:
                weights[row_id] = 1 + i / 7
                example.features.feature[NAME].float_list.value.append(weights[row_id])
            writer.write(example.SerializeToString())
    return [str(tmp_path / "*.gz")], weights


@pytest.mark.parametrize("weight", ["w", None])
def test_it_multiplies_the_sample_weight_and_is_1_where_absent(weight, data, weighted):
    patterns, by_id = weighted
    rows, plain = read(data, patterns, weight), read(data, weight=weight)
    expected = plain.weights * np.array([by_id[row_id] for row_id in sorted(by_id)], np.float32)
    np.testing.assert_allclose(rows.weights, expected, rtol=1e-6)
    assert rows.weights.dtype == np.float32
    assert len(set(rows.weights.tolist())) > 10


def test_it_is_no_feature_and_changes_nothing_else(data, weighted):
    rows, plain = read(data, weighted[0]), read(data)
    for field in ("numbers", "categories", "labels"):
        np.testing.assert_array_equal(getattr(rows, field), getattr(plain, field))

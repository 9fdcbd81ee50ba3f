"""What is exported scores raw examples as the learner in memory scores transformed ones."""

import math

import numpy as np
import pytest
import tensorflow as tf

from tfx_imbalance.components.trainer.devices import visible_devices
from tfx_imbalance.components.trainer.export import (
    ServingModule,
    export,
    number_kinds,
    with_expected_numbers,
)
from tfx_imbalance.components.trainer.input import model_features, read_rows
from tfx_imbalance.components.trainer.learners import Fitted, Task
from tfx_imbalance.components.trainer.learners.mlp import fit
from tfx_imbalance.components.trainer.learners.watch import raw_scores
from tfx_imbalance.components.trainer.params import MlpParams, TrainerParams

CLASSES = ("no", "yes")


@pytest.fixture(scope="module")
def fitted(data, tmp_path_factory) -> Fitted:
    features = model_features(data.transform, "y", "w")
    train, val = (rows_of(data, split) for split in ("train", "val"))
    params = TrainerParams(label="y", weight="w", mlp=MlpParams(hidden=(8,), bins=4, epochs=2))
    log_dir = str(tmp_path_factory.mktemp("logs"))
    return fit(train, val, Task(features, CLASSES, np.ones(2), params, visible_devices(), log_dir))


@pytest.fixture(scope="module")
def signature(data, fitted, tmp_path_factory):
    directory = str(tmp_path_factory.mktemp("exported"))
    export(ServingModule(data.transform, fitted.scorer, {"y", "w", "_row_id"}), directory)
    loaded = tf.saved_model.load(directory)
    yield loaded.signatures["serving_default"]
    del loaded


def rows_of(data, split: str):
    features = model_features(data.transform, "y", "w")
    patterns, transform = data.patterns(split), data.transform
    return read_rows(patterns, transform, features, label="y", classes=CLASSES, weight="w")


def raw_records(data, split: str) -> list[bytes]:
    files = sorted(str(path) for path in (data.raw / f"Split-{split}").glob("*"))
    return [record.numpy() for record in tf.data.TFRecordDataset(files, "GZIP")]


def test_the_exported_scores_are_those_of_the_learner(data, fitted, signature):
    logits = signature(examples=tf.constant(raw_records(data, "val")))["logits"].numpy()
    by_id = np.argsort([row["_row_id"] for row in data.rows["val"]])
    expected = raw_scores(fitted.scorer.network, rows_of(data, "val"))
    np.testing.assert_allclose(logits[by_id], expected, atol=1e-5)
    assert np.ptp(logits[:, 1] - logits[:, 0]) > 0.1


def test_the_signature_takes_serialized_examples_and_gives_logits_alone(signature):
    (argument,) = signature.structured_input_signature[1].values()
    assert (argument.name, argument.dtype, argument.shape.rank) == ("examples", tf.string, 1)
    assert set(signature.structured_outputs) == {"logits"}


def test_the_label_the_weight_and_the_row_id_are_not_parsed(data, fitted, signature):
    module = ServingModule(data.transform, fitted.scorer, {"y", "w", "_row_id"})
    records = raw_records(data, "val")[:10]
    bare = []
    for record in records:
        # A value of another type fails to parse, so a feature that is read at all is noticed.
        example = tf.train.Example.FromString(record)
        example.features.feature["y"].float_list.value[:] = [1.0, 2.0]
        example.features.feature["w"].bytes_list.value[:] = [b"text"]
        example.features.feature["_row_id"].float_list.value[:] = [0.5]
        bare.append(example.SerializeToString())
    scored = signature(examples=tf.constant(bare))["logits"]
    np.testing.assert_allclose(scored, module.serve(tf.constant(records))["logits"], atol=1e-5)


def test_a_raw_feature_that_is_not_hidden_must_be_there(data, signature):
    example = tf.train.Example.FromString(raw_records(data, "val")[0])
    del example.features.feature["age"]
    with pytest.raises(tf.errors.InvalidArgumentError, match="age"):
        signature(examples=tf.constant([example.SerializeToString()]))


def test_no_rows_are_scored_as_none(signature):
    assert signature(examples=tf.constant([], tf.string))["logits"].shape == (0, 2)


SPECS = {
    "whole": tf.io.VarLenFeature(tf.int64),
    "decimal": tf.io.VarLenFeature(tf.float32),
    "text": tf.io.VarLenFeature(tf.string),
    "dense": tf.io.FixedLenFeature([1], tf.float32),
}


def parsed(*rows: dict[str, list]) -> dict[str, list[list]]:
    records = []
    for row in rows:
        made = tf.train.Example()
        for name, values in row.items():
            feature = made.features.feature[name]
            if values and isinstance(values[0], bytes):
                feature.bytes_list.value[:] = values
            elif values and isinstance(values[0], int):
                feature.int64_list.value[:] = values
            else:
                feature.float_list.value[:] = values
        records.append(made.SerializeToString())
    kinds = number_kinds(SPECS)
    aligned = tf.function(with_expected_numbers)(tf.constant(records, tf.string), kinds)
    columns = tf.io.parse_example(aligned, SPECS)
    return {
        name: (
            tf.RaggedTensor.from_sparse(column)
            if name != "dense"
            else tf.RaggedTensor.from_tensor(column)
        ).to_list()
        for name, column in columns.items()
    }


def test_a_number_of_the_neighbouring_type_is_taken_for_what_it_is_worth():
    good = {"whole": [3], "decimal": [0.5], "text": [b"a"], "dense": [1.0], "other": [7]}
    assert parsed(
        good,
        {"whole": [39.0], "decimal": [2], "dense": [-4], "other": [1.5], "text": [b"b"]},
        {"whole": [2.6], "dense": [1.0]},
        {"whole": [math.nan], "dense": [1.0]},
        {"whole": [1e30], "dense": [1.0]},
        {"whole": [], "dense": [2**40]},
        {"whole": [1.0, 2.0], "dense": [0.0]},
    ) == {
        "whole": [[3], [39], [3], [], [], [], [1, 2]],
        "decimal": [[0.5], [2.0], [], [], [], [], []],
        "text": [[b"a"], [b"b"], [], [], [], [], []],
        "dense": [[1.0], [-4.0], [1.0], [1.0], [1.0], [2.0**40], [0.0]],
    }


def test_examples_without_any_number_and_no_examples_pass():
    aligned = tf.function(with_expected_numbers)
    for specs in (SPECS, {"text": SPECS["text"]}):
        kinds = number_kinds(specs)
        assert aligned(tf.constant([b"", b""]), kinds).numpy().tolist() == [b"", b""]
        assert aligned(tf.zeros([0], tf.string), kinds).numpy().tolist() == []


def test_an_exported_model_takes_a_whole_number_where_a_decimal_is_expected(data, signature):
    records = raw_records(data, "val")[:3]
    changed = tf.train.Example.FromString(records[0])
    changed.features.feature["age"].float_list.value[:] = [40.0]
    other = tf.train.Example.FromString(records[0])
    other.features.feature["age"].int64_list.value[:] = [40]
    scored = signature(
        examples=tf.constant([changed.SerializeToString(), other.SerializeToString(), *records])
    )["logits"].numpy()
    np.testing.assert_allclose(scored[1], scored[0], rtol=1e-6)

import sys

import apache_beam as beam
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_transform as tft
import tensorflow_transform.beam as tft_beam
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import rankdata

from tfx_imbalance.components.errors import UserError
from tfx_imbalance.pipeline.preprocessing import indicators, preprocessing_fn, transform_config
from tfx_imbalance.pipeline.preprocessing_params import PreprocessingParams

REQUIRED = {
    "x": tf.float32,
    "n": tf.int64,
    "constant": tf.float32,
    "s": tf.string,
    "y": tf.string,
    "_row_id": tf.int64,
    "_row_copy": tf.int64,
}
OPTIONAL = {"maybe": tf.float32, "empty": tf.float32, "word": tf.string, "w": tf.float32}
SPEC = {
    **{name: tf.io.FixedLenFeature([1], dtype) for name, dtype in REQUIRED.items()},
    **{name: tf.io.VarLenFeature(dtype) for name, dtype in OPTIONAL.items()},
}


def row(i: int, **changes) -> dict:
    values = {
        "x": float(i**3),
        "n": i % 3,
        "constant": 7.0,
        "s": "often" if i % 4 else "seldom",
        "y": "yes" if i % 5 == 0 else "no",
        "_row_id": 10**15 + i,
        "_row_copy": i % 2,
        "word": ["a", "b", None, ""][i % 4],
        "maybe": None if i % 2 else float(i),
        "empty": None,
        "w": 1.5,
        **changes,
    }
    return values


TRAIN = [row(i) for i in range(40)]


def transform(train, serve, tmp_path, params=None, label="y", weight="w", spec=None):
    """Analyses `train` and transforms `serve`; returns columns [n, 1] and the schema by name."""
    spec = spec or SPEC
    metadata = tft.DatasetMetadata.from_feature_spec(spec)
    config = transform_config(params or PreprocessingParams(), label=label, weight=weight)

    def instance(values: dict) -> dict:
        return {k: [] if values[k] is None else [values[k]] for k in spec}

    with beam.Pipeline("FnApiRunner") as pipeline, tft_beam.Context(temp_dir=str(tmp_path / "tmp")):
        rows = pipeline | beam.Create([instance(values) for values in train])
        fn = (rows, metadata) | tft_beam.AnalyzeDataset(
            lambda inputs: preprocessing_fn(inputs, config)
        )
        fn | tft_beam.WriteTransformFn(str(tmp_path / "graph"))
    output = tft.TFTransformOutput(str(tmp_path / "graph"))
    records = []
    for values in serve:
        features = {
            name: tf.train.Feature(
                **{
                    "bytes_list": tf.train.BytesList(value=[v.encode()])
                    if isinstance(v, str)
                    else None,
                    "float_list": tf.train.FloatList(value=[v]) if isinstance(v, float) else None,
                    "int64_list": tf.train.Int64List(value=[v]) if isinstance(v, int) else None,
                }
            )
            for name, v in values.items()
            if v is not None
        }
        example = tf.train.Example(features=tf.train.Features(feature=features))
        records.append(example.SerializeToString())
    raw = tf.io.parse_example(records, spec)
    columns = {k: v.numpy() for k, v in output.transform_raw_features(raw).items()}
    return columns, {f.name: f for f in output.transformed_metadata.schema.feature}


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    serve = [*TRAIN, row(0, s="never seen", word="never seen", maybe=float("nan"), x=1e30)]
    return transform(serve[:-1], serve, tmp_path_factory.mktemp("preprocessing"))


def test_every_output_is_dense_and_finite(done):
    columns, schema = done
    assert set(columns) == {*REQUIRED, *OPTIONAL, "maybe_missing", "empty_missing"}
    for name, values in columns.items():
        assert values.shape == (41, 1), name
        assert values.dtype in (np.float32, np.int64, object), name
        if values.dtype != object:
            assert np.isfinite(values).all(), name
    assert set(schema) == set(columns)


def test_label_row_id_and_weight_pass_through(done):
    columns, schema = done
    assert [v.decode() for v in columns["y"][:40, 0]] == [r["y"] for r in TRAIN]
    assert columns["_row_id"][:40, 0].tolist() == [r["_row_id"] for r in TRAIN]
    assert set(columns["w"][:, 0].tolist()) == {1.5}
    assert columns["_row_copy"][:40, 0].tolist() == [r["_row_copy"] for r in TRAIN]
    assert not schema["_row_id"].HasField("int_domain")


def test_numbers_are_z_scores_of_train(done):
    columns, _ = done
    for name in ("x", "n"):
        values = np.array([r[name] for r in TRAIN], np.float64)
        z = (values - values.mean()) / values.std()
        np.testing.assert_allclose(columns[name][:40, 0], z, atol=1e-4)


def test_z_scores_are_clipped(done):
    columns, _ = done
    assert columns["x"][40, 0] == 10.0


def test_constant_and_empty_columns_become_zero(done):
    columns, _ = done
    assert not columns["constant"].any() and not columns["empty"].any()


def test_an_indicator_is_constant_where_train_teaches_nothing_about_gaps(tmp_path):
    spec = {"x": SPEC["maybe"], "n": tf.io.VarLenFeature(tf.int64), "empty": SPEC["empty"]}
    train = [{"x": float(i), "n": i, "empty": None} for i in range(20)]
    serve = [*train, {"x": None, "n": None, "empty": 1.0}, {"x": 9.5, "n": 9, "empty": None}]
    columns, schema = transform(train, serve, tmp_path, weight=None, spec=spec)
    for name in spec:
        domain = schema[f"{name}_missing"].int_domain
        assert (domain.min, domain.max) == (0, 0)
        assert not columns[f"{name}_missing"].any()
    assert columns["x"][20] == columns["x"][21] == 0.0  # the mean of train
    assert columns["n"][20] == 0.0
    assert not columns["empty"].any()


def test_several_values_in_a_row_are_told_by_name(tmp_path):
    spec = {"a": SPEC["maybe"], "b": SPEC["word"]}
    rows = [{"a": 1.0, "b": "u"}] * 5
    transform(rows, rows, tmp_path, weight=None, spec=spec)
    example = tf.train.Example()
    example.features.feature["b"].bytes_list.value.extend([b"u", b"v"])
    raw = tf.io.parse_example([example.SerializeToString()], spec)
    output = tft.TFTransformOutput(str(tmp_path / "graph"))
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"several values.*b"):
        output.transform_features_layer()(raw)


DAYS = [20240100 + day for day in range(1, 28)]
SECONDS = [1_700_000_000 + second for second in range(120)]
NANOSECONDS = [1_700_000_000_000_000_000 + 7 * k for k in range(50)]


@pytest.mark.parametrize("numeric", ["z_score", "min_max", "quantile", "none"])
@pytest.mark.parametrize("values", [DAYS, SECONDS, NANOSECONDS], ids=["days", "seconds", "ns"])
@pytest.mark.parametrize("dense", [True, False])
def test_neighbouring_large_whole_numbers_stay_apart(tmp_path, numeric, values, dense):
    column = tf.io.FixedLenFeature([1], tf.int64) if dense else tf.io.VarLenFeature(tf.int64)
    rows = [{"t": value} for value in values] + ([] if dense else [{"t": None}])
    params = PreprocessingParams(numeric=numeric)
    columns, _ = transform(rows, rows, tmp_path, params, weight=None, spec={"t": column})
    scaled = columns["t"][: len(values), 0]
    assert scaled.dtype == np.float32
    assert len(set(scaled.tolist())) == len(values)
    above = np.array([value - values[0] for value in values], np.float64)
    expected = {
        "z_score": (above - above.mean()) / above.std(),
        "min_max": above / above[-1],
        "quantile": np.linspace(0, 1, len(values)),
        "none": above,
    }[numeric]
    np.testing.assert_allclose(scaled, expected, rtol=1e-5, atol=1e-6)


def test_whole_numbers_from_end_to_end_of_int64_do_not_overflow(tmp_path):
    rows = [{"n": value} for value in (-(2**63), 0, 2**63 - 1)]
    spec = {"n": tf.io.FixedLenFeature([1], tf.int64)}
    params = PreprocessingParams(numeric="min_max")
    columns, _ = transform(rows, rows, tmp_path, params, weight=None, spec=spec)
    np.testing.assert_allclose(columns["n"][:, 0], [0, 0.5, 1], atol=1e-7)


def test_numbers_stay_as_they_are_where_no_scaling_is_asked_for(tmp_path):
    rows = [{"n": value, "x": value / 8} for value in (-3, 0, 2**24)]
    spec = {"n": tf.io.FixedLenFeature([1], tf.int64), "x": SPEC["x"]}
    params = PreprocessingParams(numeric="none")
    columns, _ = transform(rows, rows, tmp_path, params, weight=None, spec=spec)
    assert columns["n"][:, 0].tolist() == [-3, 0, 2**24]
    assert columns["x"][:, 0].tolist() == [-0.375, 0, 2**21]


def test_ranks_are_mid_ranks_and_a_missing_value_lies_where_the_median_does(tmp_path):
    zeros_and_more = [0.0] * 70 + [float(v) for v in np.random.default_rng(0).normal(size=30)]
    rows = [{"x": x, "n": i // 9} for i, x in enumerate(zeros_and_more)] + [{"x": None, "n": None}]
    spec = {"x": SPEC["maybe"], "n": tf.io.VarLenFeature(tf.int64)}
    params = PreprocessingParams(numeric="quantile")
    columns, _ = transform(rows, rows, tmp_path, params, weight=None, spec=spec)
    for name in spec:
        values = np.array([r[name] for r in rows[:-1]], np.float32)
        expected = (rankdata(values) - 1) / (len(values) - 1)
        np.testing.assert_allclose(columns[name][:-1, 0], expected, atol=1e-6)
        at_median = expected[np.argsort(values)][[49, 50]].mean()
        assert columns[name][-1, 0] == pytest.approx(at_median, abs=1e-6)


def test_a_missing_number_lies_at_the_mean_and_is_flagged(done):
    columns, schema = done
    missing = np.array([r["maybe"] is None for r in TRAIN] + [True])
    assert not columns["maybe"][missing].any()
    present = np.array([r["maybe"] for r in TRAIN if r["maybe"] is not None])
    z = (present - present.mean()) / present.std()
    np.testing.assert_allclose(columns["maybe"][~missing, 0], z, atol=1e-4)
    np.testing.assert_array_equal(columns["maybe_missing"][:, 0], missing)
    domain = schema["maybe_missing"].int_domain
    assert (domain.min, domain.max) == (0, 1)


def test_missing_unseen_and_seen_categories_have_ids_of_their_own(done):
    columns, schema = done
    word = columns["word"][:, 0]
    ids = {r["word"]: set() for r in TRAIN}
    for r, value in zip(TRAIN, word, strict=False):
        ids[r["word"]].add(int(value))
    assert ids == {"a": {1}, "b": {2}, None: {0}, "": {0}}
    assert word[40] == 3  # out of vocabulary
    domain = schema["word"].int_domain
    assert (domain.min, domain.max, domain.is_categorical) == (0, 3, True)


def test_the_most_frequent_category_comes_first(done):
    columns, _ = done
    assert columns["s"][:4, 0].tolist() == [2, 1, 1, 1]


def test_ids_are_those_of_tfts_own_vocabulary(tmp_path):
    rng = np.random.default_rng(0)
    words = [f"v{k}" for k in rng.zipf(1.6, 300) % 40]
    spec = {"s": SPEC["s"], "y": SPEC["y"]}
    rows = [{"s": word, "y": "no"} for word in words]
    columns, schema = transform(
        rows,
        rows,
        tmp_path,
        PreprocessingParams(min_frequency=3, max_size=6, oov_buckets=2),
        weight=None,
        spec=spec,
    )
    metadata = tft.DatasetMetadata.from_feature_spec(spec)
    with beam.Pipeline("FnApiRunner") as pipeline, tft_beam.Context(temp_dir=str(tmp_path / "t")):
        data = pipeline | beam.Create([{k: [v] for k, v in r.items()} for r in rows])
        fn = (data, metadata) | tft_beam.AnalyzeDataset(
            lambda inputs: {
                "s": tft.compute_and_apply_vocabulary(
                    inputs["s"],
                    top_k=6,
                    frequency_threshold=3,
                    num_oov_buckets=2,
                    reserved_tokens=["<missing>"],
                )
            }
        )
        fn | tft_beam.WriteTransformFn(str(tmp_path / "theirs"))
    theirs = tft.TFTransformOutput(str(tmp_path / "theirs"))
    records = tf.constant([[word] for word in words])
    expected = theirs.transform_raw_features({"s": records, "y": records})["s"].numpy()

    counts = {word: words.count(word) for word in words}
    unique = [w for w in counts if list(counts.values()).count(counts[w]) == 1]
    index = [i for i, w in enumerate(words) if w in unique]
    assert len(index) > 100
    # Values of equal frequency may be ranked otherwise.
    np.testing.assert_array_equal(columns["s"][index], expected[index])
    theirs_domain = theirs.transformed_metadata.schema.feature[0].int_domain
    assert schema["s"].int_domain.max == theirs_domain.max == 8


def test_a_value_that_would_break_the_vocabulary_file_counts_as_unseen(tmp_path):
    spec = {"s": SPEC["s"], "y": SPEC["y"]}
    rows = [{"s": word, "y": "no"} for word in ["a\nb", "c", "d\r"] * 10]
    columns, schema = transform(rows, rows, tmp_path, weight=None, spec=spec)
    assert columns["s"][:3, 0].tolist() == [2, 1, 2]
    assert schema["s"].int_domain.max == 2


def test_whole_numbers_can_be_categories(tmp_path):
    params = PreprocessingParams(categorical=("n",))
    columns, schema = transform(TRAIN, TRAIN, tmp_path, params)
    assert schema["n"].int_domain.is_categorical
    assert len(set(columns["n"][:, 0].tolist())) == 3 and columns["n"].min() == 1


@pytest.mark.parametrize("numeric", ["min_max", "quantile", "none"])
def test_other_scalings(tmp_path, numeric):
    columns, _ = transform(
        TRAIN, [*TRAIN, row(5, x=1e9)], tmp_path, PreprocessingParams(numeric=numeric)
    )
    x = columns["x"][:, 0]
    for name in ("x", "n", "constant", "maybe", "empty"):
        assert np.isfinite(columns[name]).all()
        if numeric != "none":
            assert columns[name].min() >= 0 and columns[name].max() <= 1
    raw = np.array([r["x"] for r in TRAIN], np.float32)
    if numeric == "none":
        np.testing.assert_allclose(x[:40], raw)
        present = [r["maybe"] for r in TRAIN if r["maybe"] is not None]
        assert columns["maybe"][1, 0] == pytest.approx(np.mean(present))
    elif numeric == "min_max":
        np.testing.assert_allclose(x[:40], raw / raw.max(), atol=1e-6)
        assert x[40] == 1
    else:
        np.testing.assert_allclose(x[:40], np.arange(40) / 39, atol=0.05)
        assert columns["maybe"][1, 0] == 0.5


def test_a_whole_number_label_becomes_text_and_a_decimal_one_stays(tmp_path):
    columns, _ = transform(TRAIN, TRAIN, tmp_path, label="n", weight=None)
    assert {v.decode() for v in columns["n"][:, 0]} == {"0", "1", "2"}
    columns, _ = transform(TRAIN, TRAIN, tmp_path / "other", label="x", weight=None)
    assert columns["x"].dtype == np.float32 and columns["x"][2, 0] == 8.0


USER_FN = """
import tensorflow_transform as tft

def plain(inputs):
    return {"z": tft.scale_to_0_1(inputs["x"]), "y": inputs["x"]}

def configured(inputs, custom_config):
    return {custom_config["label"] + "_copy": inputs["n"]}
"""


@pytest.mark.parametrize(("name", "feature"), [("plain", "z"), ("configured", "y_copy")])
def test_a_users_own_function_keeps_label_weight_and_identity(tmp_path, monkeypatch, name, feature):
    (tmp_path / "my_preprocessing.py").write_text(USER_FN)
    monkeypatch.syspath_prepend(str(tmp_path))
    try:
        columns, _ = transform(
            TRAIN, TRAIN, tmp_path, PreprocessingParams(fn=f"my_preprocessing.{name}")
        )
    finally:
        sys.modules.pop("my_preprocessing", None)
    assert set(columns) == {feature, "y", "w", "_row_id", "_row_copy"}
    assert columns["y"][0, 0] == b"yes"


NAMES = [f"a{'_missing' * i}{'_' * j}" for i in range(3) for j in range(3)]


def traced(spec: dict, **params) -> None:
    config = transform_config(PreprocessingParams(**params), label="y", weight=None)
    tf.function(lambda: preprocessing_fn(spec, config)).get_concrete_function()


@pytest.mark.parametrize("fn", ["no_such_module.fn", "json.no_such_function", "nodots"])
def test_a_function_that_cannot_be_loaded_is_told(fn):
    with pytest.raises(UserError, match=r"preprocessing\.fn: cannot load"):
        traced({}, fn=fn)


def test_a_column_with_several_values_a_row_is_told():
    with pytest.raises(UserError, match="column 'v' has several values a row"):
        traced({"v": tf.zeros([5, 3])})


def test_decimal_numbers_are_no_categories():
    with pytest.raises(UserError, match=r"preprocessing\.categorical: column 'x'"):
        traced({"x": tf.zeros([5, 1])}, categorical=("x",))


def test_a_column_named_like_an_indicator_keeps_its_name():
    taken = ["x", "x_missing", "x_missing_", "z"]
    chosen = indicators(["x", "x_missing", "z"], taken)
    assert chosen == {"x": "x_missing__", "x_missing": "x_missing_missing", "z": "z_missing"}


@given(st.lists(st.sampled_from(NAMES), unique=True), st.sets(st.sampled_from(NAMES)))
def test_indicators_are_distinct_and_no_column_s(names, others):
    taken = {*names, *others}
    chosen = indicators(names, taken)
    assert list(chosen) == names
    assert len({*chosen.values()} | taken) == len(chosen) + len(taken)

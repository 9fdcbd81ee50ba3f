"""Preprocessing of odd names and values, in any order of the rows."""

import math
from collections.abc import Callable, Mapping
from pathlib import Path

import apache_beam as beam
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_transform as tft
import tensorflow_transform.beam as tft_beam

from tfx_imbalance.components.trainer.input import Feature
from tfx_imbalance.components.trainer.learners.warm_start import Inputs
from tfx_imbalance.pipeline.preprocessing import preprocessing_fn, transform_config
from tfx_imbalance.pipeline.preprocessing_params import PreprocessingParams

NUMBER, WHOLE, TEXT = (tf.io.FixedLenFeature([1], t) for t in (tf.float32, tf.int64, tf.string))
SOME_NUMBER, SOME_TEXT = (tf.io.VarLenFeature(t) for t in (tf.float32, tf.string))
N = 120
SPEC = {
    "income": SOME_NUMBER,
    "age": WHOLE,
    "constant": NUMBER,
    "empty": SOME_NUMBER,
    "job": SOME_TEXT,
    "no text": SOME_TEXT,
    "in/out (%) of a column": NUMBER,
    "city/../town": TEXT,
    "code": WHOLE,
    "y": TEXT,
    "w": NUMBER,
    "_row_id": WHOLE,
}
JOBS = ["clerk"] * 40 + ["nurse"] * 30 + ["smith"] * 5 + ["rare"] * 4 + [""] * 6
CITIES = ["Bern"] * 60 + ["Rome"] * 40 + ["two\nlines"] * 10 + ["<missing>"] * 10

Row = dict[str, list]
Columns = dict[str, np.ndarray]


def make_rows() -> list[Row]:
    rng = np.random.default_rng(0)
    jobs = [[job] for job in JOBS] + [[]] * (N - len(JOBS))
    return [
        {
            "income": [float(rng.exponential(1000))] if i % 4 else [],
            "age": [int(rng.integers(18, 80))],
            "constant": [3.0],
            "empty": [],
            "job": jobs[i],
            "no text": [],
            "in/out (%) of a column": [float(rng.normal())],
            "city/../town": [CITIES[i * 7 % N]],
            "code": [int(7 * (i % 3))],
            "y": ["yes" if i % 10 == 0 else "no"],
            "w": [float(i)],
            "_row_id": [int(rng.integers(-(2**63), 2**63 - 1))],
        }
        for i in range(N)
    ]


class Analyzed:
    """Transform's graph after an analysis of `rows`, called with other rows."""

    def __init__(
        self,
        folder: Path,
        rows: list[Row],
        params: PreprocessingParams,
        spec: Mapping[str, object] = SPEC,
    ) -> None:
        config = transform_config(params, label="y", weight="w")
        metadata = tft.DatasetMetadata.from_feature_spec(dict(spec))
        with (
            beam.Pipeline("FnApiRunner") as pipeline,
            tft_beam.Context(temp_dir=str(folder / "tmp")),
        ):
            instances = pipeline | beam.Create([{k: row[k] for k in spec} for row in rows])
            fn = (instances, metadata) | tft_beam.AnalyzeDataset(
                lambda inputs: preprocessing_fn(inputs, config)
            )
            fn | tft_beam.WriteTransformFn(str(folder / "graph"))
        self.output = tft.TFTransformOutput(str(folder / "graph"))
        self.spec = dict(spec)

    def __call__(self, rows: list[Row]) -> Columns:
        records = [example({k: row[k] for k in self.spec}) for row in rows]
        parsed = tf.io.parse_example(records, self.spec)
        columns = self.output.transform_raw_features(parsed)
        for name, column in columns.items():
            assert column.shape == (len(rows), 1), name
        return {name: column.numpy()[:, 0] for name, column in columns.items()}

    def domain(self, name: str) -> tuple[int, int] | None:
        """The lowest and the highest id that the transformed schema allows."""
        (feature,) = (f for f in self.output.transformed_metadata.schema.feature if f.name == name)
        if not feature.HasField("int_domain"):
            return None
        return feature.int_domain.min, feature.int_domain.max


def example(row: Row) -> bytes:
    features = {}
    for name, values in row.items():
        if not values:
            continue
        if isinstance(values[0], str):
            texts = [value.encode() for value in values]
            features[name] = tf.train.Feature(bytes_list=tf.train.BytesList(value=texts))
        elif isinstance(values[0], int):
            features[name] = tf.train.Feature(int64_list=tf.train.Int64List(value=values))
        else:
            features[name] = tf.train.Feature(float_list=tf.train.FloatList(value=values))
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    return make_rows()


@pytest.fixture(scope="module")
def analyze(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Analyzed]:
    return lambda rows, params, spec=SPEC: Analyzed(
        tmp_path_factory.mktemp("transform"), rows, params, spec
    )


@pytest.fixture(scope="module")
def analyzed(rows: list[Row], analyze: Callable[..., Analyzed]) -> Analyzed:
    return analyze(rows, PreprocessingParams(categorical=("code",), clip=2.0))


@pytest.fixture(scope="module")
def columns(rows: list[Row], analyzed: Analyzed) -> Columns:
    return analyzed(rows)


def test_a_number_that_is_not_finite_is_missing(rows, analyzed):
    odd = [{**rows[0], "income": [value]} for value in (math.nan, math.inf, -math.inf)]
    seen = analyzed(odd)
    assert seen["income"].tolist() == [0, 0, 0]
    assert seen["income_missing"].tolist() == [1, 1, 1]


def test_odd_names_and_odd_values_of_text_do_no_harm(rows, columns):
    names = [row["city/../town"][0] for row in rows]
    ids = dict(zip(names, columns["city/../town"].tolist(), strict=True))
    # A value of two lines cannot stand in a vocabulary file; it counts as unseen.
    assert ids == {"Bern": 1, "Rome": 2, "two\nlines": 3, "<missing>": 0}


def test_long_names_of_text_columns_have_vocabularies_that_a_warm_start_finds(rows, analyze):
    names = ["\u9867\u5ba2\u306e\u4f4f\u6240" * 17 + end for end in "ab"]
    given = [{names[0]: row["job"], names[1]: row["city/../town"], "y": row["y"]} for row in rows]
    spec = {names[0]: SOME_TEXT, names[1]: TEXT, "y": TEXT}
    found = analyze(given, PreprocessingParams(), spec)
    ids = found(given)
    features = [Feature(name, 1, categories=9) for name in names]
    vocabularies = Inputs.of(found.output, features, ["no", "yes"]).vocabularies
    assert [vocabularies[name][1] for name in names] == [b"clerk", b"Bern"]
    assert ids[names[0]][0] == 1 and len(set(ids[names[1]])) == 4


def test_the_order_of_the_rows_does_not_matter(rows, columns, analyze):
    order = np.random.default_rng(1).permutation(N)
    params = PreprocessingParams(categorical=("code",), clip=2.0)
    other = analyze([rows[i] for i in order], params)(rows)
    assert set(other) == set(columns)
    for name, values in columns.items():
        if values.dtype == np.float32:
            np.testing.assert_allclose(other[name], values, atol=1e-5, err_msg=name)
        else:
            np.testing.assert_array_equal(other[name], values, err_msg=name)


def test_a_vocabulary_can_be_limited_and_unseen_categories_spread(rows, analyze):
    params = PreprocessingParams(min_frequency=1, max_size=2, oov_buckets=3)
    small = analyze(rows, params, {"job": SOME_TEXT, "y": TEXT})
    seen = small([{"job": [job], "y": ["no"]} for job in ("clerk", "nurse", "", "smith", "rare")])
    assert seen["job"].tolist()[:3] == [1, 2, 0]
    unseen = small([{"job": [f"job {i}"], "y": ["no"]} for i in range(40)])["job"].tolist()
    assert set(unseen) == {3, 4, 5}
    assert set(seen["job"].tolist()[3:]) <= {3, 4, 5}
    assert small.domain("job") == (0, 5)

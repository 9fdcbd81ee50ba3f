"""What Transform makes of raw columns, against numpy; one analysis of Beam serves many tests."""

import math
from collections.abc import Callable, Mapping
from pathlib import Path

import apache_beam as beam
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_transform as tft
import tensorflow_transform.beam as tft_beam

from tfx_imbalance.components.errors import UserError
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
NUMBERS = ("income", "age", "constant", "empty", "in/out (%) of a column")
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


def raw(rows: list[Row], name: str) -> np.ndarray:
    """A numeric column; NaN where missing."""
    return np.array([row[name][0] if row[name] else math.nan for row in rows])


def test_outputs_are_the_inputs_and_an_indicator_for_each_number_that_may_be_missing(columns):
    assert set(columns) == {*SPEC, "income_missing", "empty_missing"}


@pytest.mark.parametrize("name", ["age", "income", "in/out (%) of a column"])
def test_numbers_are_clipped_z_scores_and_missing_ones_lie_at_the_mean(rows, columns, name):
    x = raw(rows, name)
    z = np.clip((x - np.nanmean(x)) / np.nanstd(x), -2, 2)
    np.testing.assert_allclose(columns[name], np.where(np.isnan(x), 0, z), atol=1e-4)
    assert columns[name].dtype == np.float32


def test_the_indicator_says_which_numbers_are_missing(rows, columns, analyzed):
    assert columns["income_missing"].tolist() == np.isnan(raw(rows, "income")).astype(int).tolist()
    assert set(columns["empty_missing"].tolist()) == {1}
    assert analyzed.domain("income_missing") == (0, 1)


def test_a_number_that_is_not_finite_is_missing(rows, analyzed):
    odd = [{**rows[0], "income": [value]} for value in (math.nan, math.inf, -math.inf)]
    seen = analyzed(odd)
    assert seen["income"].tolist() == [0, 0, 0]
    assert seen["income_missing"].tolist() == [1, 1, 1]


def test_constant_and_all_missing_numbers_become_zero(columns):
    assert set(columns["constant"].tolist()) == set(columns["empty"].tolist()) == {0.0}


def test_missing_and_empty_text_has_id_0(columns):
    ids = dict(zip([*JOBS, *[None] * (N - len(JOBS))], columns["job"].tolist(), strict=True))
    assert ids[""] == ids[None] == 0
    assert set(columns["no text"].tolist()) == {0}


def test_categories_have_ids_by_frequency_down_to_the_floor(rows, columns, analyzed):
    ids = {row["job"][0]: int(i) for row, i in zip(rows, columns["job"], strict=True) if row["job"]}
    # smith stands in 5 rows, the floor; rare in 4 is as if never seen.
    assert ids == {"clerk": 1, "nurse": 2, "smith": 3, "rare": 4, "": 0}
    assert analyzed([{**rows[0], "job": ["never seen"]}])["job"].tolist() == [4]
    assert analyzed.domain("job") == (0, 4)


def test_odd_names_and_odd_values_of_text_do_no_harm(rows, columns):
    names = [row["city/../town"][0] for row in rows]
    ids = dict(zip(names, columns["city/../town"].tolist(), strict=True))
    # A value of two lines cannot stand in a vocabulary file; it counts as unseen.
    assert ids == {"Bern": 1, "Rome": 2, "two\nlines": 3, "<missing>": 0}


def test_whole_numbers_can_be_categories(rows, columns, analyzed):
    ids = {row["code"][0]: int(i) for row, i in zip(rows, columns["code"], strict=True)}
    assert ids == {0: 1, 14: 2, 7: 3}  # equally frequent: by their text
    assert analyzed.domain("code") == (0, 4)


def test_label_weight_and_row_id_pass_through(rows, columns, analyzed):
    assert [y.decode() for y in columns["y"]] == [row["y"][0] for row in rows]
    np.testing.assert_array_equal(columns["w"], raw(rows, "w").astype(np.float32))
    assert columns["_row_id"].tolist() == [row["_row_id"][0] for row in rows]
    assert analyzed.domain("_row_id") is None


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


@pytest.mark.parametrize("numeric", ["min_max", "quantile", "none"])
def test_other_scalings_follow_their_formulas(rows, analyze, numeric):
    spec = {name: SPEC[name] for name in (*NUMBERS, "y")}
    seen = analyze(rows, PreprocessingParams(numeric=numeric), spec)(rows)
    for name in NUMBERS:
        assert np.isfinite(seen[name]).all(), name
    for name in ("income", "age"):
        x = raw(rows, name)
        filled = np.where(np.isnan(x), np.nanmean(x), x)
        if numeric == "none":
            np.testing.assert_allclose(seen[name], filled, rtol=1e-5)
        elif numeric == "min_max":
            low, high = np.nanmin(x), np.nanmax(x)
            np.testing.assert_allclose(seen[name], (filled - low) / (high - low), atol=1e-5)
        else:
            present = ~np.isnan(x)
            rank = (x[present, None] >= x[None, present]).mean(axis=1)
            np.testing.assert_allclose(seen[name][present], rank, atol=0.06)
            assert set(seen[name][~present].tolist()) <= {0.5}
            order = np.argsort(x[present])
            assert (np.diff(seen[name][present][order]) >= 0).all()
    if numeric != "none":
        for name in NUMBERS:
            assert (seen[name] >= 0).all() and (seen[name] <= 1).all(), name


def call(inputs: dict, **params) -> dict[str, tf.Tensor]:
    config = transform_config(PreprocessingParams(**params), label="y", weight="w")
    return preprocessing_fn(inputs, config)


USERS_CODE = """
import tensorflow as tf

def simple(inputs):
    return {"double": 2 * inputs["x"]}

def configured(inputs, custom_config):
    return {"label_was_" + custom_config["label"]: inputs["x"]}
"""


@pytest.fixture
def users_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "preprocessing_of_a_user.py").write_text(USERS_CODE)
    monkeypatch.syspath_prepend(str(tmp_path))
    return "preprocessing_of_a_user"


def test_a_users_function_is_called_by_its_dotted_name(users_module):
    x = tf.constant([[1.0], [2.0]])
    simple = call({"x": x}, fn=f"{users_module}.simple")
    assert {k: v.numpy().tolist() for k, v in simple.items()} == {"double": [[2.0], [4.0]]}
    assert set(call({"x": x}, fn=f"{users_module}.configured")) == {"label_was_y"}


def test_a_users_function_need_not_pass_on_label_weight_and_row_id(users_module):
    inputs = {
        "x": tf.constant([[1.0], [2.0]]),
        "y": tf.constant([[0], [1]], tf.int64),
        "w": tf.SparseTensor([[1, 0]], [4.0], [2, 1]),
        "_row_id": tf.constant([[-(2**63)], [2**63 - 1]], tf.int64),
    }
    outputs = call(inputs, fn=f"{users_module}.simple")
    assert set(outputs) == {"double", "y", "w", "_row_id"}
    assert outputs["y"].numpy().tolist() == [[b"0"], [b"1"]]  # a class is known by its name
    assert outputs["w"].numpy().tolist() == [[1.0], [4.0]]  # a row without a weight weighs 1
    assert outputs["_row_id"].numpy().tolist() == [[-(2**63)], [2**63 - 1]]


@pytest.mark.parametrize("name", ["no_such_module.fn", "math.no_such_function", "fn"])
def test_a_function_that_cannot_be_loaded_is_refused_by_name(name):
    with pytest.raises(UserError, match=f"preprocessing.fn: cannot load {name!r}"):
        call({"x": tf.constant([[1.0]])}, fn=name)


def test_decimal_numbers_are_refused_as_categories():
    with pytest.raises(UserError, match=r"preprocessing.categorical: column 'x' holds decimal"):
        call({"x": tf.constant([[1.5]])}, categorical=("x",))


def test_a_column_of_several_values_a_row_is_refused_by_name():
    with pytest.raises(UserError, match="column 'x' has several values a row"):
        call({"x": tf.constant([[1.0, 2.0]])})


def test_a_column_named_as_an_indicator_is_refused_by_name(rows, analyze):
    spec = {"income": SOME_NUMBER, "income_missing": NUMBER}
    with pytest.raises(UserError, match="'income_missing': preprocessing writes a feature of"):
        analyze([{**row, "income_missing": [1.0]} for row in rows], PreprocessingParams(), spec)

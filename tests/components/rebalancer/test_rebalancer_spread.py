"""Classes too large for one place: the rows that a search by cells in one place gives."""

from collections import Counter
from dataclasses import replace
from fractions import Fraction
from types import SimpleNamespace

import apache_beam as beam
import numpy as np
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps

from tfx_imbalance.components import examples_io
from tfx_imbalance.components.errors import UserError
from tfx_imbalance.components.rebalancer import cells, plan, rebalance, spread_search, spread_smote
from tfx_imbalance.components.rebalancer.features import Features
from tfx_imbalance.components.rebalancer.moments import _SCALE, Moments, exact_sums
from tfx_imbalance.components.rebalancer.neighbors import Space
from tfx_imbalance.components.rebalancer.output import synthetic_frames
from tfx_imbalance.components.rebalancer.params import RebalanceParams
from tfx_imbalance.components.rebalancer.reading import Job, Layout
from tfx_imbalance.components.rebalancer.rows import Split
from tfx_imbalance.components.rebalancer.samplers import SAMPLERS
from tfx_imbalance.components.rebalancer.samplers.base import Source
from tfx_imbalance.components.rebalancer.samplers.smote_nc import median_deviation
from tfx_imbalance.components.rebalancer.selection import uses_of
from tfx_imbalance.components.rebalancer.synthesis import synthesise

CLASSES = ("no", "perhaps", "yes")
NUMERIC = {"a": "float", "b": "int", "v": "float"}
WEIGHT = ("w", "float")
FEATURES = {
    "smote": Features(NUMERIC, (), {}, WEIGHT, {"v": 2}),
    "smote_nc": Features(NUMERIC, ("c", "d"), {}, WEIGHT, {"v": 2}),
}
# `yes` is searched in 6 cells with 2 probes; `perhaps` is one cell.
ROWS = (500, 60, 2600)


def make_records(kit: SimpleNamespace) -> list[bytes]:
    rng = np.random.default_rng(5)
    n = sum(ROWS)
    centres = rng.normal(scale=2, size=(8, 4))[rng.integers(0, 8, n)]
    x = (centres + rng.normal(size=(n, 4))).astype(np.float32)
    data = kit.Data(
        {
            "a": x[:, 0],
            "b": np.rint(3 * x[:, 1]).astype(np.int64),
            "v": x[:, 2:],
            "c": rng.integers(0, 3, n),
            "d": rng.integers(0, 6, n),
            "w": rng.uniform(0.5, 2, n).astype(np.float32),
            "y": np.repeat(np.array(CLASSES, object), ROWS),
            "_row_id": rng.integers(-(2**63), 2**63 - 1, n),
        }
    )
    index = np.arange(n)
    index[-40:-10] = n - 1  # more copies than neighbours
    index[-10:-7] = n - 2
    source = data.take(index)
    source.columns["w"][-40:-30] = 3  # one identity, another weight
    return source.records()


def params_of(method: str = "smote", **changed: object) -> RebalanceParams:
    given = {
        "sampling_strategy": {"perhaps": 131, "yes": 3299},
        "k_neighbors": 4,
        "seed": 2**40 + 3,
    }
    made = RebalanceParams(method=method, provenance=True, **given)
    return made.model_copy(
        update={"exact_rows": 700, "memory_limit_mb": 0.045, "recall": 0.97, **changed}
    )


@pytest.fixture(scope="module")
def records(kit: SimpleNamespace) -> list[bytes]:
    return make_records(kit)


@pytest.fixture(scope="module")
def by_cells(tmp_path_factory, kit):
    """Rebalances records, given their counts: the rows written, and the report."""

    def call(source, params, shards=1, threads=1, features=None, counts=True, mode="threading"):
        folder = tmp_path_factory.mktemp("spread")
        many = {"direct_num_workers": threads, "direct_running_mode": f"multi_{mode}"}
        options = PipelineOptions([], **(many if threads > 1 else {}))
        label = (dict(kit.parsed(record))["y"].decode() for record in source)
        report = rebalance.rebalance(
            lambda: beam.Pipeline(runner=FnApiRunner(), options=options),
            kit.write_files(folder / "in", source, shards),
            str(folder / "out"),
            label="y",
            classes=CLASSES,
            features=features or FEATURES[params.method],
            params=params,
            counts=Counter(label) if counts is True else counts,
        )
        written = kit.read([str(path) for path in (folder / "out").iterdir()])
        return kit.multiset_of(written), report

    return call


def in_one_place(source, params, kit, has_row_id=True, features=None):
    """Synthetic rows as multiset of `cells.search` with one ask, and its recall, by class."""
    features = features or FEATURES[params.method]
    layout = Layout("y", CLASSES, has_row_id)
    everything = kit.decoded(source, layout, features)
    rows, recall = Counter(), {}
    for code, total in ((1, 131 - 60), (2, 3299 - 2600)):
        mine = everything.take(everything.codes == code)
        split = Split(mine, CLASSES, features, params.seed)
        space = Space(split.numeric)
        if params.method == "smote_nc":
            space = Space(split.numeric, split.categories, median_deviation(split.numeric))
        table, found = cells.search(
            space,
            params.k_neighbors,
            mine.ids,
            params.seed % 2**32,
            exact_rows=params.exact_rows,
            recall=params.recall,
            max_asks=1,
            joins=False,
        )
        each = np.arange(len(split))
        uses = uses_of(mine.ids, total, params.seed)
        source_of = Source(code, each, uses, each, params.k_neighbors, params.method, table=table)
        made, origin = synthesise(SAMPLERS[params.method], split, source_of, 0, total)
        for frames in synthetic_frames(made, origin, layout, True):
            rows += kit.multiset_of(frames.payloads())
        if len(mine.ids) > params.exact_rows:
            recall[CLASSES[code]] = found
    return rows, recall


@pytest.mark.parametrize(
    ("method", "shards", "threads"),
    [("smote", 1, 1), ("smote", 5, 1), ("smote", 3, 3), ("smote_nc", 4, 1)],
)
def test_rows_are_those_of_one_place_however_the_input_is_cut(
    method, shards, threads, records, by_cells, kit, monkeypatch
):
    params = params_of(method)
    expected, recall = in_one_place(records, params, kit)
    source = records
    if shards > 1:
        source = [records[i] for i in np.random.default_rng(shards).permutation(len(records))]
        monkeypatch.setattr(spread_search, "_HELD_VALUES", 1500)
        monkeypatch.setattr(spread_smote, "_TASK_ROWS", 7)
    rows, report = by_cells(source, params, shards, threads)
    assert rows == kit.multiset_of(records) + expected
    assert report.recall == recall
    assert params.recall <= recall["yes"] < 1
    assert report.synthetic == {"no": 0, "perhaps": 71, "yes": 699}
    assert report.after == {"no": 500, "perhaps": 131, "yes": 3299}


@pytest.mark.slow
def test_two_processes_give_the_rows_that_one_gives(records, by_cells):
    one, report = by_cells(records, params_of())
    two, again = by_cells(records[::-1], params_of(), 5, 2, mode="processing")
    assert (two, again) == (one, report)


def test_nothing_grows_though_the_counts_said_so(records, by_cells, kit):
    params = params_of(sampling_strategy={"yes": 2600})
    rows, report = by_cells(records, params, counts={"no": 500, "perhaps": 60, "yes": 2599})
    assert rows == kit.multiset_of(records)
    assert not report.recall


def test_every_row_is_used_evenly_with_more_uses_than_rows(records, by_cells, kit):
    params = params_of(sampling_strategy={"yes": 3 * 2600 + 77})
    rows, report = by_cells(records, params, shards=2)
    assert report.synthetic["yes"] == 2 * 2600 + 77
    source = [dict(kit.parsed(record)) for record in records]
    copies = Counter(row["_row_id"] for row in source if row["y"] == b"yes")
    bases = Counter()
    for row, times in rows.items():
        if "_synthetic_base" in dict(row):
            bases[dict(row)["_synthetic_base"]] += times
    assert set(bases) == set(copies)
    assert all(2 * copies[i] <= uses <= 3 * copies[i] for i, uses in bases.items())


def test_rows_without_identity_are_spread_too(records, by_cells, kit):
    def row(record):
        values = dict(kit.parsed(record))
        return kit.example({**values, "y": values["y"].decode(), "_row_id": None})

    params = params_of()
    source = [row(record) for record in records]
    rows, _ = by_cells(source, params, shards=3)
    assert rows == kit.multiset_of(source) + in_one_place(source, params, kit, False)[0]


def test_text_is_copied_from_the_base_row(records, by_cells, kit):
    def row(record):
        values = dict(kit.parsed(record))
        return kit.example(
            {**values, "y": values["y"].decode(), "t": f"text {values['_row_id'] % 7}"}
        )

    params = params_of()
    features = replace(FEATURES["smote"], copied=("t",))
    source = [row(record) for record in records]
    rows, _ = by_cells(source, params, shards=3, features=features)
    made, _ = in_one_place(source, params, kit, features=features)
    assert rows == kit.multiset_of(source) + made
    assert all("t" in dict(row) for row in made)


def test_a_class_of_many_equal_rows_is_spread(by_cells, kit):
    def row(y, i):
        return kit.example({"a": float(i), "y": y, "_row_id": i})

    source = [row("no", i) for i in range(100)] + [row("yes", i % 60) for i in range(1200)]
    params = params_of(sampling_strategy={"yes": 1501}, memory_limit_mb=0.003, exact_rows=1)
    rows, report = by_cells(source, params, shards=3, features=Features({"a": "float"}))
    assert report.synthetic["yes"] == 301
    # A row's neighbours are its copies.
    assert all(dict(row)["a"] == int(dict(row)["a"]) for row in rows)


def test_cells_that_do_not_fit_are_told(records, by_cells):
    params = params_of(memory_limit_mb=0.001)
    with pytest.raises(
        UserError, match=r"^rebalance.memory_limit_mb: 0.001 MB do .* of class (yes|perhaps)"
    ):
        by_cells(records, params)


def test_without_counts_one_place_has_to_do(records, by_cells):
    with pytest.raises(UserError, match=r"^rebalance.memory_limit_mb: 0.045 MB do .*give `counts`"):
        by_cells(records, params_of(), counts=None)


@pytest.mark.parametrize(
    ("method", "rows", "limit", "told"),
    [
        # 2**18 rows of 1 + 1 + 2 values are 8 MB: with an integer among them each has 8 bytes.
        ("smote", [2**19, 2**17, 2**17], 8, False),
        ("smote", [2**19, 2**17, 2**17 + 1], 8, True),
        ("smote_nc", [2**19, 2**17, 2**17], 8, True),
        ("smote_enn", [2**16, 2**16, 2**17], 8, False),
        ("smote_enn", [2**16, 2**16, 2**17 + 1], 8, True),
        ("edited_nearest_neighbours", [2**16, 2**16, 2**17 + 1], 8, True),
        ("rose", [2**19, 2**18, 2**18], 1, False),
        ("over", [2**19, 2**18, 2**18], 1, False),
    ],
)
def test_classes_that_do_not_fit_are_spread_if_the_method_can(method, rows, limit, told):
    params = RebalanceParams(method=method, memory_limit_mb=limit)
    features = FEATURES.get(method, FEATURES["smote"])
    told_way = plan.way(dict(zip(CLASSES, rows, strict=True)), features, params)
    assert told_way == ("cells" if told else "place")


def test_a_strategy_that_does_not_fit_the_counts_is_left_to_the_plan():
    params = RebalanceParams(method="smote", sampling_strategy={"yes": 1})
    assert plan.way({"no": 9, "yes": 5}, FEATURES["smote"], params) == "place"


def test_examples_are_read_three_times_more(kit):
    steps = []
    with kit.in_memory() as pipeline:
        frames = pipeline | beam.Create([examples_io.framed(kit.make_data().records())])
        params = RebalanceParams(method="smote", k_neighbors=3)
        job = Job(Layout("y", kit.CLASSES, True), kit.FEATURE_SETS["numeric"], params)
        rebalance.rebalanced(lambda step: steps.append(step) or frames, job, "cells")
    assert len(set(steps)) == len(steps) == 5


FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)


@given(nps.arrays(np.float32, st.tuples(st.integers(1, 9), st.integers(1, 3)), elements=FLOATS))
@settings(max_examples=60)
def test_sums_are_exact_in_any_order(matrix):
    for values in (matrix.astype(np.float64), matrix.astype(np.float64) ** 2):
        exact = [sum(Fraction(x) for x in column) for column in values.T.tolist()]
        assert [Fraction(s, 1 << _SCALE) for s in exact_sums(values)] == exact
        assert exact_sums(values[::-1]) == exact_sums(values)
    cut = len(matrix) // 2
    parts = Moments.of(matrix[cut:]).plus(Moments.of(matrix[:cut]))
    assert parts == Moments.of(matrix)


def test_deviation_is_that_of_the_matrix():
    rng = np.random.default_rng(0)
    matrix = (rng.normal(size=(500, 4)) * [1, 1e-3, 1e4, 5] + [0, 1, 1e6, 3]).astype(np.float32)
    deviation = Moments.of(matrix).median_deviation()
    assert deviation == pytest.approx(median_deviation(matrix), rel=1e-12)
    constant = np.full((7, 3), 0.1, np.float32)
    assert Moments.of(constant).median_deviation() == 0

"""Cleaning past memory: the rows that a search by cells of all rows in one place removes."""

from collections import Counter

import apache_beam as beam
import numpy as np
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.testing.util import assert_that

from tfx_imbalance.components import examples_io
from tfx_imbalance.components.errors import UserError
from tfx_imbalance.components.rebalancer import cells, rebalance, spread_search
from tfx_imbalance.components.rebalancer.features import Features
from tfx_imbalance.components.rebalancer.neighbors import Space
from tfx_imbalance.components.rebalancer.output import synthetic_frames
from tfx_imbalance.components.rebalancer.params import RebalanceParams
from tfx_imbalance.components.rebalancer.reading import Job, Layout
from tfx_imbalance.components.rebalancer.rows import Origin, Rows, Split
from tfx_imbalance.components.rebalancer.samplers import SAMPLERS, SyntheticSampler
from tfx_imbalance.components.rebalancer.synthesis import synthesise
from tfx_imbalance.components.rebalancer.transform import RebalanceExamples

CLASSES = ("no", "perhaps", "yes")
FEATURES = Features({"a": "float", "b": "int", "v": "float"}, (), {}, ("w", "float"), {"v": 2})
LAYOUT = Layout("y", CLASSES, True)
GROW = {"no": 350, "perhaps": 400}
METHODS = {
    "enn": {"method": "edited_nearest_neighbours"},
    "enn of all": {
        "method": "edited_nearest_neighbours",
        "sampling_strategy": "all",
        "kind_sel": "mode",
        "n_neighbors": 5,
    },
    "tomek": {"method": "tomek_links"},
    "tomek of all": {"method": "tomek_links", "sampling_strategy": "all"},
    "smote_tomek": {"method": "smote_tomek", "k_neighbors": 4, "sampling_strategy": GROW},
    "smote_enn": {"method": "smote_enn", "sampling_strategy": GROW, "kind_sel": "mode"},
}
# The union of SMOTE's rows and the others is searched in cells; each growing class is one cell.
CELLS = {"exact_rows": 400, "memory_limit_mb": 0.03, "recall": 0.9}


def params_of(name, **changed):
    params = RebalanceParams(**METHODS[name], seed=2**40 + 3, provenance=True)
    return params.model_copy(update=changed)


def make_records(kit, whole=False):
    """Overlapping classes, with equal rows of one class, of several, and of one identity.

    `whole`: features are small integers, so that many rows are equally far, or equal.
    """
    rng, rows = np.random.default_rng(5), (300, 60, 900)
    n = sum(rows)
    centres = rng.normal(size=(8, 4))[rng.integers(0, 8, n)]
    x = (centres + rng.normal(size=(n, 4))).astype(np.float32)
    x[rows[0] : rows[0] + rows[1]] += 2
    if whole:
        x = np.rint(x)
    data = kit.Data(
        {
            "a": x[:, 0],
            "b": np.rint(3 * x[:, 1]).astype(np.int64),
            "v": x[:, 2:],
            "w": rng.uniform(0.5, 2, n).astype(np.float32),
            "y": np.repeat(np.array(CLASSES, object), rows),
            "_row_id": rng.integers(-(2**63), 2**63 - 1, n),
        }
    )
    index = np.arange(n)
    index[-40:-10] = n - 1
    index[-10:-4] = [n - 2] * 4 + [n - 3] * 2
    data = data.take(index)
    data.columns["y"][[-40, -39, -10, -9, -5]] = ["no", "no", "no", "perhaps", "no"]
    data.columns["w"][-30:-20] = 3
    return data.records()


@pytest.fixture(scope="module")
def records(kit):
    return make_records(kit)


@pytest.fixture(scope="module")
def rebalanced(tmp_path_factory, kit):
    """Rebalances records in one of the ways: the rows written, and the report."""

    def call(source, params, way, shards=1, threads=1, mode="threading"):
        folder = tmp_path_factory.mktemp("cleaned")
        many = {"direct_num_workers": threads, "direct_running_mode": f"multi_{mode}"}
        options = PipelineOptions([], **(many if threads > 1 else {}))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(rebalance, "way", lambda *_: way)
            report = rebalance.rebalance(
                lambda: beam.Pipeline(runner=FnApiRunner(), options=options),
                kit.write_files(folder / "in", source, shards),
                str(folder / "out"),
                label="y",
                classes=CLASSES,
                features=FEATURES,
                params=params,
                counts=counts_of(source, kit),
            )
        written = kit.read([str(path) for path in (folder / "out").iterdir()])
        return kit.multiset_of(written), report

    return call


def counts_of(source, kit):
    return Counter(dict(kit.parsed(record))["y"].decode() for record in source)


def by_search(source, params, kit):
    """Rows that stay as multiset, by `cells.search` with one ask; and its recall."""
    real = kit.decoded(source, LAYOUT, FEATURES)
    split = Split(real, CLASSES, FEATURES, params.seed)
    sampler = SAMPLERS[params.method]
    before = {name: int((real.codes == code).sum()) for code, name in enumerate(CLASSES)}
    cleaner, cleaned, made = sampler, np.arange(3), []
    if isinstance(sampler, SyntheticSampler):
        cleaner = sampler.cleaner
        after = sampler.targets(before, params)
        new = {i: after[c] - before[c] for i, c in enumerate(CLASSES) if after[c] > before[c]}
        made = [
            synthesise(sampler, split, source, 0, int(source.uses.sum()))
            for source in sampler.sources(split, new, params)
        ]
    elif params.sampling_strategy == "auto":
        cleaned = np.array([0, 2])
    union = Rows.concatenated([real, *(rows for rows, _ in made)])
    order = union.canonical_order()
    whole = Split(union.take(order), CLASSES, FEATURES, params.seed)
    codes = whole.rows.codes
    near, recall = cells.search(
        Space(whole.numeric),
        1
        if params.method.endswith("tomek") or params.method == "tomek_links"
        else params.n_neighbors,
        whole.rows.ids,
        params.seed % 2**32,
        exact_rows=params.exact_rows,
        recall=params.recall,
        max_asks=1,
        joins=False,
    )
    if cleaner.name == "tomek_links":
        first = near[:, 0]
        gone = (first[first] == np.arange(len(codes))) & (codes[first] != codes)
    elif params.kind_sel == "all":
        gone = (codes[near] != codes[:, None]).any(axis=1)
    else:
        votes = (codes[near][:, :, None] == np.arange(3)).sum(axis=1)
        gone = votes.argmax(axis=1) != codes
    stays = np.empty(len(codes), bool)
    stays[order] = ~(gone & np.isin(codes, cleaned))
    content = real.columns["_row_id"]
    key = list(zip(content.tolist(), real.codes.tolist(), strict=True))
    kept = Counter(key[i] for i in np.flatnonzero(stays[: len(real.ids)]))
    rows = Counter()
    if made:
        origin = Origin.concatenated([origin for _, origin in made])
        left = np.flatnonzero(stays[len(real.ids) :])
        frames = synthetic_frames(union.take(left + len(real.ids)), origin.take(left), LAYOUT, True)
        rows = kit.multiset_of(record for part in frames for record in part.payloads())
    return kept, rows, recall


def parts_of(rows):
    """(identity, class) of the real rows, and the synthetic rows."""
    real, made = Counter(), Counter()
    for row, n in rows.items():
        values = dict(row)
        if "_synthetic_base" in values:
            made[row] += n
        else:
            real[values["_row_id"], CLASSES.index(values["y"].decode())] += n
    return real, made


def must_be_told(report, rows, source, kit):
    real, made = parts_of(rows)
    before = counts_of(source, kit)
    for code, name in enumerate(CLASSES):
        kept = sum(n for (_, c), n in real.items() if c == code)
        added = sum(n for row, n in made.items() if ("y", name.encode()) in row)
        assert report.before[name] == before[name]
        assert (report.kept[name], report.synthetic[name]) == (kept, added)
        assert report.after[name] == kept + added
    assert not any(report.duplicated.values())


@pytest.mark.parametrize("name", METHODS)
def test_one_cell_gives_what_one_place_gives(name, rebalanced, kit):
    source, params = make_records(kit, whole=True), params_of(name)
    assert rebalanced(source, params, "cells", shards=3) == rebalanced(source, params, "place")


@pytest.mark.parametrize(
    ("name", "whole"),
    [*((name, False) for name in METHODS), ("enn of all", True), ("tomek of all", True)],
)
def test_rows_are_those_of_a_search_in_one_place_however_the_input_is_cut(
    name, whole, rebalanced, kit, monkeypatch
):
    monkeypatch.setattr(spread_search, "_HELD_VALUES", 1500)
    params, source = params_of(name, **CELLS), make_records(kit, whole=whole)
    kept, made, recall = by_search(source, params, kit)
    rows, report = rebalanced(source, params, "cells", shards=5, threads=3)
    assert parts_of(rows) == (kept, made)
    assert rows - made <= kit.multiset_of(source)
    must_be_told(report, rows, source, kit)
    cleaned = CLASSES if params.sampling_strategy != "auto" else ("no", "yes")
    assert report.recall == dict.fromkeys(cleaned, recall)
    assert params.recall <= recall <= 1


@pytest.mark.slow
def test_two_processes_give_the_rows_that_one_gives(records, rebalanced):
    params = params_of("smote_enn", **CELLS)
    again = rebalanced(records[::-1], params, "cells", 5, 2, mode="processing")
    assert again == rebalanced(records, params, "cells")


def test_the_worse_recall_is_told_where_both_searches_are_in_cells(records, rebalanced):
    params = params_of("smote_tomek", **CELLS, sampling_strategy={"yes": 950})
    smote = params.model_copy(update={"method": "smote"})
    (_, one), (_, both) = (rebalanced(records, made, "cells") for made in (smote, params))
    assert both.recall["no"] == both.recall["perhaps"] != one.recall["yes"]
    assert both.recall["yes"] == min(one.recall["yes"], both.recall["no"])


@pytest.mark.parametrize("name", ["tomek", "smote_enn"])
def test_a_transform_gives_the_same_rows(name, records, rebalanced, kit):
    params, counts = params_of(name, **CELLS), counts_of(records, kit)
    expected, _ = rebalanced(records, params, "cells")

    def same(rows):
        assert kit.multiset_of(rows) == expected

    with kit.in_memory() as pipeline:
        rows = (
            pipeline
            | beam.Create(records)
            | RebalanceExamples("y", CLASSES, FEATURES, params, has_row_id=True, counts=counts)
        )
        assert_that(rows, same)


def test_a_class_that_would_lose_all_rows_is_told(rebalanced, kit):
    def row(i, y):
        return kit.example({"a": float(i), "b": 0, "v": (0.0, 0.0), "w": 1.0, "y": y, "_row_id": i})

    source = [row(i, "perhaps" if i in (30, 60) else "no") for i in range(90)]
    with pytest.raises(UserError, match="class perhaps would lose all of its rows"):
        rebalanced(source, params_of("enn of all"), "cells")


def test_cells_that_do_not_fit_are_told(records, rebalanced):
    params = params_of("enn", **{**CELLS, "memory_limit_mb": 0.001})
    with pytest.raises(UserError, match=r"^rebalance.memory_limit_mb: 0.001 MB do .* of all rows"):
        rebalanced(records, params, "cells")


@pytest.mark.parametrize(("name", "reads"), [("enn", 5), ("smote_enn", 8)])
def test_examples_are_read_three_times_for_each_search(name, reads, kit):
    steps = []
    with kit.in_memory() as pipeline:
        frames = [examples_io.framed(kit.make_data().records())]
        features = kit.FEATURE_SETS["numeric"]
        job = Job(Layout("y", kit.CLASSES, True), features, params_of(name, kind_sel="mode"))

        def read(step):
            steps.append(step)
            return pipeline | f"{step}Frames" >> beam.Create(frames)

        rebalance.rebalanced(read, job, "cells")
    assert len(set(steps)) == len(steps) == reads

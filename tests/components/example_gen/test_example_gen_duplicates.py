"""Where rows that are equal go."""

from collections import Counter

import numpy as np
import pytest

from tfx_imbalance.components.errors import UserError
from tfx_imbalance.components.example_gen import splits
from tfx_imbalance.components.example_gen.params import IngestParams
from tfx_imbalance.components.example_gen.rows import check_params

from .conftest import csv_text

SHARES = (0.7, 0.15, 0.15)


def few_kinds(rows=20_000, seed=0):
    """Two categories, six kinds of rows, 2.7 % yes at rates that differ by kind."""
    rng = np.random.default_rng(seed)
    kind = rng.choice(6, rows, p=[0.44, 0.3, 0.15, 0.06, 0.04, 0.01])
    rate = np.array([0.006, 0.02, 0.045, 0.1, 0.15, 0.2])[kind]
    return {
        "a": [*np.array(["x", "y", "z"])[kind % 3]],
        "b": [*np.array(["p", "q"])[kind // 3]],
        "y": [*np.where(rng.random(rows) < rate, "yes", "no")],
    }


def events(rows=1000, copied=200):
    """Rows of which some were written twice."""
    kept = [*range(rows), *range(copied)]
    return {"x": kept, "y": [("yes", "no", "no", "no", "no")[k % 5] for k in kept]}


def size(found):
    return {split: sum(counts.values()) for split, counts in found.summary.counts.items()}


@pytest.mark.parametrize("seed", range(3))
def test_a_table_of_few_distinct_rows_is_split_by_its_shares(ingest, write, seed):
    table = few_kinds(seed=seed)
    found = ingest(write("a.csv", table), seed=seed)
    prevalence = table["y"].count("yes") / 20_000
    for (split, rows), wanted in zip(size(found).items(), (14_000, 3_000, 3_000), strict=True):
        assert abs(rows - wanted) <= 1
        assert found.summary.counts[split]["yes"] / rows == pytest.approx(prevalence, abs=0.001)
    [note] = found.summary.notes
    assert note.name == "duplicates_apart" and note.message.startswith("20,000 rows")
    assert found.summary.copies == "apart"


def test_copies_of_events_stay_together(ingest, write):
    found = ingest(write("a.csv", events()))
    assert all(len(where) == 1 for where in found.splits().values())
    assert (found.summary.copies, found.summary.notes) == ("together", [])
    for counts in splits.deviations(table_of(found), SHARES):
        assert np.abs(counts).max() <= 1


def table_of(found):
    counts = found.summary.counts
    return np.array([[counts[s][c] for s in counts] for c in found.summary.classes])


def test_the_number_of_rows_with_a_copy_elsewhere_is_right(ingest, write):
    table = few_kinds(900)
    table["a"] += [f"only{i}" for i in range(12)]
    table["b"] += ["p"] * 12
    table["y"] += ["yes", "no", "no"] * 4
    found = ingest(write("a.csv", table))
    where = found.splits()
    times = Counter(found.column("_row_id"))
    concerned = sum(times[row] for row, splits in where.items() if len(splits) > 1)
    [note] = found.summary.notes
    assert note.message.startswith(f"{concerned:,} rows ")


@pytest.mark.parametrize(("how", "apart"), [("together", False), ("apart", True)])
def test_what_is_asked_for_is_done(ingest, write, how, apart):
    for table in (few_kinds(1200), events()):
        found = ingest(write("a.csv", table), split={"duplicates": how})
        assert any(len(where) > 1 for where in found.splits().values()) == apart
        assert found.summary.copies == how and not found.summary.notes


def test_a_class_of_equal_rows_is_split_where_copies_may_part(ingest, write):
    table = {"x": [*range(30), *[99] * 4], "y": ["u"] * 30 + ["v"] * 4}
    found = ingest(write("a.csv", table))
    assert all(counts["v"] for counts in found.summary.counts.values())
    with pytest.raises(UserError, match="4 rows, but only 1 different"):
        ingest(write("a.csv", table), split={"duplicates": "together"})


def grouped(links, kinds=5):
    """60 groups of 10 rows; neighbouring ones share rows where there are links."""
    group = np.repeat(np.arange(60), 10)
    x = np.where(np.arange(600) % 10 < links, -(np.arange(600) % kinds) - 1, np.arange(600))
    return {"g": group.tolist(), "x": x.tolist(), "y": [("u", "v")[i % 3 == 0] for i in range(600)]}


def groups_in(found, table):
    where = {}
    for group, row in zip(table["g"], found.rows, strict=True):
        where.setdefault(group, set()).add(row["split"])
    return where


@pytest.mark.parametrize("how", ["auto", "together", "apart"])
def test_groups_never_part(ingest, write, how):
    table = grouped(links=1, kinds=600)
    options = {"group_by": "g", "exclude": ("g",), "split": {"duplicates": how}}
    found = ingest(write("a.csv", table), **options)
    assert all(len(where) == 1 for where in groups_in(found, table).values())


def test_groups_that_share_rows_are_united_only_while_the_splits_keep_their_shares(ingest, write):
    table = grouped(links=2)
    options = {"group_by": "g", "exclude": ("g",)}
    path = write("a.csv", table)
    found = ingest(path, **options)  # united they would be one unit
    assert all(len(where) == 1 for where in groups_in(found, table).values())
    assert found.summary.copies == "apart" and found.summary.notes
    with pytest.raises(UserError, match="different"):
        ingest(path, **options, split={"duplicates": "together"})


def test_old_copies_part_in_time_only_where_the_rows_shares_need_it(ingest, write):
    """Every row equals one of the first ten: together, all would be as old as those."""
    times = list(range(1000))
    few = {"t": times, "x": [i % 10 for i in times], "y": [("u", "v")[i % 3 == 0] for i in times]}
    found = ingest(write("a.csv", few), order_by="t", exclude=("t",))
    assert [row["split"] for row in found.rows] == ["train"] * 700 + ["val"] * 150 + ["test"] * 150
    assert found.summary.copies == "apart" and found.summary.notes
    one = {**few, "x": [*times[:-1], 0]}
    found = ingest(write("a.csv", one), order_by="t", exclude=("t",))
    assert found.rows[-1]["split"] == "train" and found.summary.copies == "together"


def test_stable_splits_keep_copies_together(ingest, write):
    found = ingest(write("a.csv", events()), split={"mode": "stable"})
    assert all(len(where) == 1 for where in found.splits().values())
    params = IngestParams(label="y", split={"mode": "stable", "duplicates": "apart"})
    with pytest.raises(UserError, match=r"split\.duplicates: .* set auto or together"):
        check_params(params)


def test_copies_apart_do_not_depend_on_sharding(ingest, tmp_path):
    table = few_kinds(3000)
    order = np.random.default_rng(1).permutation(3000)
    for name, parts in {"one": [np.arange(3000)], "many": np.array_split(order, 4)}.items():
        (tmp_path / name).mkdir()
        for i, part in enumerate(parts):
            text = csv_text({column: [values[k] for k in part] for column, values in table.items()})
            (tmp_path / name / f"{i}.csv").write_text(text)
    assert ingest(tmp_path / "one").content() == ingest(tmp_path / "many").content()


def repeated_in_time(rows=3000, kinds=400):
    """Rows of few kinds, one a second."""
    rng = np.random.default_rng(0)
    return {
        "when": [*range(rows)],
        "a": rng.integers(0, kinds, rows).tolist(),
        "y": [("yes", "no", "no", "no", "no")[k % 5] for k in range(rows)],
    }


def test_equal_rows_part_where_together_they_would_leave_their_time(ingest, write):
    table = repeated_in_time()
    found = ingest(write("a.csv", table), order_by="when", exclude=("when",))
    assert size(found) == {"train": 2100, "val": 450, "test": 450}
    assert sorted(row["a"] for row in found.rows if row["split"] == "test") == sorted(
        table["a"][2550:]
    )
    [note] = found.summary.notes
    assert (note.name, found.summary.copies) == ("duplicates_apart", "apart")
    assert "miss the split of their time" in note.message


@pytest.mark.parametrize(
    ("options", "units"),
    [
        ({"split": {"duplicates": "together"}}, "equal rows stay"),
        ({"group_by": "a"}, "groups of 'a' stay"),
    ],
)
def test_rows_that_are_not_in_the_split_of_their_time_are_told(ingest, write, options, units):
    table = repeated_in_time(300, 40)
    found = ingest(write("a.csv", table), order_by="when", exclude=("when",), **options)
    time_splits = np.repeat([*found.summary.counts], [210, 45, 45]).tolist()
    in_time = Counter(zip(table["a"], time_splits, strict=True))
    there = Counter((row["a"], row["split"]) for row in found.rows)
    moved = sum((in_time - there).values())
    [note] = [note for note in found.summary.notes if note.name == "rows_out_of_time"]
    assert note.column == "when" and units in note.message
    # Of equal rows it cannot be seen which one moved: no fewer than these.
    assert int(note.message.split()[0]) >= moved > 3


def test_a_key_keeps_its_rows_together_so_that_a_new_column_moves_none(ingest, write):
    table = few_kinds(1000)
    options = {"split": {"key": ["a", "b"], "mode": "exact"}}
    before = ingest(write("a.csv", table), **options)
    after = ingest(write("b.csv", {**table, "c": [*range(1000)]}), **options)
    assert before.summary.copies == after.summary.copies == "together"
    assert size(before) == size(after)
    assert before.splits() == after.splits()


def test_equal_rows_that_stable_groups_part_are_told_or_refused(ingest, write):
    rng = np.random.default_rng(0)
    table = {
        "g": [*range(600)],
        "a": rng.integers(0, 200, 600).tolist(),
        "y": rng.choice(["no", "yes"], 600).tolist(),
    }
    options = {"group_by": "g", "exclude": ("g",)}
    found = ingest(write("a.csv", table), **options, split={"mode": "stable"})
    parted = {row for row, where in found.splits().items() if len(where) > 1}
    times = Counter(found.column("_row_id"))
    [note] = found.summary.notes
    assert note.name == "duplicates_apart"
    assert note.message.startswith(f"{sum(times[row] for row in parted):,} rows ")
    with pytest.raises(UserError, match=r"split\.duplicates: together cannot be kept"):
        ingest(write("a.csv", table), **options, split={"mode": "stable", "duplicates": "together"})

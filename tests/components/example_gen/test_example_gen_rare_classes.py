"""Classes too small for three splits are refused, dropped or merged, as the config says."""

import pytest
from pydantic import ValidationError

from tfx_imbalance.components.errors import UserError
from tfx_imbalance.components.example_gen.params import IngestParams
from tfx_imbalance.components.example_gen.preflight import inspect
from tfx_imbalance.components.example_gen.rare import becomes_of

LABELS = ["no"] * 60 + ["yes"] * 30 + ["very"] * 2 + ["once"] + ["few"] * 4


@pytest.fixture
def table(shuffled):
    def make(labels=LABELS):
        return shuffled({"a": list(range(len(labels))), "y": labels}, 0)

    return make


def counted(ingested):
    found = {}
    for label in ingested.column("y"):
        found[label.decode()] = found.get(label.decode(), 0) + 1
    return found


def test_refused_with_the_keys_that_help(ingest, write, table):
    path = write("a.csv", table())
    message = (
        r"'once' has 1 row; .*data\.rare_classes: drop, .*\{merge: NAME\}.*data\.min_class_rows"
    )
    with pytest.raises(UserError, match=message):
        ingest(path)
    with pytest.raises(UserError, match=r"class 'few' has 4 rows, fewer than data\.min_class_rows"):
        ingest(
            write("b.csv", table([x for x in LABELS if x not in ("once", "very")])),
            min_class_rows=5,
        )


@pytest.mark.parametrize("split", [{}, {"mode": "stable", "train": 0.4, "val": 0.3, "test": 0.3}])
@pytest.mark.parametrize(
    ("options", "expected", "message"),
    [
        (
            {"rare_classes": "drop"},
            {"no": 60, "yes": 30, "few": 4},
            "3 rows of classes with fewer than 3 rows were dropped: 'once' (1), 'very' (2)",
        ),
        (
            {"rare_classes": {"merge": "other"}},
            {"no": 60, "yes": 30, "few": 4, "other": 3},
            "3 rows of classes with fewer than 3 rows were merged into class 'other': "
            "'once' (1), 'very' (2)",
        ),
        (
            {"rare_classes": {"merge": "yes"}, "min_class_rows": 5},
            {"no": 60, "yes": 37},
            "7 rows of classes with fewer than 5 rows were merged into class 'yes': "
            "'few' (4), 'once' (1), 'very' (2)",
        ),
        (
            {"rare_classes": {"merge": "few"}, "min_class_rows": 5},
            {"no": 60, "yes": 30, "few": 7},
            "3 rows of classes with fewer than 5 rows were merged into class 'few': "
            "'once' (1), 'very' (2)",
        ),
    ],
)
def test_dropped_or_merged(ingest, write, table, part, options, expected, message, split):
    for i in range(3):
        write(f"d/{i}.csv", part(table(), i, 3))
    path = write("d/3.csv", {"a": [999], "y": ["once"]}).parent
    expected_message = message.replace("'once' (1)", "'once' (2)")
    first = int(message.split()[0])
    expected_message = expected_message.replace(f"{first} rows of", f"{first + 1} rows of", 1)
    extra = 1 if "merged" in message else 0
    target = options["rare_classes"]["merge"] if extra else ""
    wanted = {k: v + (extra if k == target else 0) for k, v in expected.items()}
    found = ingest(path, split=split, **options)
    assert counted(found) == wanted
    assert sum(n for c in found.summary.counts.values() for n in c.values()) == sum(wanted.values())
    assert found.summary.classes == sorted(wanted)
    assert [(n.name, n.column, n.message) for n in found.summary.notes] == [
        ("rare_classes", "y", expected_message)
    ]
    assert inspect(str(path), IngestParams(label="y", **options)).class_counts == dict(
        sorted(wanted.items(), key=lambda item: -item[1])
    )


def test_the_splits_do_not_depend_on_files(ingest, write, table, part):
    one = ingest(write("one.csv", table()), rare_classes={"merge": "other"})
    for i in range(3):
        write(f"d/{i}.csv", part(table(), i, 3))
    several = ingest(write("d/0.csv", part(table(), 0, 3)).parent, rare_classes={"merge": "other"})
    assert one.content() == several.content()


def test_nothing_rare_changes_nothing(ingest, write, table):
    path = write("a.csv", table(["no"] * 50 + ["yes"] * 20))
    assert ingest(path).content() == ingest(path, rare_classes="drop").content()
    assert not ingest(path, rare_classes={"merge": "other"}).summary.notes


@pytest.mark.parametrize("blank", [" ", "\t", "\n", "\u00a0", "\u2003", "\u3000"])
def test_blanks_around_the_merged_class_are_passed_over_as_around_any(ingest, write, table, blank):
    named = {"merge": f"{blank}no{blank}{blank}"}
    found = counted(ingest(write("a.csv", table()), rare_classes=named))
    assert found == {"no": 63, "yes": 30, "few": 4}
    labels = [f"{blank}no" if name == "no" else name for name in LABELS]
    found = counted(ingest(write("b.parquet", table(labels)), rare_classes=named))
    assert found == {"no": 63, "yes": 30, "few": 4}
    with pytest.raises(ValidationError, match=r"merge\n.*at least 1 character"):
        IngestParams(label="y", rare_classes={"merge": blank})


@pytest.mark.parametrize(
    ("labels", "name", "expected"),
    [
        (["1"] * 60 + ["2"] * 30 + ["3"], "1.0", {"1": 61, "2": 30}),
        (["-1"] * 60 + ["2"] * 30 + ["3"], "-1.00", {"-1": 61, "2": 30}),
        (["1"] * 60 + ["2"] * 30 + ["3"] * 2 + ["4"], "9.", {"1": 60, "2": 30, "9": 3}),
        (["1"] * 60 + ["2"] * 30 + ["3"] * 2 + ["4"], "01", {"1": 60, "2": 30, "01": 3}),
        (["1"] * 60 + ["2"] * 30 + ["3"] * 2 + ["4"], "0.5", {"1": 60, "2": 30, "0.5": 3}),
        (["a"] * 60 + ["1"] * 30 + ["3"] * 2 + ["4"], "1.0", {"a": 60, "1": 30, "1.0": 3}),
    ],
)
def test_the_merged_class_is_the_one_that_its_name_is_in_a_csv(
    ingest, write, table, labels, name, expected
):
    path = write("a.csv", table(labels))
    assert counted(ingest(path, rare_classes={"merge": name})) == expected
    params = IngestParams(label="y", rare_classes={"merge": name})
    assert inspect(str(path), params).class_counts == expected


def test_a_merged_truth_value_is_the_class_of_that_name():
    params = IngestParams(label="y", rare_classes={"merge": "TRUE"}, min_class_rows=5)
    assert becomes_of({"true": 9, "false": 3}, params) == {"false": "true"}


def test_a_merged_class_that_is_still_rare_is_refused(ingest, write, table):
    labels = [label for label in LABELS if label not in ("very", "few")]
    with pytest.raises(UserError, match=r"with 'once' merged, class 'other' has 1 rows, fewer"):
        ingest(write("a.csv", table(labels)), rare_classes={"merge": "other"})


def test_one_class_that_is_left_is_told(ingest, write, table):
    path = write("a.csv", table(["no"] * 50 + ["yes"] * 2))
    with pytest.raises(UserError, match=r"only one class, 'no'"):
        ingest(path, rare_classes="drop")

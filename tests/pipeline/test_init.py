"""`init` writes a config that runs on the file it has looked at."""

import csv
import gzip
import re
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.e2e.workbench import rows, write_csv
from tfx_imbalance.components.errors import UserError
from tfx_imbalance.pipeline.config import load_config
from tfx_imbalance.pipeline.init import printable, write_config


def init(folder: Path, rows: list[list[object]], name: str = "d.csv", **options):
    """The config that init writes for a CSV of these rows, and what it tells."""
    with (folder / name).open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    return look(folder / name, **options)


def look(data: Path, label: str = "y", **options):
    told: list[str] = []
    path = write_config(
        str(data), label, data.parent / "c.yaml", force=True, tell=told.append, **options
    )
    return load_config(path), told, path.read_text(encoding="utf-8")


def yn(i: int) -> str:
    return "no" if i % 5 else "yes"


def test_the_config_is_valid_and_names_what_was_seen(tmp_path: Path) -> None:
    write_csv(tmp_path / "My Data.csv", rows(300))
    path = write_config(str(tmp_path / "My Data.csv"), "y", tmp_path / "c.yaml", force=False)
    config = load_config(path)
    assert config.name == "my-data"
    assert Path(config.data.path) == tmp_path / "My Data.csv"
    assert (config.data.label, config.data.positive) == ("y", "yes")
    assert config.evaluate.slices == ("job", "region")
    assert "# " in path.read_text()


def test_identifiers_and_constants_are_excluded(tmp_path: Path) -> None:
    lines = ["id,constant,x,y"]
    lines += [f"u{i},1,{i % 7}.5,{'a' if i % 5 else 'b'}" for i in range(100)]
    (tmp_path / "d.csv").write_text("\n".join(lines))
    path = write_config(str(tmp_path / "d.csv"), "y", tmp_path / "c.yaml", force=False)
    assert load_config(path).data.exclude == ("id", "constant")


def test_a_semicolon_is_found(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text("x;y\n" + "".join(f"{i};{i % 3}\n" for i in range(60)))
    path = write_config(str(tmp_path / "d.csv"), "y", tmp_path / "c.yaml", force=False)
    config = load_config(path)
    assert config.data.delimiter == ";"
    assert config.data.positive is None


def test_hostile_names_stay_what_they_are(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text(
        '"a: b # c","yes","label"\n'
        + "".join(f'k{i % 3},{i},"no"\n' for i in range(40))
        + "".join(f'k{i % 3},{i},"t\'{{}}"\n' for i in range(60, 70))
    )
    path = write_config(str(tmp_path / "d.csv"), "label", tmp_path / "c.yaml", force=False)
    config = load_config(path)
    assert config.data.positive == "t'{}"
    assert config.evaluate.slices == ("a: b # c",)


def test_an_existing_config_is_kept(tmp_path: Path) -> None:
    write_csv(tmp_path / "d.csv", rows(60))
    (tmp_path / "c.yaml").write_text("mine")
    with pytest.raises(UserError, match="--force"):
        write_config(str(tmp_path / "d.csv"), "y", tmp_path / "c.yaml", force=False)
    assert (tmp_path / "c.yaml").read_text() == "mine"


def test_a_wrong_label_is_told_with_the_nearest_name(tmp_path: Path) -> None:
    write_csv(tmp_path / "d.csv", rows(60))
    with pytest.raises(UserError, match="'y'"):
        write_config(str(tmp_path / "d.csv"), "Y", tmp_path / "c.yaml", force=False)
    assert not (tmp_path / "c.yaml").exists()


def test_a_question_mark_in_numbers_is_a_missing_value(tmp_path: Path) -> None:
    table = [[f"{i / 7:.3f}", "?" if i % 20 == 3 else i, yn(i)] for i in range(400)]
    config, told, text = init(tmp_path, [["x", "n", "y"], *table])
    assert config.data.null_values[-1] == "?"
    assert "n: int, 380 values, 5.0% missing" in text
    assert told == ["missing values by data.null_values: '?' in 20 cells"]


def test_texts_that_may_be_missing_values_are_offered_but_kept(tmp_path: Path) -> None:
    table = [[("?", "a", "NA")[i % 3], i / 7, yn(i)] for i in range(90)]
    config, _, text = init(tmp_path, [["work", "n", "y"], *table])
    assert config.data.null_values == load_defaults().null_values
    assert '# column_null_values: {"work": ["?", "NA"]}' in text


def load_defaults():
    from tfx_imbalance.components.example_gen.params import IngestParams

    return IngestParams(label="y")


@pytest.mark.parametrize(
    ("numbers", "delimiter", "expected"),
    [
        ([f"{i:,}" for i in range(900, 1100)], ",", (".", ",")),
        ([f"{i / 4}".replace(".", ",") for i in range(200)], ";", (",", None)),
        ([f"{i}.000,5" for i in range(1, 200)], ";", (",", ".")),
        ([f"1{i:03},125".replace("1", "9") for i in range(200)], ";", (",", None)),
        ([f"{i} 000" for i in range(1, 200)], ",", (".", " ")),
        ([f"{i}\u202f000,5" for i in range(1, 200)], ";", (",", "\u202f")),
        ([f"${i}.50" for i in range(200)], ",", (".", None)),
        ([f"{i} %" for i in range(200)], ",", (".", None)),
        ([f"{i / 8}" for i in range(200)], ";", (".", None)),
    ],
)
def test_the_format_of_numbers_is_guessed(tmp_path: Path, numbers, delimiter, expected) -> None:
    with (tmp_path / "d.csv").open("w", newline="") as file:
        out = csv.writer(file, delimiter=delimiter)
        out.writerow(["x", "n", "y"])
        out.writerows([i % 9, n, yn(i)] for i, n in enumerate(numbers))
    config, _, text = look(tmp_path / "d.csv")
    assert (config.data.decimal, config.data.thousands) == expected
    assert config.data.delimiter == delimiter
    assert "n: float" in text or "n: int" in text


@pytest.mark.parametrize(
    ("columns", "delimiter", "expected", "told"),
    [
        (
            {"n": ["0,125", "2", "1,500"]},
            "\t",
            (",", None),
            ["numbers by their format: column 'n', '0,125' is 0.125"],
        ),
        (
            {"n": ["1,500", "2,250"], "m": ["1,5", "7"]},
            "\t",
            (",", None),
            ["column 'n', '1,500' is 1.5; column 'm', '1,5' is 1.5"],
        ),
        (
            {"lat": ["52.520", "48.137"], "m": ["1,5", "2,5"]},
            ";",
            (",", "."),
            ["column 'lat', '52.520' is 52520; column 'm', '1,5' is 1.5"],
        ),
        ({"lat": ["0.125", "2.5"], "m": ["2,5", "4"]}, ";", (".", None), ["'m'.* read as text"]),
        (
            {"n": ["1,500", "2,250"]},
            "\t",
            (".", ","),
            [
                "'1,500' is 1500",
                "decimal ',' fits all columns as well .* '1,500' in column 'n' is 1.5",
            ],
        ),
        (
            {"n": ["1.500", "2.250"]},
            ";",
            (".", None),
            ["'1.500' is 1.5", "decimal ',' fits all columns as well .* in column 'n' is 1500;"],
        ),
        ({"n": ["1.500", "2.250"]}, ",", (".", None), []),
        ({"n": ["030 123 456", "040 123 456"]}, ",", (".", None), []),
        ({"n": ["1", "2"], "m": ["$5", "7"]}, ";", (".", None), ["'m': .* different units"]),
    ],
)
def test_what_the_guessed_format_makes_of_a_column_is_told(
    tmp_path: Path, columns, delimiter, expected, told
) -> None:
    with (tmp_path / "d.csv").open("w", newline="") as file:
        out = csv.writer(file, delimiter=delimiter)
        out.writerow([*columns, "x", "y"])
        for i in range(60):
            out.writerow([*(v[i % len(v)] for v in columns.values()), i % 9, yn(i)])
    config, found, _ = look(tmp_path / "d.csv")
    assert (config.data.decimal, config.data.thousands) == expected
    assert len(found) == len(told)
    for line, pattern in zip(found, told, strict=True):
        assert re.search(pattern, line)


def test_a_decimal_comma_can_be_asked_for(tmp_path: Path) -> None:
    table = [[f"{i},156", i % 9, yn(i)] for i in range(1, 200)]
    config, _, _ = init(tmp_path, [["n", "x", "y"], *table], decimal=",")
    assert (config.data.decimal, config.data.thousands) == (",", None)
    with pytest.raises(UserError, match=r"--decimal: .*found 'x'"):
        init(tmp_path, [["n", "x", "y"], *table], decimal="x")


def test_columns_can_be_left_out(tmp_path: Path) -> None:
    table = [[i % 7, i % 9, yn(i)] for i in range(100)]
    config, told, _ = init(tmp_path, [["a", "b", "y"], *table], exclude=("a",))
    assert config.data.exclude == ("a",)
    assert not told
    with pytest.raises(UserError, match=r"data\.exclude: no column 'A'"):
        init(tmp_path, [["a", "b", "y"], *table], exclude=("A",))


@pytest.mark.parametrize("name", ["d.tsv", "d.TSV", "d.txt", "d.CSV", "d.csv.gz", "d"])
def test_the_delimiter_is_guessed_whatever_the_name(tmp_path: Path, name: str) -> None:
    # The header alone would say a comma.
    text = "last, first\tx\ty\n" + "".join(f"k{i % 3}\t{i % 7}\t{yn(i)}\n" for i in range(60))
    data = gzip.compress(text.encode()) if name.endswith(".gz") else text.encode()
    (tmp_path / name).write_bytes(data)
    config, _, _ = look(tmp_path / name)
    assert config.data.delimiter == "\t"
    assert look(tmp_path / name, delimiter="\t")[0].data.delimiter == "\t"


def test_features_of_sorted_data_are_kept(tmp_path: Path) -> None:
    rows_ = 12_000
    table = [[int(i > 11_000), f"c{i // 6_000}", i % 97, yn(i)] for i in range(rows_)]
    config, told, _ = init(tmp_path, [["late", "half", "n", "y"], *table])
    assert config.data.exclude == ()
    assert not told


def test_what_is_left_out_is_told_with_the_reason(tmp_path: Path) -> None:
    table = [[i, f"u{i:04}", 1, "", i / 7, yn(i)] for i in range(3_000)]
    config, told, text = init(tmp_path, [["id", "u", "one", "none", "x", "y"], *table])
    assert config.data.exclude == ("id", "u", "one", "none")
    assert "excluded 'id': an identifier: each row has a value of its own" in told
    assert "excluded 'one': a constant" in told
    assert "# 'none': no values" in text


def test_long_texts_are_cut_and_what_becomes_of_them_is_told(tmp_path: Path) -> None:
    table = [[f"{i} " + "word\n" * 1_000, i / 7, yn(i)] for i in range(100)]
    _, told, text = init(tmp_path, [["body", "x", "y"], *table])
    assert told == [
        "excluded 'body': an identifier or free text: each row has a text of its own; "
        "preprocessing.fn can make features of it"
    ]
    assert max(map(len, text.splitlines())) < 400
    table = [[f"{i // 2} words", i / 7, yn(i)] for i in range(100)]
    _, told, text = init(tmp_path, [["body", "x", "y"], *table])
    assert "one out-of-vocabulary id" in told[0]
    assert f"# Note: {told[0]}" in text


def test_an_almost_unique_column_is_no_identifier(tmp_path: Path) -> None:
    table = [[i - i % 2 * (i > 4_990), i / 7, yn(i)] for i in range(5_000)]
    config, _, _ = init(tmp_path, [["n", "x", "y"], *table])
    # Five values of 4,995 stand in two rows: the sample of 2,048 holds one of them, or none.
    assert config.data.exclude in ((), ("n",))
    table = [[i // 2, i / 7, yn(i)] for i in range(5_000)]
    assert init(tmp_path, [["n", "x", "y"], *table])[0].data.exclude == ()


def test_long_ids_are_no_constant(tmp_path: Path) -> None:
    table = [[f"202311010000000{i % 294:05}", i / 7, yn(i)] for i in range(600)]
    config, told, text = init(tmp_path, [["cust", "x", "y"], *table])
    assert config.data.exclude == ()
    assert "cust: float, 294 values" in text
    assert "'cust': 294 distinct numbers, of which 1 are left as float32" in told[0]


@pytest.mark.parametrize("header", [["", "x", "y"], ["x", "y", ""], ["", "x", "y", ""]])
def test_a_column_without_a_name_is_left_out(tmp_path: Path, header: list[str]) -> None:
    values = {"": "", "x": 1, "y": 2}
    table = [[i if n == "" else (i % 7 if n == "x" else yn(i)) for n in header] for i in range(60)]
    assert values
    config, told, _ = init(tmp_path, [header, *table])
    assert config.data.exclude == ("",)
    assert "the column without a name" in told[0]


def test_numbers_are_shown_as_the_source_has_them(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = [["0.3515", i, yn(i)] if i % 3 else ["7.10", i, yn(i)] for i in range(90)]
    _, _, text = init(tmp_path, [["x", "n", "y"], *table])
    assert "x: float, 2 values: 0.3515, 7.10" in text
    columns = {
        "x": pa.array([0.3515, 7.1, 0.3515] * 30, pa.float32()),
        "y": list(map(yn, range(90))),
    }
    pq.write_table(pa.table({**columns, "k": [i % 4 for i in range(90)]}), tmp_path / "d.parquet")
    assert "x: float, 2 values: 0.3515, 7.1\n" in look(tmp_path / "d.parquet")[2]


def test_a_class_too_small_to_split_is_told(tmp_path: Path) -> None:
    table = [[i % 7, "abc"[i % 2] if i > 1 else "rare"] for i in range(100)]
    _, told, text = init(tmp_path, [["x", "y"], *table])
    assert told == [
        "class 'rare' has 2 rows, too few for three splits: add rows, or say by data.rare_classes "
        "what becomes of it"
    ]
    assert "# rare_classes: drop" in text


def test_a_date_without_dashes_stays_a_number(tmp_path: Path) -> None:
    table = [[20240101 + i % 27, i % 7, yn(i)] for i in range(300)]
    _, _, text = init(tmp_path, [["ymd", "x", "y"], *table])
    assert "ymd: int, 27 values: 202401" in text


CONTROLS = "\r\x85\u2028\u2029\x0c\x0b\x1b\x07\x7f\u202e\ufeff\u00ad"


@pytest.mark.parametrize("control", CONTROLS)
def test_a_cell_cannot_end_a_comment(tmp_path: Path, control: str) -> None:
    evil = f"a{control}train: {{run_fn: os.system}}{control}#"
    texts = []
    for cell in ("a", evil):
        rows_ = [
            f'"{cell if i % 2 else "b"}",{i % 7},"{cell if i % 3 else "no"}"' for i in range(60)
        ]
        with (tmp_path / "d.csv").open("w", newline="", encoding="utf-8") as file:
            file.write("\n".join(["note,x,y", *rows_]))
        config, told, text = look(tmp_path / "d.csv")
        assert config.train.run_fn is None
        assert not any(control in line for line in told)
        assert control not in text
        # A note, such as that of cells with line breaks, is a comment of its own line.
        texts.append([line for line in text.splitlines() if not line.startswith("#")])
    assert len(texts[0]) == len(texts[1])


TEXTS = st.text(
    st.one_of(
        st.sampled_from("\n\t #:{}[]&*!|>'\"%@`,-?\\" + CONTROLS),
        st.characters(blacklist_categories=["Cs"], blacklist_characters="\x00"),
    ),
    max_size=30,
)


@settings(
    deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    names=st.lists(TEXTS.map(lambda t: f"n{t}n"), min_size=2, max_size=2, unique=True),
    values=st.lists(TEXTS.map(lambda t: f"v{t}v"), min_size=3, max_size=3, unique=True),
    labels=st.lists(TEXTS.map(lambda t: f"l{t}l"), min_size=2, max_size=2, unique=True),
)
def test_a_config_of_any_data_equals_that_of_harmless_ones(
    tmp_path: Path, names: list[str], values: list[str], labels: list[str]
) -> None:
    found = []
    for header, texts, classes in (
        (names, values, labels),
        (["n1", "n2"], ["v1", "v2", "v3"], ["l1", "l2"]),
    ):
        with (tmp_path / "d.csv").open("w", newline="", encoding="utf-8") as file:
            out = csv.writer(file, quoting=csv.QUOTE_ALL)
            out.writerow([*header, "y"])
            out.writerows([texts[i % 3], i, classes[i % 3 > 0]] for i in range(60))
        told: list[str] = []
        path = write_config(
            str(tmp_path / "d.csv"),
            "y",
            tmp_path / "c.yaml",
            force=True,
            delimiter=",",
            tell=told.append,
        )
        text = path.read_text(encoding="utf-8")
        assert all(line.isprintable() for line in [*text.split("\n"), *told])
        config = yaml.safe_load(text)
        assert config["data"].pop("positive") == classes[0]
        assert config["data"].pop("exclude") == [header[1]]
        assert config["evaluate"].pop("slices") == [header[0]]
        found.append(config)
    assert found[0] == found[1]


@settings(deadline=None)
@given(st.text())
def test_printable_text_is_one_line_and_ascii_and_letters_stay(text: str) -> None:
    assert printable(text).isprintable()
    assert printable("a 'b' \u00e9 \u4e2d #") == "a 'b' \u00e9 \u4e2d #"
    assert printable(text) == text or not text.isprintable()

"""A user's mistake is one clear line and the right exit code, with nothing half-written."""

import gzip
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from tests.e2e.workbench import COLUMNS, rows
from tfx_imbalance.pipeline import cli

pytestmark = pytest.mark.e2e

HEADER = ",".join(COLUMNS)
LINES = [",".join(map(str, row)) for row in rows(400)]
GOOD = "\n".join([HEADER, *LINES, ""])


def _with_label(label: Callable[[int, str], str]) -> str:
    changed = [
        ",".join([*line.split(",")[:-1], label(i, line.split(",")[-1])])
        for i, line in enumerate(LINES)
    ]
    return "\n".join([HEADER, *changed, ""])


def _with_cell(row: int, column: int, value: str) -> str:
    cells = LINES[row].split(",")
    cells[column] = value
    return "\n".join([HEADER, *LINES[:row], ",".join(cells), *LINES[row + 1 :], ""])


@pytest.fixture
def call(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[int, list[str]]]:
    """Writes a config, runs the command line on it, gives exit code and the error lines."""

    def call(
        content: str | bytes | None, name: str = "data.csv", **sections: dict
    ) -> tuple[int, list[str]]:
        if isinstance(content, str):
            (tmp_path / name).write_text(content, encoding="utf-8")
        elif content is not None:
            (tmp_path / name).write_bytes(content)
        config = {
            "name": "bad",
            "data": {"path": name, "label": "y", **sections.pop("data", {})},
            "output": {"runs_dir": str(tmp_path / "runs")},
            "train": {"mlp": {"epochs": 1}},
            **sections,
        }
        path = tmp_path / "config.yaml"
        path.write_text(yaml.safe_dump(config), encoding="utf-8")
        monkeypatch.setattr(sys, "argv", ["tfx-imbalance", "run", str(path)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        printed = capfd.readouterr()
        text = printed.out + printed.err
        assert "Traceback" not in text
        return int(ended.value.code or 0), [
            line.removeprefix("error: ") for line in text.splitlines() if line.startswith("error: ")
        ]

    return call


CASES: dict[str, tuple[str | bytes | None, dict, int, list[str]]] = {
    "missing file": (None, {}, 2, ["data.csv"]),
    "empty file": ("", {}, 2, ["data.csv", "empty"]),
    "header only": (HEADER + "\n", {}, 2, ["data.csv", "row"]),
    "wrong label name": (GOOD, {"data": {"label": "Y"}}, 2, ["data.label", "'Y'", "'y'"]),
    "one class only": (_with_label(lambda i, _: "no"), {}, 2, ["y", "'no'"]),
    "label with nulls": (_with_label(lambda i, y: "" if i == 350 else y), {}, 4, ["y", "1"]),
    "a minority of one": (
        _with_label(lambda i, _: "yes" if i == 7 else "no"),
        {},
        2,
        ["yes", "1"],
    ),
    "infinite value": (_with_cell(300, 1, "inf"), {}, 2, ["balance", "inf"]),
    "ragged row": (GOOD.replace(LINES[200], LINES[200] + ",more"), {}, 2, ["data.csv", "202"]),
    "wrong encoding": (GOOD.replace("nurse", "né").encode("latin-1"), {}, 2, ["data.csv", "UTF-8"]),
    "duplicate columns": (GOOD.replace("region", "job", 1), {}, 2, ["'job'"]),
    "reserved column": (GOOD.replace("region", "_row_id", 1), {}, 2, ["_row_id"]),
    "regression label": (
        _with_label(lambda i, _: f"{i / 7:.3f}"),
        {},
        2,
        ["y", "regression"],
    ),
    "label is an identifier": (
        "\n".join(
            [HEADER, *(",".join([*LINES[i % 400].split(",")[:-1], f"id{i}"]) for i in range(4000))]
        ),
        {},
        2,
        ["y", "id"],
    ),
    "unknown excluded column": (GOOD, {"data": {"exclude": ["jobb"]}}, 2, ["data.exclude", "jobb"]),
    "unknown weight column": (GOOD, {"data": {"weight": "w"}}, 2, ["data.weight", "'w'"]),
    "weight that is text": (GOOD, {"data": {"weight": "job"}}, 2, ["data.weight", "job"]),
    "negative weight": (_with_cell(50, 0, "-3"), {"data": {"weight": "age"}}, 2, ["age", "-3"]),
    "unknown slice column": (
        GOOD,
        {"evaluate": {"slices": ["jobs"]}},
        2,
        ["evaluate.slices", "'job'"],
    ),
    "unknown config key": (GOOD, {"rebalnce": {}}, 2, ["rebalnce", "'rebalance'"]),
    "wrong type": (GOOD, {"seed": "seven"}, 2, ["seed", "'seven'"]),
    "impossible split sizes": (GOOD, {"split": {"train": 0.8, "val": 0.3}}, 2, ["split", "1.25"]),
    "run_fn that is not there": (
        GOOD,
        {"train": {"run_fn": "nowhere.run_fn"}},
        2,
        ["train.run_fn"],
    ),
    "run_fn without a module": (GOOD, {"train": {"run_fn": "run_fn"}}, 2, ["train.run_fn"]),
    "schema that is not there": (
        GOOD,
        {"data": {"schema_file": "s.pbtxt"}},
        2,
        ["data.schema_file"],
    ),
    "smote on categories": (GOOD, {"rebalance": {"method": "smote"}}, 2, ["smote_nc", "job"]),
    "target below what there is": (
        GOOD,
        {"rebalance": {"method": "over", "sampling_strategy": {"yes": 3}}},
        2,
        ["rebalance.sampling_strategy"],
    ),
    "positive that is no class": (
        GOOD,
        {"data": {"positive": "maybe"}},
        2,
        ["data.positive", "maybe", "yes"],
    ),
}


@pytest.mark.parametrize("case", CASES, ids=[name.replace(" ", "-") for name in CASES])
def test_a_mistake_is_one_line(
    case: str, call: Callable[..., tuple[int, list[str]]], tmp_path: Path
) -> None:
    data, sections, code, words = CASES[case]
    got, lines = call(
        data, **{k: dict(v) if isinstance(v, dict) else v for k, v in sections.items()}
    )
    assert (got, len(lines)) == (code, 1), lines
    for word in words:
        assert word in lines[0]
    assert not list((tmp_path / "runs").glob("bad/serving/*"))


def test_truncated_gz(call: Callable[..., tuple[int, list[str]]]) -> None:
    code, [line] = call(gzip.compress(GOOD.encode())[:-200], name="data.csv.gz")
    assert code == 2
    assert "data.csv.gz" in line


def test_truncated_tfrecord(call: Callable[..., tuple[int, list[str]]], tmp_path: Path) -> None:
    import tensorflow as tf

    path = tmp_path / "data.tfrecord"
    with tf.io.TFRecordWriter(str(path)) as writer:
        for line in LINES:
            feature = {
                name: tf.train.Feature(bytes_list=tf.train.BytesList(value=[cell.encode()]))
                for name, cell in zip(COLUMNS, line.split(","), strict=True)
            }
            example = tf.train.Example(features=tf.train.Features(feature=feature))
            writer.write(example.SerializeToString())
    code, [line] = call(path.read_bytes()[:-30], name="data.tfrecord")
    assert code == 2
    assert "data.tfrecord" in line


def test_output_that_cannot_be_written(
    call: Callable[..., tuple[int, list[str]]], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    code, [line] = call(GOOD, output={"runs_dir": str(tmp_path / "file" / "runs")})
    assert code == 2
    assert "output.runs_dir" in line


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 300 kB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(disk)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip("mounting a small file system is not allowed here")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


def test_a_full_disk(call: Callable[..., tuple[int, list[str]]], small_disk: Path) -> None:
    code, lines = call(GOOD, output={"runs_dir": str(small_disk / "runs")})
    assert code == 2
    assert len(lines) == 1
    assert "space" in lines[0].lower()


def test_the_command_line_prints_one_plain_line() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tfx_imbalance.pipeline", "run", "none.yaml"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "TERM": "dumb", "NO_COLOR": "1"},
        cwd="/",
    )
    assert done.returncode == 2
    assert done.stderr == "error: none.yaml: no such config file\n"

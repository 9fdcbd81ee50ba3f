"""A Parquet file that has code in it is refused and the code never run; long texts are bounded."""

import ast
import pickle
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from tfx_imbalance.components.errors import UserError
from tfx_imbalance.components.example_gen import sources

REPOSITORY = Path(__file__).parents[3]
MESSAGE = "bad.parquet: has a column of a pickled Python type"


class _Touch:
    """Its pickle makes a file when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")


@pytest.fixture
def marker(tmp_path):
    """A file that the code in bad.parquet, beside it, makes."""
    marker = tmp_path / "was_run"
    extension = {
        b"ARROW:extension:name": b"arrow.py_extension_type",
        b"ARROW:extension:metadata": pickle.dumps(_Touch(marker), 0),
    }
    schema = pa.schema(
        [
            pa.field("a", pa.int64()),
            pa.field("x", pa.int64(), metadata=extension),
            pa.field("y", pa.string()),
        ]
    )
    columns = [pa.array(range(60)), pa.array(range(60)), pa.array(["no", "yes"] * 30)]
    table = pa.Table.from_arrays(columns, schema=schema)
    pq.write_table(table, tmp_path / "bad.parquet")
    assert not marker.exists()
    return marker


def _python(marker, *arguments):
    return subprocess.run(
        [sys.executable, *arguments], cwd=marker.parent, capture_output=True, text=True
    )


def test_pyarrow_alone_runs_it(marker):
    if tuple(map(int, pa.__version__.split(".")[:3])) >= (14, 0, 1):
        pytest.skip("this pyarrow does not")
    code = "import pyarrow.parquet as pq; pq.ParquetFile('bad.parquet')"
    _python(marker, "-c", code)
    assert marker.exists()


@pytest.mark.parametrize("command", ["init", "run", "compile"])
def test_the_command_line_refuses_it(marker, command):
    config = {
        "name": "bad",
        "data": {"path": "bad.parquet", "label": "y", "exclude": ["x"]},
        "kubeflow": {
            "image": "registry/image:1",
            "pipeline_root": "s3://bucket/root",
            "data_path": "s3://bucket/bad.parquet",
            "serving_dir": "s3://bucket/serving",
        },
    }
    (marker.parent / "bad.yaml").write_text(yaml.safe_dump(config))
    arguments = {
        "init": ["init", "bad.parquet", "--label", "y", "--force"],
        "run": ["run", "bad.yaml"],
        "compile": ["compile", "bad.yaml", "-o", "spec.yaml", "--sample", "bad.parquet"],
    }[command]
    done = _python(marker, "-m", "tfx_imbalance.pipeline.cli", *arguments)
    assert (done.returncode, marker.exists()) == (2, False), done.stderr
    assert MESSAGE in done.stdout + done.stderr


# What a node's container imports by its class path, what a Beam worker unpickles, what a user
# imports: each alone.
ALONE = {
    "first pass": "from tfx_imbalance.components.example_gen import ingest as m; "
    "print(m._scan('bad.parquet', 'parquet', m.IngestParams(label='y').to_property()))",
    "second pass": "from tfx_imbalance.components.example_gen.rows import FileRows; "
    "from tfx_imbalance.components.example_gen.params import IngestParams; "
    "next(FileRows('bad.parquet', 'parquet', IngestParams(label='y')).batches())",
    "preflight": "from tfx_imbalance.components.example_gen import preflight as m; "
    "m.inspect('bad.parquet', m.IngestParams(label='y'))",
    "rows": "from tfx_imbalance.components.example_gen import sources; "
    "list(sources.read('bad.parquet', 'parquet'))",
}


@pytest.mark.parametrize("how", ALONE)
def test_what_workers_and_libraries_import_refuses_it(marker, how):
    done = _python(marker, "-c", ALONE[how])
    assert not marker.exists()
    assert MESSAGE in done.stdout + done.stderr


def test_no_other_module_opens_files_that_declare_types():
    """Else it would have to forbid pickled types, too."""
    openers = {"parquet", "feather", "ipc", "dataset", "orc", "flight", "read_parquet"}
    found = set()
    for folder in ("components", "pipeline", "tfx_imbalance", "scripts", "kubeflow"):
        for path in (REPOSITORY / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Import):
                    names = {alias.name for alias in node.names}
                elif isinstance(node, ast.ImportFrom):
                    names = {f"{node.module}.{alias.name}" for alias in node.names}
                elif isinstance(node, ast.Attribute):
                    names = {f"pyarrow.{node.attr}"} if node.attr in openers else set()
                else:
                    continue
                if any(n.startswith("pyarrow.") and n.split(".")[1] in openers for n in names):
                    found.add(path.relative_to(REPOSITORY).as_posix())
    assert found == {"components/example_gen/sources.py"}


LONG = "x" * 50_000


@pytest.mark.parametrize(
    "column",
    [
        pa.array([LONG, "short", None, LONG] * 100),
        pa.array([LONG, "short", None, LONG] * 100).dictionary_encode(),
        pa.array([LONG.encode(), b"\xff", None, b""] * 100, pa.large_binary()),
        pa.array([[LONG], [], None, ["short"]] * 100),
        pa.array([["a", LONG], [], None, [None]] * 100, pa.large_list(pa.large_string())),
    ],
    ids=lambda column: str(column.type),
)
@pytest.mark.parametrize("coded", [True, False])
def test_blocks_of_long_texts_have_fewer_rows(tmp_path, monkeypatch, column, coded):
    monkeypatch.setattr(sources, "_BLOCK_TEXT", 1 << 20)
    path = str(tmp_path / "a.parquet")
    pq.write_table(pa.table({"i": range(400), "s": column}), path, use_dictionary=coded)
    blocks = list(sources.read(path, "parquet"))
    assert [row for block in blocks for row in block.column("s").to_pylist()] == column.to_pylist()
    assert max(block.column("s").get_total_buffer_size() for block in blocks) < 3_000_000


def test_texts_that_repeat_take_no_memory_until_they_are_read(tmp_path):
    """A file of some KB whose texts are 300 GB."""
    codes = pa.array([0] * 60_000, pa.int32())
    column = pa.DictionaryArray.from_arrays(codes, pa.array([LONG * 100]))
    path = str(tmp_path / "a.parquet")
    pq.write_table(pa.table({"s": column}), path, compression="zstd")
    assert next(sources.read(path, "parquet")).num_rows < 20
    with pytest.raises(
        UserError, match=r"a\.parquet, row 1: a row of 5,000,000 bytes, more than 1"
    ):
        next(sources.read(path, "parquet", max_line_bytes=1_000_000))


@pytest.mark.parametrize("coded", [True, False])
def test_a_row_that_is_too_long_is_named(tmp_path, coded):
    path = str(tmp_path / "a.parquet")
    columns = {"s": ["a"] * 70_000, "t": [b"b"] * 69_999 + [b"b" * 100]}
    pq.write_table(pa.table(columns), path, use_dictionary=coded)
    message = r"row 70,000: a row of 101 bytes, more than 100; raise data\.max_line_bytes"
    with pytest.raises(UserError, match=message):
        list(sources.read(path, "parquet", max_line_bytes=100))
    assert sum(b.num_rows for b in sources.read(path, "parquet", max_line_bytes=101)) == 70_000

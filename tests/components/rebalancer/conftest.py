"""Small data sets as TFRecord files, and Beam runs over them."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import apache_beam as beam
import numpy as np
import pytest
import tensorflow as tf
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from tfx_imbalance.components import examples_io, hashing
from tfx_imbalance.components.rebalancer.copies import copies_of
from tfx_imbalance.components.rebalancer.features import Features
from tfx_imbalance.components.rebalancer.params import RebalanceParams
from tfx_imbalance.components.rebalancer.reading import BlockParser, Layout, rows_of
from tfx_imbalance.components.rebalancer.rebalance import rebalance
from tfx_imbalance.components.rebalancer.report import Rebalancing
from tfx_imbalance.components.rebalancer.rows import Rows

ROW_ID = "_row_id"
CLASSES = ("no", "perhaps", "yes")


@dataclass(frozen=True)
class Data:
    """Columns of n rows; `y` is the label."""

    columns: dict[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.columns["y"])

    @property
    def counts(self) -> dict[str, int]:
        found = Counter(self.columns["y"].tolist())
        return {name: found[name] for name in CLASSES}

    def without(self, *names: str) -> "Data":
        return replace(self, columns={k: v for k, v in self.columns.items() if k not in names})

    def take(self, index: np.ndarray) -> "Data":
        return Data({k: v[index] for k, v in self.columns.items()})

    def records(self) -> list[bytes]:
        return [
            example({name: column[i] for name, column in self.columns.items()})
            for i in range(len(self))
        ]


def example(values: dict[str, object]) -> bytes:
    """One serialized tf.Example; None leaves a feature out."""
    features = {}
    for name, value in values.items():
        if value is None:
            continue
        if isinstance(value, str):
            feature = tf.train.Feature(bytes_list=tf.train.BytesList(value=[value.encode()]))
        elif isinstance(value, (np.ndarray, tuple)):
            feature = tf.train.Feature(float_list=tf.train.FloatList(value=list(value)))
        elif isinstance(value, (int, np.integer)):
            feature = tf.train.Feature(int64_list=tf.train.Int64List(value=[int(value)]))
        else:
            feature = tf.train.Feature(float_list=tf.train.FloatList(value=[float(value)]))
        features[name] = feature
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()


def make_data(seed: int = 0) -> Data:
    """60, 25 and 14 rows; 10 rows of the first class and 4 of the last are repeated ones."""
    rng = np.random.default_rng(seed)
    y = np.repeat(np.array(CLASSES, object), [60, 25, 14])
    n = len(y)
    data = Data(
        {
            "a": rng.normal(size=n).astype(np.float32),
            "b": rng.gamma(2.0, size=n).astype(np.float32),
            "c": rng.integers(0, 3, n),
            "d": rng.integers(0, 5, n),
            "w": rng.uniform(0.5, 2, n).astype(np.float32),
            "v": rng.normal(size=(n, 3)).astype(np.float32),
            "y": y,
            ROW_ID: rng.integers(-(2**63), 2**63 - 1, n),
        }
    )
    index = np.arange(n)
    index[50:60] = 3
    index[-4:] = [n - 5, n - 5, n - 6, n - 6]
    return data.take(index)


NUMERIC = {"a": "float", "b": "float"}
WEIGHT = ("w", "float")
FEATURE_SETS = {
    "mixed": Features({**NUMERIC, "v": "float"}, ("c", "d"), {}, WEIGHT, {"v": 3}),
    "numeric": Features({**NUMERIC, "v": "float"}, (), {}, WEIGHT, {"v": 3}),
    "categorical": Features({}, ("c", "d"), {}, WEIGHT),
}


def multiset(files: list[str]) -> Counter[tuple]:
    """The rows of TFRecord files, each as its sorted (feature, value) pairs."""
    return Counter(parsed(record) for record in read(files))


def read(files: list[str]) -> list[bytes]:
    return [
        record
        for path in files
        for record in tf.data.TFRecordDataset(
            path, "GZIP" if path.endswith(".gz") else ""
        ).as_numpy_iterator()
    ]


def parsed(record: bytes) -> tuple:
    pairs = []
    for name, feature in tf.train.Example.FromString(record).features.feature.items():
        values = tuple(getattr(feature, feature.WhichOneof("kind")).value)
        pairs.append((name, values[0] if len(values) == 1 else values))
    return tuple(sorted(pairs))


def decoded(source: list[bytes], layout: Layout, features: Features) -> Rows:
    """All rows of a split with the identities that rebalancing gives them, in canonical order."""
    block = BlockParser(layout)(examples_io.framed(source))
    rows = rows_of(block, np.ones(len(source), bool), features, layout.classes)
    held = hashing.row_ids(examples_io.decoder().DecodeBatch(source), {layout.label})
    copies = copies_of(rows.ids, rows.codes, held)
    rows.columns[ROW_ID] = rows.ids
    return rows._replace(ids=hashing.copy_ids(rows.ids, copies)).ordered()


def in_memory() -> beam.Pipeline:
    return beam.Pipeline(runner=FnApiRunner())


def two_processes() -> beam.Pipeline:
    options = PipelineOptions(direct_num_workers=2, direct_running_mode="multi_processing")
    return beam.Pipeline(runner=FnApiRunner(), options=options)


def three_threads() -> beam.Pipeline:
    options = PipelineOptions(direct_num_workers=3, direct_running_mode="multi_threading")
    return beam.Pipeline(runner=FnApiRunner(), options=options)


PIPELINES: dict[str, Callable[[], beam.Pipeline]] = {
    "in_memory": in_memory,
    "three_threads": three_threads,
    "two_processes": two_processes,
}


@dataclass(frozen=True)
class Result:
    """What one run read and wrote."""

    source: list[bytes]
    report: Rebalancing
    files: list[str]

    @property
    def rows(self) -> Counter[tuple]:
        return multiset(self.files)

    @property
    def read(self) -> Counter[tuple]:
        return Counter(parsed(record) for record in self.source)

    def column(self, name: str) -> list[object]:
        return [dict(parsed(record))[name] for record in read(self.files)]

    @property
    def labels(self) -> list[object]:
        return self.column("y")

    @property
    def ids(self) -> list[object]:
        return self.column(ROW_ID)


def write_files(folder: Path, records: list[bytes], shards: int = 1, gz: bool = True) -> list[str]:
    """Writes records to `shards` files of unequal length, the last one possibly empty."""
    folder.mkdir(parents=True, exist_ok=True)
    cuts = sorted((i * i * len(records)) // (shards * shards) for i in range(1, shards))
    bounds = [0, *cuts, len(records)]
    files = []
    for i in range(shards):
        path = str(folder / f"part-{i}-of-{shards}{'.gz' if gz else ''}")
        with tf.io.TFRecordWriter(path, "GZIP" if gz else "") as writer:
            for record in records[bounds[i] : bounds[i + 1]]:
                writer.write(record)
        files.append(path)
    return files


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Result]:
    """Rebalances data: run(data or records, params, features=, shards=, runner=)."""

    def call(
        data: Data | list[bytes],
        params: RebalanceParams,
        features: Features = FEATURE_SETS["numeric"],
        shards: int = 1,
        runner: str = "in_memory",
        classes: tuple[str, ...] = CLASSES,
    ) -> Result:
        folder = tmp_path_factory.mktemp("run")
        records = data.records() if isinstance(data, Data) else data
        files = write_files(folder / "in", records, shards)
        out = folder / "out" / "Split-train"
        report = rebalance(
            PIPELINES[runner],
            files,
            str(out),
            label="y",
            classes=classes,
            features=features,
            params=params,
        )
        assert [p.name for p in out.parent.iterdir()] == ["Split-train"]
        return Result(records, report, sorted(str(p) for p in out.iterdir()))

    return call


@pytest.fixture
def data() -> Data:
    return make_data()


@pytest.fixture(scope="session")
def kit() -> SimpleNamespace:
    """The helpers above, for tests that need more than `run`."""
    return SimpleNamespace(
        CLASSES=CLASSES,
        FEATURE_SETS=FEATURE_SETS,
        Data=Data,
        make_data=make_data,
        example=example,
        multiset_of=lambda records: Counter(parsed(record) for record in records),
        parsed=parsed,
        read=read,
        decoded=decoded,
        in_memory=in_memory,
        write_files=write_files,
    )

"""A small data set with what matters: two numbers (one sometimes missing), a category, a weight."""

from dataclasses import dataclass
from pathlib import Path

import apache_beam as beam
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_transform as tft
import tensorflow_transform.beam as tft_beam
from google.protobuf import text_format

from tfx_imbalance.pipeline.preprocessing import preprocessing_fn, transform_config
from tfx_imbalance.pipeline.preprocessing_params import PreprocessingParams

CLASSES = ("no", "yes")
SPLIT_ROWS = {"train": 640, "val": 240}


@dataclass(frozen=True)
class Data:
    """Folders `raw` and `transformed` with Split-train and Split-val, and Transform's graph."""

    raw: Path
    transformed: Path
    graph: Path
    rows: dict[str, list[dict]]

    @property
    def transform(self) -> tft.TFTransformOutput:
        return tft.TFTransformOutput(str(self.graph))

    def patterns(self, split: str) -> list[str]:
        return [str(self.transformed / f"Split-{split}" / "*")]


def make_rows(n: int, seed: int) -> list[dict]:
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(n):
        positive = rng.random() < 0.2
        row = {
            "age": rng.normal(1.5 * positive),
            "color": str(
                rng.choice(
                    ["red", "blue", "green"], p=[0.2 + 0.5 * positive, 0.3, 0.5 - 0.5 * positive]
                )
            ),
            "y": CLASSES[int(positive)],
            "w": float(rng.integers(1, 4)),
            "_row_id": int(rng.integers(2**62)),
        }
        if i % 5:
            row["income"] = float(rng.exponential() + positive)
        rows.append(row)
    return rows


def example(row: dict) -> bytes:
    feature = {}
    for name, value in row.items():
        if isinstance(value, str):
            feature[name] = tf.train.Feature(bytes_list=tf.train.BytesList(value=[value.encode()]))
        elif isinstance(value, float):
            feature[name] = tf.train.Feature(float_list=tf.train.FloatList(value=[value]))
        else:
            feature[name] = tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))
    return tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()


def write_records(path: Path, records: list[bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(path), "GZIP") as writer:
        for record in records:
            writer.write(record)


RAW_SPEC = {
    "age": tf.io.FixedLenFeature([1], tf.float32),
    "income": tf.io.VarLenFeature(tf.float32),
    "color": tf.io.FixedLenFeature([1], tf.string),
    "y": tf.io.FixedLenFeature([1], tf.string),
    "w": tf.io.FixedLenFeature([1], tf.float32),
    "_row_id": tf.io.FixedLenFeature([1], tf.int64),
}


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Data:
    root = tmp_path_factory.mktemp("trainer")
    rows = {split: make_rows(n, seed) for seed, (split, n) in enumerate(SPLIT_ROWS.items())}
    config = transform_config(PreprocessingParams(), label="y", weight="w")
    metadata = tft.DatasetMetadata.from_feature_spec(RAW_SPEC)
    with (
        beam.Pipeline("FnApiRunner") as pipeline,
        tft_beam.Context(temp_dir=str(root / "tmp")),
    ):
        instances = [
            {name: [row[name]] if name in row else [] for name in RAW_SPEC} for row in rows["train"]
        ]
        train = pipeline | beam.Create(instances)
        fn = (train, metadata) | tft_beam.AnalyzeDataset(
            lambda inputs: preprocessing_fn(inputs, config)
        )
        fn | tft_beam.WriteTransformFn(str(root / "graph"))
    # TFX's Transform writes the raw schema beside the graph.
    (root / "graph" / "metadata").mkdir()
    (root / "graph" / "metadata" / "schema.pbtxt").write_text(
        text_format.MessageToString(metadata.schema)
    )
    transform = tft.TFTransformOutput(str(root / "graph"))
    for split, members in rows.items():
        records = [example(row) for row in members]
        write_records(root / "raw" / f"Split-{split}" / "data-00000-of-00001.gz", records)
        columns = transform.transform_raw_features(tf.io.parse_example(records, RAW_SPEC))
        transformed = []
        values = {name: column.numpy()[:, 0].tolist() for name, column in columns.items()}
        for i in range(len(members)):
            row = {name: value[i] for name, value in values.items()}
            transformed.append(
                example({k: v.decode() if isinstance(v, bytes) else v for k, v in row.items()})
            )
        write_records(
            root / "transformed" / f"Split-{split}" / "data-00000-of-00001.gz", transformed
        )
    return Data(root / "raw", root / "transformed", root / "graph", rows)

"""The components work in a pipeline that is not ours, from an installed wheel."""

import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from tests.e2e.workbench import rows, write_csv

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

ROOT = Path(__file__).parents[2]

FOREIGN = """
import sys

import tensorflow as tf
import tensorflow_transform as tft
from tfx import v1 as tfx
from tfx.proto import transform_pb2

import tfx_imbalance
from tfx_imbalance import ImbalanceDetector, Rebalancer, StratifiedExampleGen
from tfx_imbalance.components.example_gen.params import IngestParams
from tfx_imbalance.components.imbalance_detector.params import DetectorParams
from tfx_imbalance.components.rebalancer.params import RebalanceParams

assert "site-packages" in tfx_imbalance.__file__, tfx_imbalance.__file__
sys.path.insert(0, ".")  # a package named `components` beside ours must not disturb it
import components

assert components.MARK == "theirs"


def dense(x):
    return tf.sparse.to_dense(tf.SparseTensor(x.indices, x.values, [x.dense_shape[0], 1]))


def preprocessing_fn(inputs):
    outputs = {name: dense(inputs[name]) for name in ("age", "balance", "y", "_row_id")}
    outputs["age"] = tft.scale_to_z_score(outputs["age"])
    return outputs


def main():
    ingest = StratifiedExampleGen(path="data.csv", params=IngestParams(label="y"))
    raw = ingest.outputs["examples"]
    statistics = tfx.components.StatisticsGen(examples=raw)
    schema = tfx.components.SchemaGen(statistics=statistics.outputs["statistics"])
    detector = ImbalanceDetector(
        statistics=statistics.outputs["statistics"],
        schema=schema.outputs["schema"],
        params=DetectorParams(label="y", positive="yes", row_id=True),
    )
    transform = tfx.components.Transform(
        examples=raw,
        schema=detector.outputs["checked_schema"],
        preprocessing_fn="foreign.preprocessing_fn",
        splits_config=transform_pb2.SplitsConfig(analyze=["train"], transform=["train", "val"]),
    )
    rebalancer = Rebalancer(
        examples=transform.outputs["transformed_examples"],
        transform_graph=transform.outputs["transform_graph"],
        imbalance_report=detector.outputs["report"],
        params=RebalanceParams(method="smote", seed=1),
    )
    tfx.orchestration.LocalDagRunner().run(
        tfx.dsl.Pipeline(
            pipeline_name="foreign",
            pipeline_root="root",
            components=[ingest, statistics, schema, detector, transform, rebalancer],
            metadata_connection_config=tfx.orchestration.metadata.sqlite_metadata_connection_config(
                "metadata.sqlite"
            ),
        )
    )


if __name__ == "__main__":
    main()
"""


def test_six_nodes_of_a_foreign_pipeline_run_from_the_wheel(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path)]
    subprocess.run([*build, str(ROOT)], check=True, capture_output=True)
    [wheel] = tmp_path.glob("*.whl")

    home = tmp_path / "venv"
    venv.create(home, with_pip=True)
    python = home / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "-q", "--no-deps", wheel], check=True)
    # The locked dependencies are borrowed: a path line does not run this environment's own
    # .pth files, so that our editable install is out of sight.
    paths = {name: sysconfig.get_path(name) for name in ("purelib", "platlib")}
    [site] = (home / "lib").glob("python*/site-packages")
    (site / "borrowed.pth").write_text("\n".join(dict.fromkeys(paths.values())) + "\n")

    project = tmp_path / "project"
    (project / "components").mkdir(parents=True)
    (project / "components" / "__init__.py").write_text("MARK = 'theirs'\n")
    (project / "foreign.py").write_text(FOREIGN)
    write_csv(project / "data.csv", rows(600))
    done = subprocess.run(
        [python, "foreign.py"], cwd=project, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    [report] = project.glob("root/Rebalancer/report/*/report.json")
    assert '"method": "smote"' in report.read_text()

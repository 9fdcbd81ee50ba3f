"""Runs the pipeline with its root in an object store: `python -m tests.e2e.store_pipeline ...`."""

import json
import sys
import uuid
from pathlib import Path

from tfx.dsl.compiler import compiler
from tfx.orchestration.metadata import sqlite_metadata_connection_config

from tfx_imbalance.components import storage
from tfx_imbalance.components.champion.registry import latest_version
from tfx_imbalance.components.compat import IN_PROCESS_BEAM, versions
from tfx_imbalance.components.example_gen.preflight import inspect
from tfx_imbalance.components.reporter.params import RunContext
from tfx_imbalance.pipeline.config import load_config
from tfx_imbalance.pipeline.console import terminal
from tfx_imbalance.pipeline.pipeline import Facts, create_pipeline
from tfx_imbalance.pipeline.runners import local


def main(config_path: str, root: str, serving_dir: str, folder: str) -> None:
    """Runs all nodes once; prints the URI of Reporter's artifact as JSON.

    Args:
      config_path: of the config; data.path may be a URI.
      root: pipeline root, a URI.
      serving_dir: registry folder, a URI.
      folder: local, for ML Metadata.
    """
    config, run_id = load_config(config_path), uuid.uuid4().hex
    storage.prepare(config.data.path, serving_dir)
    storage.prepare(root, tensorflow=True)
    timings = Path(folder, "timings.json")
    timings.write_text("[]")
    facts = Facts(
        columns=tuple(inspect(config.data.path, config.ingest).columns),
        champion_version=latest_version(serving_dir) or "",
        context=RunContext(
            name=config.name,
            run_id=run_id,
            seed=config.seed,
            weight=None,
            versions=versions(),
            config="",
            timings_path=str(timings),
        ),
    )
    pipeline = create_pipeline(
        config,
        facts,
        pipeline_root=root,
        serving_dir=serving_dir,
        metadata=sqlite_metadata_connection_config(str(Path(folder, "metadata.sqlite"))),
        beam_args=IN_PROCESS_BEAM,
    )
    ir = compiler.Compiler().compile(pipeline)
    with terminal(Path(folder, "log.txt"), False) as out:
        outputs = {node.node: made for node, made in local._launch_nodes(ir, run_id, out)}
    [report] = outputs["Reporter"]["report"]
    print(json.dumps(report.uri))


if __name__ == "__main__":
    main(*sys.argv[1:])

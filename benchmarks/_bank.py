"""Runs the bank demo with other settings, and reads what a run has left."""

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

ROOT = Path(__file__).parents[1]
CONFIG = ROOT / "configs" / "bank.yaml"
NOT_BLESSED = 3
"""Exit code of a run whose model was measured and not pushed."""
PLAIN: dict[str, Any] = {"rebalance": {"method": "none"}, "class_weights": {"scheme": "none"}}
"""No rebalancing and no weights."""


@dataclass(frozen=True)
class Run:
    """One finished run.

    Attributes:
      workspace: the pipeline's folder.
      summary: summary.json.
    """

    workspace: Path
    summary: dict[str, Any]

    def report(self, node: str) -> dict[str, Any]:
        """The newest report of a node."""
        folder = _newest(self.workspace / "artifacts" / node / "report")
        found: dict[str, Any] = json.loads((folder / "report.json").read_text())
        return found

    def model_bytes(self) -> int:
        """Size of the newest pushed or to be pushed model, its files in all."""
        folder = _newest(self.workspace / "artifacts" / "Calibrator" / "model")
        return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())

    def rows(self, split: str) -> pd.DataFrame:
        """A split's raw rows: numbers, texts as str, one column a feature."""
        from tfx_imbalance.components import examples_io

        folder = _newest(self.workspace / "artifacts" / "StratifiedExampleGen" / "examples")
        files = sorted(map(str, (folder / f"Split-{split}").glob("*")))
        decode = examples_io.decoder().DecodeBatch
        frames = []
        for block in examples_io.read_blocks(files):
            batch = decode(block)
            columns = {
                name: batch.column(i).flatten().to_pylist()
                for i, name in enumerate(batch.schema.names)
            }
            frames.append(pd.DataFrame(columns))
        rows = pd.concat(frames, ignore_index=True)
        texts = [name for name in rows if rows[name].dtype == object]
        return rows.assign(**{name: rows[name].str.decode("utf-8") for name in texts})


def run_bank(folder: Path, seed: int, changes: Mapping[str, Any] | None = None) -> Run:
    """Runs the demo's config in `folder` with another seed and other sections.

    Runs of one seed share what is cached. Gates are left out: nothing that is measured depends on
    what was pushed before.

    Raises:
      RuntimeError: the run failed.
    """
    own = {"name": f"bank-{seed}", "seed": seed, "gates": {"champion": []}}
    return run_config(CONFIG, folder, own | dict(changes or {}))


def run_config(path: Path, folder: Path, changes: Mapping[str, Any]) -> Run:
    """Runs a config in `folder` with other sections, `name` among them.

    Raises:
      RuntimeError: the run failed.
    """
    subprocess.run([sys.executable, ROOT / "scripts" / "demo_data.py"], check=True)
    config = {"extends": str(path.resolve()), "output": {"runs_dir": str(folder)}, **changes}
    changed = folder / f"{config['name']}.yaml"
    changed.write_text(yaml.safe_dump(config))
    done = subprocess.run(
        [sys.executable, "-m", "tfx_imbalance.pipeline", "run", changed],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
    )
    if done.returncode not in (0, NOT_BLESSED):
        raise RuntimeError(
            f"{path.name} ended with {done.returncode}: {done.stdout[-2000:]}{done.stderr[-500:]}"
        )
    workspace = folder / config["name"]
    return Run(workspace, json.loads((workspace / "latest" / "summary.json").read_text()))


def mean(values: list[float]) -> float:
    """Mean as a Python float."""
    return float(np.mean(values))


def _newest(folder: Path) -> Path:
    return max(folder.iterdir(), key=lambda path: int(path.name))

"""A small imbalanced data set and a folder in which pipelines run on it."""

import csv
import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import yaml

COLUMNS = ("age", "balance", "job", "region", "y")


def rows(n: int = 2400, seed: int = 0) -> list[tuple[object, ...]]:
    """Rows whose label depends on all features but region; about 15 % 'yes'."""
    rng = np.random.default_rng(seed)
    age = rng.integers(18, 90, n)
    balance = np.round(rng.normal(1000, 800, n), 2)
    job = rng.choice(["clerk", "nurse", "cook", "pilot"], n, p=[0.4, 0.3, 0.2, 0.1])
    region = rng.choice(["north", "south"], n, p=[0.97, 0.03])
    logit = -3.2 + 0.03 * (age - 50) + balance / 900 + 1.2 * (job == "pilot")
    y = np.where(rng.random(n) < 1 / (1 + np.exp(-logit)), "yes", "no")
    return list(zip(age.tolist(), balance.tolist(), job, region, y, strict=True))


def write_csv(path: Path, content: list[tuple[object, ...]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        writer.writerows(content)
    return path


@dataclass
class Workbench:
    """A folder with data, a config and the runs made there."""

    folder: Path
    config: dict = field(default_factory=dict)

    @property
    def config_path(self) -> Path:
        path = self.folder / "config.yaml"
        path.write_text(yaml.safe_dump(self.config), encoding="utf-8")
        return path

    @property
    def workspace(self) -> Path:
        return self.folder / "runs" / self.config["name"]

    @property
    def summary(self) -> dict:
        return json.loads((self.workspace / "latest" / "summary.json").read_text())

    @property
    def cached(self) -> dict[str, bool]:
        timings = json.loads((self.workspace / "latest" / "timings.json").read_text())
        return {node["node"]: node["cached"] for node in timings}

    def run(self) -> int:
        from tfx_imbalance.pipeline.config import load_config
        from tfx_imbalance.pipeline.runners import local

        return local.run(load_config(self.config_path))

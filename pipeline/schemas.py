"""JSON Schemas of the config and of every report, and the config's reference page.

`python -m tfx_imbalance.pipeline.schemas ROOT` writes them into schemas/ and docs/ below ROOT; a
test keeps what stands there equal to the models.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from ..components.calibrator.report import Calibration
from ..components.champion.report import ChampionInfo
from ..components.drift_check.report import Drift
from ..components.gate.report import Gating
from ..components.imbalance_detector.report import Imbalance
from ..components.rebalancer.report import Rebalancing
from ..components.report import Report
from ..components.reporter.report import Summary
from ..components.trainer.report import Training
from ..components.tuner.report import Tuning
from .config import Config

REPORTS: tuple[type[Report], ...] = (
    Imbalance,
    Rebalancing,
    Tuning,
    Training,
    Calibration,
    ChampionInfo,
    Gating,
    Drift,
    Summary,
)

_PAGE = """# Every key of a config

Written by `python -m tfx_imbalance.pipeline.schemas .` from the models that check a config
(JSON Schema: `schemas/config.schema.json`). Unknown keys are refused.

| key | value | default | meaning |
|---|---|---|---|
"""


def files() -> dict[str, str]:
    """Path below the repository's root -> text."""
    models: dict[str, type[BaseModel]] = {"config": Config}
    models |= {report.schema_name: report for report in REPORTS}
    schemas = {
        f"schemas/{name}.schema.json": json.dumps(model.model_json_schema(), indent=2) + "\n"
        for name, model in models.items()
    }
    return schemas | {"docs/configuration.md": _PAGE + "".join(_rows())}


def _rows() -> Iterator[str]:
    schema = Config.model_json_schema()
    for path, field in _leaves(schema, schema, ""):
        default = "required" if "required" in field else f"`{json.dumps(field.get('default'))}`"
        cells = (f"`{path}`", _type_of(field, schema), default, field.get("description", ""))
        yield "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |\n"


def _leaves(
    model: dict[str, Any], schema: dict[str, Any], prefix: str
) -> Iterator[tuple[str, dict[str, Any]]]:
    required = set(model.get("required", ()))
    for name, field in model["properties"].items():
        path = prefix + name
        nested = _resolved(_present(field), schema)
        if "properties" in nested:
            yield from _leaves(nested, schema, path + ".")
        elif "properties" in (items := _resolved(nested.get("items", {}), schema)):
            yield from _leaves(items, schema, path + "[].")
        else:
            yield path, field if name not in required else {**field, "required": True}


def _present(field: dict[str, Any]) -> dict[str, Any]:
    """What a field that may be null is otherwise."""
    branches = [branch for branch in field.get("anyOf", ()) if branch.get("type") != "null"]
    return branches[0] if len(branches) == 1 else field


def _resolved(field: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    reference = field.get("$ref", "")
    return schema["$defs"][reference.rpartition("/")[2]] if reference else field


def _type_of(field: dict[str, Any], schema: dict[str, Any]) -> str:
    field = _resolved(field, schema)
    if "anyOf" in field:
        return " or ".join(_type_of(branch, schema) for branch in field["anyOf"])
    if "enum" in field or "const" in field:
        return ", ".join(f"`{value}`" for value in field.get("enum", [field.get("const")]))
    kind = field.get("type", "any")
    if kind == "array":
        return f"list of {_type_of(field.get('items', {}), schema)}"
    if kind == "object":
        values = field.get("additionalProperties")
        return f"map to {_type_of(values if isinstance(values, dict) else {}, schema)}"
    return str(kind)


def main() -> None:
    """Writes the files below the root that is named."""
    root = Path(sys.argv[1])
    for name, text in files().items():
        (root / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()

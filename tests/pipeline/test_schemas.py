"""What stands in schemas/ and docs/ is what the models say."""

import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from tfx_imbalance.pipeline import schemas

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", sorted(schemas.files()))
def test_a_generated_file_is_up_to_date(name: str) -> None:
    written = (ROOT / name).read_text(encoding="utf-8")
    assert written == schemas.files()[name], "run: python -m tfx_imbalance.pipeline.schemas ."


def test_no_stale_schema_is_left() -> None:
    have = {f"schemas/{path.name}" for path in (ROOT / "schemas").glob("*.schema.json")}
    assert have == {name for name in schemas.files() if name.startswith("schemas/")}


@pytest.mark.parametrize("path", sorted((ROOT / "configs").rglob("*.yaml")), ids=lambda p: p.stem)
def test_the_demo_configs_satisfy_the_schema(path: Path) -> None:
    schema = json.loads((ROOT / "schemas" / "config.schema.json").read_text())
    jsonschema.validate(json.loads(json.dumps(yaml.safe_load(path.read_text()))), schema)


def test_every_key_of_a_config_has_a_meaning() -> None:
    rows = [line for line in schemas.files()["docs/configuration.md"].splitlines() if "| `" in line]
    assert len(rows) > 60
    assert not [row for row in rows if row.split(" | ")[-1].strip(" |") == ""]

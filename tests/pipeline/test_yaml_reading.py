"""A config of any content is read or refused in one line, in bounded time; never a traceback."""

import os
import time
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tfx_imbalance.components.errors import UserError
from tfx_imbalance.pipeline.config import load_config
from tfx_imbalance.pipeline.yaml_reading import read_yaml

ROOT = Path(__file__).parents[2]
GOOD = "name: demo\ndata: {path: data.csv, label: y}\n"

_laughs = "\n".join(
    ["a0: &a0 [x, x]", *(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12))]
)
_merges = "\n".join(
    [
        "a0: &a0 {k: 1}",
        *(f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 9)}]}}" for i in range(1, 12)),
    ]
)
REFUSED = {
    "unhashable key": (GOOD + "? [a]: b\n", ["line 3", "a key is a map or a list"]),
    "map as a key": (GOOD + "? {a: b}\n: c\n", ["line 3", "a key is a map or a list"]),
    "huge number": (GOOD + f"seed: {'9' * 100_000}\n", ["line 3", "64 bits"]),
    "large number": (GOOD + f"seed: {2**64}\n", ["line 3", "64 bits"]),
    "huge hexadecimal": (GOOD + f"seed: 0x{'f' * 100_000}\n", ["line 3", "64 bits"]),
    "no number": (GOOD + "seed: 0x_\n", ["line 3", "'0x_' is no int"]),
    "tagged number": (GOOD + "seed: !!int abc\n", ["line 3", "'abc' is no int"]),
    "tagged boolean": (GOOD + "seed: !!bool abc\n", ["line 3", "'abc' is no bool"]),
    "tag of Python": (GOOD + "seed: !!python/object/apply:os.system [id]\n", ["line 3", "a tag"]),
    "binary": (GOOD + "seed: !!binary gIGC\n", ["line 3", "a tag"]),
    "set": (GOOD + "seed: !!set {a, b}\n", ["line 3", "a tag"]),
    "depth": (GOOD + f"checks: {'[' * 100_000}\n", ["line 3", "nested deeper"]),
    "depth of blocks": (
        "".join(f"{' ' * i}a:\n" for i in range(2000)),
        ["line 50", "nested deeper"],
    ),
    "laughs": (_laughs, ["line 6", "more than 50,000 values"]),
    "laughs by merges": (_merges, ["more than 50,000 values"]),
    "an alias in itself": (GOOD + "checks: &a [*a]\n", ["line 3", "alias of what it stands in"]),
    "a merge of itself": (GOOD + "checks: &a {<<: *a}\n", ["line 3", "alias"]),
    "a merge of text": (GOOD + "checks: {<<: abc}\n", ["line 3", "mapping"]),
    "unknown alias": (GOOD + "checks: *a\n", ["line 3", "undefined alias"]),
    "twice": ("name: a\nname: b\n", ["line 2", "'name' stands twice"]),
    "tab": ("name: a\ndata:\n\tpath: x\n", ["line 3", "'\\t'"]),
    "control character": ("name: a\nx: \x1b[31m\n", ["line 2", "U+001B"]),
    "NUL": ("name: a\0\n", ["line 1", "U+0000"]),
    "not UTF-8": (b"name: a\nx: \xff\n", ["line 2", "not UTF-8"]),
    "UTF-16": ("name: a\n".encode("utf-16"), ["not UTF-8"]),
    "empty": ("", ["is empty", "expected sections"]),
    "only a comment": ("# nothing\n", ["is empty"]),
    "a list": ("- a\n", ["expected sections"]),
    "a text": ("abc\n", ["expected sections"]),
    "two documents": (GOOD + "---\n" + GOOD, ["line 3", "single document"]),
    "not a number": (
        GOOD + "split: {train: .nan, val: 0.5, test: .inf}\n",
        ["line 3", "no finite number"],
    ),
    "infinite": (
        GOOD + "gates: {absolute: [{metric: auc, min: .inf}]}\n",
        ["line 3", ".inf is no finite number"],
    ),
    "a number as a key": (GOOD + "1: b\n", ["1: "]),
    "null as a key": (GOOD + "null: b\n", ["None: "]),
    "too large": ("x: " + "a" * 5_000_000, ["4 MiB"]),
    "NUL in a path": (GOOD + 'extends: "a\\0b"\n', ["cannot be read"]),
    "a home that is not": (
        "name: a\ndata: {path: ~nobody-of-this-name/x, label: y}\n",
        ["data.path", "no home folder"],
    ),
    "wrong many times": (GOOD + f"checks: {{slices: [{'1, ' * 20_000}]}}\n", ["checks.slices"]),
}


def _refused(path: Path) -> str:
    began = time.monotonic()
    with pytest.raises(UserError) as caught:
        load_config(path)
    assert time.monotonic() - began < 20
    assert len(str(caught.value)) < 100_000
    return str(caught.value)


@pytest.mark.parametrize("case", REFUSED)
def test_a_file_that_is_no_config_is_refused_by_its_place(tmp_path: Path, case: str) -> None:
    content, said = REFUSED[case]
    path = tmp_path / "c.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    message = _refused(path)
    assert message.startswith(f"{path}: ")
    assert all(part in message for part in said), message
    assert case.startswith("wrong") or len(message.splitlines()) <= 3


def test_files_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    (tmp_path / "circle.yaml").symlink_to("circle.yaml")
    (tmp_path / "file").write_text(GOOD)
    for name in ("", "circle.yaml", "none.yaml", "file/none.yaml", "x" * 300):
        message = _refused(tmp_path / name)
        assert str(tmp_path) in message and "\n" not in message


def test_a_chain_of_configs_ends(tmp_path: Path) -> None:
    for i in range(30):
        (tmp_path / f"{i}.yaml").write_text(f"extends: {i + 1}.yaml\n")
    assert "more than 20" in _refused(tmp_path / "0.yaml")
    (tmp_path / "a.yaml").write_text("extends: b.yaml\n")
    (tmp_path / "b.yaml").write_text("extends: ./a.yaml\n")
    assert "extends this file itself" in _refused(tmp_path / "a.yaml")


def test_anchors_merges_and_dates_are_read(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(
        "\ufeffname: demo\ndata: &d {path: data.csv, label: y}\n"
        "x: &x {a: 1, b: 2}\ny: {<<: *x, b: 3}\nz: [*x, *x]\nday: 2026-01-01\nat: 2026-13-45\n",
        encoding="utf-8",
    )
    raw = read_yaml(path)
    assert raw["y"] == {"a": 1, "b": 3}
    assert raw["z"] == [{"a": 1, "b": 2}] * 2
    assert (raw["day"], raw["at"]) == ("2026-01-01", "2026-13-45")
    path.write_text("name: demo\ndata: {path: d.csv, label: y, positive: 2026-01-01}\n")
    assert load_config(path).data.positive == "2026-01-01"


@pytest.mark.parametrize("path", sorted((ROOT / "configs").rglob("*.yaml")), ids=lambda p: p.stem)
def test_what_the_configs_say_is_what_pyyaml_reads(path: Path) -> None:
    assert read_yaml(path) == yaml.safe_load(path.read_text(encoding="utf-8"))


_TEXTS = [p.read_text(encoding="utf-8") for p in sorted((ROOT / "configs").rglob("*.yaml"))]
_SNIPPETS = [
    "? [a]: b", "&a", "*a", "<<: *a", "!!int", "!!binary", "{", "}", "[", "]", ": ", "- ", "\t",
    "\x00", "\x85", "\u2028", "\ud7ff", "0x_", "9" * 400, "1e999", ".nan", ".inf", "-.inf", "~",
    "2026-01-01", "!!python/name:os.system", "---", "...", "|", ">", "%YAML 1.1", "null", "true",
    "'", '"', "\\", "#", "\n", "\r", "  ", "extends: c.yaml", "=", "<<", "1:30:59", "0b_", "0o8",
    "{seed: -1}", "!!float x", "!!map", "!!omap", "!!timestamp x", "? ", "@", "`", "data: []",
]  # fmt: skip


@settings(
    max_examples=int(os.environ.get("YAML_EXAMPLES", "300")),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    st.sampled_from(_TEXTS),
    st.lists(
        st.tuples(
            st.floats(0, 1),
            st.integers(0, 12),
            st.sampled_from(_SNIPPETS) | st.text(max_size=6),
        ),
        min_size=1,
        max_size=4,
    ),
)
def test_a_mutated_config_is_read_or_refused(
    tmp_path: Path, text: str, edits: list[tuple[float, int, str]]
) -> None:
    for where, removed, inserted in edits:
        at = int(where * len(text))
        text = text[:at] + inserted + text[at + removed :]
    path = tmp_path / "c.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        config = load_config(path)
    except UserError as error:
        assert str(error)
        return
    # What is taken reaches every component, and the report, as JSON and back.
    assert yaml.safe_load(config.told())
    for params in (config.ingest, config.detector, config.rebalancer, config.trainer):
        assert type(params).from_property(params.to_property()) == params
    assert type(config.tuner).from_property(config.tuner.to_property()) == config.tuner

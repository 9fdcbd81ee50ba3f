"""Path and span that are given when the node runs, where no driver of TFX's runs before it."""

from pathlib import Path

import pytest
from tfx.components.example_gen import utils
from tfx.orchestration.data_types import RuntimeParameter

from tfx_imbalance.components.errors import UserError
from tfx_imbalance.components.example_gen.component import StratifiedExampleGen
from tfx_imbalance.components.example_gen.driver import Input, resolve
from tfx_imbalance.components.example_gen.files import content_fingerprint
from tfx_imbalance.components.example_gen.params import IngestParams, SplitParams

STABLE = IngestParams(label="y", split=SplitParams(mode="stable"))


def _properties(default: str, params: IngestParams = STABLE, **given: str) -> dict[str, str]:
    """Execution properties as a container gets them."""
    node = StratifiedExampleGen(
        path=RuntimeParameter("data_path", ptype=str, default=default),
        params=params,
        only_span=RuntimeParameter("span", ptype=str, default=""),
    )
    properties = {key: value for key, value in node.exec_properties.items() if value is not None}
    return properties | {"path": default, "only_span": ""} | given


@pytest.fixture
def spans(tmp_path: Path) -> str:
    """Three spans, the newest of them with two versions; a pattern for them."""
    for name in ("1/v0", "2/v0", "12/v0", "12/v3"):
        folder = tmp_path / f"span-{name}"
        folder.mkdir(parents=True)
        (folder / "a.csv").write_text(f"a,y\n{name},x\n")
    return f"{tmp_path}/span-{{SPAN}}/v{{VERSION}}/*"


def test_the_path_that_is_given_is_read_and_not_the_default(tmp_path: Path) -> None:
    path = tmp_path / "given.csv"
    path.write_text("a,y\n1,x\n")
    found = resolve(_properties("s3://bucket/default.csv", path=str(path)))
    assert found == Input(str(path), 0, None, content_fingerprint(str(path)))


@pytest.mark.parametrize(
    ("wanted", "span", "version"), [("", 12, 3), ("12", 12, 3), ("2", 2, 0), ("1", 1, 0)]
)
def test_the_span_that_is_given_is_read_and_the_newest_by_default(
    spans: str, wanted: str, span: int, version: int
) -> None:
    found = resolve(_properties(spans, only_span=wanted))
    assert (found.span, found.version) == (span, version)
    assert found.path.endswith(f"span-{span}/v{version}/*")


@pytest.mark.parametrize("wanted", ["2026-11-24", "20416"])
def test_a_span_that_is_a_day_may_be_given_as_one(tmp_path: Path, wanted: str) -> None:
    assert utils.date_to_span_number(2025, 11, 24) == 20416
    year = "2026" if "-" in wanted else "2025"
    for day in (f"{year}-11-24", f"{year}-11-25"):
        (tmp_path / f"{day}.csv").write_text("a,y\n1,x\n")
    found = resolve(_properties(f"{tmp_path}/{{YYYY}}-{{MM}}-{{DD}}.csv", only_span=wanted))
    assert found.path == f"{tmp_path}/{year}-11-24.csv"


@pytest.mark.parametrize("wanted", ["newest", "-1", "2026-02-30", "1.0"])
def test_a_span_that_is_none_is_told(spans: str, wanted: str) -> None:
    with pytest.raises(UserError, match=f"span: found '{wanted}'; expected a number"):
        resolve(_properties(spans, only_span=wanted))


def test_a_span_that_is_not_there_is_told(spans: str) -> None:
    with pytest.raises(UserError, match=r"data\.path: .*"):
        resolve(_properties(spans, only_span="3"))


def test_a_span_of_a_path_without_spans_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a,y\n1,x\n")
    with pytest.raises(UserError, match=r"span: found '3', but data_path has no \{SPAN\}"):
        resolve(_properties(f"{tmp_path}/a.csv", only_span="3"))


def test_spans_in_the_default_need_splits_that_stay() -> None:
    with pytest.raises(UserError, match=r"split\.mode: 'exact' with spans"):
        _properties("/data/{SPAN}.csv", IngestParams(label="y"))

"""The benchmark harness, on claim modules made for the test."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.claims import Claim, find, main

KEPT = """
from benchmarks.claims import Claim
def run():
    print("noise")
    yield Claim.against("writes faster", 2.0, 8.0, unit="s", at_least=3, better="less")
    yield Claim.against("ranks better", 0.9, 0.6, unit="AUC-PR", at_least=1, better="more")
"""
MISSED = """
from benchmarks.claims import Claim
def run():
    return [Claim.against("writes faster", 4.0, 8.0, unit="s", at_least=3, better="less")]
"""
BREAKS_HALFWAY = """
from benchmarks.claims import Claim
def run():
    yield Claim("small", 1.0, None, None, "MB", "<= 2 MB", True)
    raise RuntimeError("disk full")
"""

Make = Callable[..., str]


@pytest.fixture
def make_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    """Makes an importable package of claim modules and returns its name."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def make(**modules: str) -> str:
        folder = tmp_path / "trial_benchmarks"
        folder.mkdir()
        (folder / "__init__.py").touch()
        for name, text in modules.items():
            (folder / f"{name}.py").write_text(text)
        importlib.invalidate_caches()
        return folder.name

    yield make
    for name in [n for n in sys.modules if n.partition(".")[0] == "trial_benchmarks"]:
        del sys.modules[name]


def rows(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_modules_are_found_and_helpers_left_out(make_package: Make) -> None:
    package = make_package(b=KEPT, a=KEPT, _data="", claims="", __main__="")
    assert find(package) == ["a", "b"]


def test_each_claim_is_one_json_line_on_stdout_and_in_the_results(
    make_package: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = tmp_path / "results.jsonl"
    assert main([], results, make_package(a=KEPT)) == 0
    out, err = capsys.readouterr()
    assert results.read_text() == out
    assert "noise" in err
    first, second = rows(out)
    assert first["module"] == "a"
    assert (first["ours"], first["peer"], first["ratio"]) == (2.0, 8.0, 4.0)
    assert (first["unit"], first["bar"], first["ok"]) == ("s", ">= 3x", True)
    assert second["ratio"] == pytest.approx(1.5)
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_results_hold_a_claim_as_soon_as_it_is_measured(
    make_package: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = tmp_path / "results.jsonl"
    second = f"""
from pathlib import Path
def run():
    raise SystemExit(Path({str(results)!r}).read_text())
"""
    assert main([], results, make_package(a=MISSED, b=second)) == 1
    assert '"module": "a"' in rows(capsys.readouterr().out)[-1]["error"].replace("\\", "")


def test_a_claim_that_misses_its_bar_fails_the_run(make_package: Make, tmp_path: Path) -> None:
    assert main([], tmp_path / "results.jsonl", make_package(a=MISSED, b=KEPT)) == 1
    assert [row["ok"] for row in rows((tmp_path / "results.jsonl").read_text())] == [
        False,
        True,
        True,
    ]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("import no_such_module_anywhere", "ModuleNotFoundError: No module named"),
        ("def run(): raise ValueError('no data')", "ValueError: no data"),
        ("def run(): return [1]", "TypeError: run() gave a int, not a Claim"),
        ("def run(): return []", "run() gave no claim"),
        ("", "AttributeError"),
    ],
)
def test_a_module_that_fails_is_a_claim_not_kept_and_the_next_one_runs(
    make_package: Make, tmp_path: Path, text: str, error: str
) -> None:
    results = tmp_path / "results.jsonl"
    assert main([], results, make_package(a=text, b=KEPT)) == 1
    failed, *others = rows(results.read_text())
    assert (failed["name"], failed["ok"], failed["ours"]) == ("a", False, None)
    assert error in failed["error"]
    assert [row["ok"] for row in others] == [True, True]


def test_claims_measured_before_a_failure_are_kept(make_package: Make, tmp_path: Path) -> None:
    results = tmp_path / "results.jsonl"
    assert main([], results, make_package(a=BREAKS_HALFWAY)) == 1
    assert [(row["name"], row["ok"]) for row in rows(results.read_text())] == [
        ("small", True),
        ("a", False),
    ]


def test_a_subset_runs_what_is_named_in_that_order(make_package: Make, tmp_path: Path) -> None:
    results = tmp_path / "results.jsonl"
    package = make_package(a=KEPT, b=MISSED, c=KEPT)
    assert main(["c", "a"], results, package) == 0
    assert [row["module"] for row in rows(results.read_text())] == ["c", "c", "a", "a"]


def test_an_unknown_name_is_refused_with_those_known(
    make_package: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = tmp_path / "results.jsonl"
    assert main(["a", "x"], results, make_package(a=KEPT, b=KEPT)) == 2
    assert capsys.readouterr().err == "benchmarks: there is no x; known: a, b\n"
    assert not results.exists()


@pytest.mark.parametrize("ours", [0.0, -1.0, float("nan"), float("inf")])
def test_a_ratio_is_not_made_of_nonsense(ours: float) -> None:
    with pytest.raises(ValueError, match="finite numbers above 0"):
        Claim.against("x", ours, 1.0, unit="s", at_least=1, better="less")


def test_the_command_line_names_what_it_knows() -> None:
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "no-such-claim"],
        cwd=root,
        text=True,
        capture_output=True,
    )
    assert done.returncode == 2
    assert "there is no no-such-claim; known: " in done.stderr

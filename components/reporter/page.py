"""The report page: sections of plain blocks, and the template that shows them.

A section whose report is missing is left out. The page needs no network and no script.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import jinja2

from ..names import TEST, TRAIN, VAL
from ..text import lines
from . import sections
from .blocks import number, share
from .figures import label_text
from .report import Summary
from .sections import prevalence, ratio
from .summary import RunInputs, reasons

HONEST = (
    "Val served early stopping, calibration and the threshold, so its figures are optimistic. "
    "Test was touched by the evaluation alone: judge the model by test."
)
_SECTIONS = (
    sections.gates,
    sections.results,
    sections.slices,
    sections.calibration,
    sections.data,
    sections.tuning,
    sections.learning,
    sections.drift,
    sections.what_ran,
)


@dataclass(frozen=True)
class Tile:
    """One headline number: what on which split, how much, and what to compare it with."""

    name: str
    value: str
    note: str = ""


def render(inputs: RunInputs, summary: Summary) -> str:
    """The page as HTML text; equal text for equal arguments."""
    made = [section for make in _SECTIONS if (section := make(inputs, summary)) is not None]
    return _template().render(
        summary=summary,
        verdict=_verdict(summary),
        lead=_lead(inputs, summary),
        reasons=reasons(inputs),
        tiles=_tiles(inputs, summary),
        honest=HONEST if summary.metrics else "",
        sections=made,
    )


def _lead(inputs: RunInputs, summary: Summary) -> str:
    """The sentence below the heading; the reasons follow it as a list, where there are some."""
    why = reasons(inputs)
    if why and summary.outcome == "data check failed":
        return "Nothing was trained. What forbids it:"
    if why:
        return f"{len(why)} of {len(summary.gates)} gates failed:"
    return summary.message


def _verdict(summary: Summary) -> tuple[str, str]:
    """Heading and tone of the outcome."""
    where = f": {summary.error.node}" if summary.error else ""
    return {
        "pushed": ("Pushed", "pass"),
        "unchanged": ("Unchanged, nothing to push", "pass"),
        "not blessed": ("Not blessed, not pushed", "fail"),
        "data check failed": ("Stopped by a data check", "warn"),
        "failed": (f"Failed{where}", "fail"),
        "user error": (f"Stopped by a mistake{where}", "warn"),
    }[summary.outcome]


def _tiles(inputs: RunInputs, summary: Summary) -> list[Tile]:
    tiles: list[Tile] = []
    split = TEST if TEST in summary.metrics else VAL
    found, val = summary.metrics.get(split), summary.metrics.get(VAL)
    if found is not None and inputs.calibration is not None:
        binary = len(inputs.calibration.classes) == 2
        names = ("auc_pr", "recall", "precision", "ece")
        if not binary:
            names = ("auc_pr", "balanced_accuracy", "f1", "ece")
        for name in names:
            note = _compared(name, binary, inputs, summary)
            if split == TEST and val is not None and not note:
                note = f"val {number(getattr(val, name)).text}"
            title = sections.METRIC_NAMES[name]
            if not binary and name in ("auc_pr", "f1"):
                title = f"Macro {title}"
            tiles.append(Tile(f"{title} on {split}", number(getattr(found, name)).text, note))
    if (imbalance := inputs.imbalance) is not None:
        minority = label_text(imbalance.minority, 40)
        tiles.append(
            Tile(
                "Smallest class in train",
                share(imbalance.minority_share),
                f"{minority}; {ratio(imbalance)} : 1, {imbalance.severity}",
            )
        )
        if found is None:
            rows = sum(imbalance.counts.get(TRAIN, {}).values())
            tiles.append(Tile("Rows in train", f"{rows:,}", f"{len(imbalance.classes)} classes"))
    return tiles


def _compared(name: str, binary: bool, inputs: RunInputs, summary: Summary) -> str:
    if name == "auc_pr" and binary and TEST in summary.metrics and inputs.test_scores is not None:
        val = summary.metrics.get(VAL)
        beside = f", val {number(val.auc_pr).text}" if val else ""
        return f"chance {number(prevalence(inputs.test_scores, 1)).text}{beside}"
    if name in ("recall", "precision") and summary.threshold is not None:
        return f"at threshold {summary.threshold:.3g}"
    return ""


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        finalize=_shown,
        keep_trailing_newline=True,
    )
    environment.filters["shown"] = _shown
    return environment.get_template("report.html.j2")


def _shown(value: object) -> object:
    """Text for the page: its lines `printable`; what is HTML already, and numbers, as they are."""
    if not isinstance(value, str) or hasattr(value, "__html__"):
        return value
    return "\n".join(lines(value))

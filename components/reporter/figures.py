"""The report's figures: matplotlib's SVG as data URIs, equal bytes for equal input.

Text stays text: the reader's own fonts show it, so any script of a class name can be read.
Colours are those of Okabe and Ito and of Tol's muted scheme, both told apart by colour-blind
readers; lines differ in dashes too, for print.
"""

import base64
import io
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

from ..text import printable

INK, GREY, LIGHT = "#1f2328", "#6b7280", "#d5d9de"
BLUE, RED, GREEN = "#0072b2", "#d55e00", "#009e73"
TOL_MUTED = (
    "#332288", "#cc6677", "#117733", "#88ccee", "#aa4499",
    "#999933", "#44aa99", "#882255", "#ddaa33", "#6699cc",
)  # fmt: skip
MAX_CURVES = len(TOL_MUTED)
MAX_BARS = 40

_FONTS = "system-ui, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
_POINTS = 300
_WIDTH = 5.0
_STYLE = {
    "axes.edgecolor": GREY,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.labelcolor": INK,
    "axes.labelsize": 9,
    "axes.linewidth": 0.8,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.constrained_layout.use": True,
    "font.family": ["DejaVu Sans"],
    "font.size": 8.5,
    "grid.color": "#e8eaed",
    "grid.linewidth": 0.7,
    "legend.fontsize": 8.5,
    "legend.frameon": False,
    "legend.handlelength": 2.2,
    "lines.linewidth": 1.6,
    "svg.fonttype": "none",
    "svg.hashsalt": "tfx_imbalance",
    "text.color": INK,
    "text.parse_math": False,
    "xtick.color": GREY,
    "xtick.labelcolor": INK,
    "ytick.color": GREY,
    "ytick.labelcolor": INK,
}


@dataclass(frozen=True)
class Picture:
    """A figure that stands in the page by itself.

    Attributes:
      uri: `data:image/svg+xml;base64,...`.
      alt: what it shows, in words, for those who do not see it.
      caption: how to read it.
    """

    uri: str
    alt: str
    caption: str
    kind: Literal["picture"] = "picture"


@dataclass(frozen=True)
class Curve:
    """One line of a PR, ROC or reliability figure.

    Attributes:
      label: its entry in the legend.
      x, y: float [n].
      point: where the operating point lies, if it is shown.
    """

    label: str
    x: np.ndarray
    y: np.ndarray
    point: tuple[float, float] | None = None


def class_bars(series: Mapping[str, Mapping[str, int]]) -> Picture:
    """Rows of each class as bars, one bar a series.

    Args:
      series: what is counted -> class -> rows; the same classes in each.
    """
    names, largest = list(series), max((n for c in series.values() for n in c.values()), default=1)
    counts = next(iter(series.values()))
    classes = _shown_classes(counts)
    smallest = min((c[k] for c in series.values() for k in classes if c[k] > 0), default=1)
    log = largest > 30 * smallest
    height = 0.8 / len(names)

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        axes.grid(False, axis="y")
        base = np.arange(len(classes))
        for i, (name, color) in enumerate(zip(names, (GREY, BLUE, GREEN), strict=False)):
            values = [series[name][c] for c in classes]
            at = base + (i - (len(names) - 1) / 2) * height
            # A class without rows has no place on a log scale: its bar is left out, its 0 is not.
            axes.barh(at, values, height * 0.92, color=color, label=name)
            for y, value in zip(at, values, strict=True):
                axes.annotate(
                    f"{value:,}", (max(value, 1 if log else 0), y), (3, 0),
                    textcoords="offset points", va="center", fontsize=8, color=INK,
                )  # fmt: skip
        axes.set_yticks(base, [label_text(c, 28) for c in classes])
        axes.tick_params(axis="y", length=0)
        axes.set_ylim(len(classes) - 0.45, -0.55)
        if log:
            axes.set_xscale("log")
            axes.set_xlim(0.7, largest * 6)
            axes.xaxis.set_minor_locator(NullLocator())
        else:
            axes.set_xlim(0, largest * 1.18)
            axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.0f}"))
        axes.set_xlabel("rows, log scale" if log else "rows")
        if len(names) > 1:
            _legend(figure, axes.get_legend_handles_labels(), columns=len(names))

    rows = len(classes) * max(0.34, 0.21 * len(names))
    words = "; ".join(
        f"{name}: " + ", ".join(f"{c} {series[name][c]:,}" for c in classes) for name in names
    )
    caption = "Rows of each class in train" + (", on a log scale." if log else ".")
    if len(classes) < len(counts):
        caption += f" The {len(classes)} largest and smallest of {len(counts)} classes."
    return _picture(draw, rows + 1.0, f"Bars of class counts. {words}.", caption)


def pr_figure(curves: Sequence[Curve], average: Curve | None, chance: float | None) -> Picture:
    """Precision over recall on test.

    Args:
      curves: x recall, y precision; one a class.
      average: the macro average, if there are more classes than two.
      chance: the precision of a model that knows nothing, if it is one number.
    """

    def draw(figure: Figure) -> None:
        axes = _unit_axes(figure, "recall", "precision")
        extra = []
        if chance is not None:
            line = axes.axhline(chance, color=GREY, linestyle=":", linewidth=1.2)
            extra.append((line, f"{chance:.3f}  chance"))
        _draw_curves(figure, axes, curves, average, extra, "AUC-PR", drawstyle="steps-pre")

    return _picture(
        draw,
        _curve_height(curves, average),
        _alt("Precision over recall on test", curves, average),
        f"Precision over recall on test. {_point_words(curves, 'recall', 'precision')}",
    )


def roc_figure(curves: Sequence[Curve], average: Curve | None) -> Picture:
    """True over false positive rate on test; arguments as of `pr_figure`."""

    def draw(figure: Figure) -> None:
        axes = _unit_axes(figure, "false positive rate", "true positive rate (recall)")
        (line,) = axes.plot([0, 1], [0, 1], color=GREY, linestyle=":", linewidth=1.2)
        _draw_curves(figure, axes, curves, average, [(line, "0.5  chance")], "AUC")

    return _picture(
        draw,
        _curve_height(curves, average),
        _alt("True positive rate over false positive rate on test", curves, average),
        f"ROC on test. {_point_words(curves, 'false positive rate', 'recall')}",
    )


def reliability_figure(
    curves: Sequence[Curve], scores: Sequence[tuple[np.ndarray, np.ndarray]], score: str
) -> Picture:
    """Observed frequency over predicted probability, and a histogram of the scores below.

    Args:
      curves: x mean score, y observed frequency, a point a bin.
      scores: for each curve the scores [n] and weights [n] behind it.
      score: what the score is the probability of, in words.
    """
    top = max((float(np.nanmax(v)) for c in curves for v in (c.x, c.y) if v.size), default=1.0)
    end = min(1.0, np.ceil(top * 20 + 0.5) / 20)
    looks = ((RED, "--", "s"), (BLUE, "-", "o"), (INK, "-.", "D"))

    def draw(figure: Figure) -> None:
        axes, below = figure.subplots(2, sharex=True, height_ratios=(3, 1))
        (ideal,) = axes.plot([0, end], [0, end], color=GREY, linestyle=":", linewidth=1.2)
        axes.set(xlim=(0, end), ylim=(0, end), ylabel="observed frequency")
        handles, labels = [], []
        bins = np.linspace(0, end, 26)
        for curve, (values, weights), (color, dash, mark) in zip(
            curves, scores, looks, strict=False
        ):
            (line,) = axes.plot(
                curve.x,
                curve.y,
                color=color,
                linestyle=dash,
                marker=mark,
                markersize=4,
                clip_on=False,
            )
            handles.append(line)
            labels.append(curve.label)
            rows, _ = np.histogram(values, bins, weights=weights)
            below.stairs(rows, bins, color=color, linestyle=dash, linewidth=1.3)
        below.set_yscale("symlog", linthresh=1)
        below.set_ylim(bottom=0)
        below.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:,.0f}"))
        below.set(xlabel=f"probability of {score}", ylabel="rows, log")
        _legend(figure, ([*handles, ideal], [*labels, "perfectly calibrated"]))

    words = "; ".join(
        f"{c.label}: "
        + ", ".join(f"{x:.2g} observed {y:.2g}" for x, y in zip(c.x, c.y, strict=True))
        for c in curves
    )
    return _picture(
        draw,
        5.0,
        f"Reliability curves and a histogram of scores. {words}.",
        "Above: how often the event came true where the model said so; on the dotted line it is "
        "right. Below: how many rows have such a score.",
    )


def history_figure(
    epochs: Sequence[int],
    val_auc_pr: Sequence[float],
    train_loss: Sequence[float],
    val_loss: Sequence[float],
    best: int | None,
    unit: str,
) -> Picture:
    """AUC-PR on val and the losses by epoch or round, the best one marked."""

    def draw(figure: Figure) -> None:
        axes, below = figure.subplots(2, sharex=True, height_ratios=(3, 2))
        mark = "o" if len(epochs) < 40 else None
        axes.plot(epochs, val_auc_pr, color=BLUE, marker=mark, markersize=3.5)
        axes.set_ylabel("AUC-PR on val")
        (first,) = below.plot(epochs, train_loss, color=GREY, linestyle="--")
        (second,) = below.plot(epochs, val_loss, color=BLUE)
        below.set(xlabel=unit, ylabel="loss")
        below.xaxis.set_major_locator(MaxNLocator(8, integer=True))
        handles, labels = [first, second], ["train", "val"]
        if best is not None and best in epochs:
            for panel in (axes, below):
                line = panel.axvline(best, color=RED, linestyle=":", linewidth=1.3)
            value = val_auc_pr[list(epochs).index(best)]
            axes.plot([best], [value], "o", color=RED, markersize=7)
            handles.append(line)
            labels.append(f"best {unit} {best}, AUC-PR {value:.3f}")
        _legend(figure, (handles, labels), columns=3)

    said = f"best {unit} {best}" if best is not None else f"no best {unit} recorded"
    return _picture(
        draw,
        4.4,
        f"AUC-PR on val and losses over {max(epochs)} {unit}s, {said}.",
        f"AUC-PR on val and the losses by {unit}; what the marked {unit} ended with was kept.",
    )


def trials_figure(
    trials: Sequence[tuple[int, Sequence[float], bool]],
    best: int,
    metric: str,
    nested: tuple[float, float] | None,
) -> Picture:
    """Mean and spread of each trial of a search.

    Args:
      trials: number, the metric on each fold that was judged, and whether it went to its end.
      best: number of the best one.
      metric: its name, for people.
      nested: mean and standard deviation of the nested estimate, if there is one.
    """

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        handles: list[Any] = []
        labels = []
        if nested is not None:
            mean, std = nested
            band = axes.axhspan(mean - std, mean + std, color=GREEN, alpha=0.15, linewidth=0)
            axes.axhline(mean, color=GREEN, linestyle="--", linewidth=1.2)
            handles.append(band)
            labels.append(f"nested {mean:.3f} ± {std:.3f}")
        for number, folds, whole in trials:
            color = RED if number == best else BLUE if whole else GREY
            axes.plot([number] * len(folds), folds, ".", color=color, markersize=3, alpha=0.6)
            mean = float(np.mean(folds))
            std = float(np.std(folds, ddof=1)) if len(folds) > 1 else 0.0
            line = axes.errorbar(
                number, mean, std, fmt="o" if whole else "x", color=color, markersize=5,
                linewidth=1.2, capsize=2,
            )  # fmt: skip
            if number == best:
                handles.append(line)
                labels.append(f"best, trial {best}: {mean:.3f} ± {std:.3f}")
        axes.set(xlabel="trial", ylabel=f"{metric} over folds")
        axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
        _legend(figure, (handles, labels))

    words = "; ".join(f"{number}: {np.mean(folds):.3f}" for number, folds, _ in trials)
    return _picture(
        draw,
        3.4,
        f"{metric} of each trial, mean over folds: {words}.",
        "Each trial's mean and standard deviation over folds, its folds as dots; a cross: stopped "
        "early.",
    )


def label_text(name: str, most: int = 22) -> str:
    """A class's name for a figure: `printable`, its middle left out if it is long."""
    name = printable(name)
    return name if len(name) <= most else f"{name[: most // 2]}…{name[-(most // 2 - 1) :]}"


def _shown_classes(counts: Mapping[str, int]) -> list[str]:
    if len(counts) <= MAX_BARS:
        return list(counts)
    ordered = sorted(counts, key=lambda c: -counts[c])
    return ordered[: MAX_BARS // 2] + ordered[-MAX_BARS // 2 :]


def _unit_axes(figure: Figure, x: str, y: str) -> Axes:
    axes = figure.subplots()
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.02), xlabel=x, ylabel=y)
    axes.set_box_aspect(0.86)
    return axes


def _draw_curves(
    figure: Figure,
    axes: Axes,
    curves: Sequence[Curve],
    average: Curve | None,
    extra: Sequence[tuple[Line2D, str]],
    title: str,
    **how: Any,
) -> None:
    handles, labels = [], []
    colors = TOL_MUTED if average is not None else (BLUE,)
    for i, (curve, color) in enumerate(zip(curves, colors, strict=False)):
        dash = ("-", "--", "-.")[i % 3]
        x, y = _thinned(curve.x, curve.y)
        (line,) = axes.plot(x, y, color=color, linestyle=dash, **how)
        handles.append(line)
        labels.append(curve.label)
        if curve.point is not None:
            axes.plot(
                *([v] for v in curve.point),
                "o",
                color=color if average is not None else RED,
                markersize=6 if average is not None else 8,
                markeredgecolor="white",
                clip_on=False,
                zorder=5,
            )
    if average is not None:
        (line,) = axes.plot(*_thinned(average.x, average.y), color="black", linewidth=2.4, **how)
        handles.append(line)
        labels.append(average.label)
    for line, label in extra:
        handles.append(line)
        labels.append(label)
    _legend(figure, (handles, labels), title=title)


def _curve_height(curves: Sequence[Curve], average: Curve | None) -> float:
    return 4.55 + 0.19 * ((len(curves) + (average is not None) + 2) // 2)


def _legend(
    figure: Figure, handles_labels: tuple[list, list], columns: int = 2, title: str | None = None
) -> None:
    figure.legend(
        *handles_labels,
        loc="outside lower left",
        ncols=columns,
        borderpad=0.2,
        title=title,
        title_fontsize=8.5,
        alignment="left",
    )


def _alt(what: str, curves: Sequence[Curve], average: Curve | None) -> str:
    said = [c.label for c in (*curves, *((average,) if average is not None else ()))]
    points = [
        f"operating point at {c.point[0]:.3f}, {c.point[1]:.3f}"
        for c in curves
        if c.point is not None
    ]
    return f"{what}: " + "; ".join(said + (points if len(curves) == 1 else [])) + "."


def _point_words(curves: Sequence[Curve], x: str, y: str) -> str:
    points = [curve.point for curve in curves if curve.point is not None]
    if len(curves) > 1:
        return "The dots mark the decisions."
    if not points:
        return "No row was decided for the class, so there is no operating point to mark."
    return f"The dot marks the operating point: {x} {points[0][0]:.3f}, {y} {points[0][1]:.3f}."


def _thinned(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """At most _POINTS points of a line, evenly along its length, its ends among them."""
    if len(x) <= _POINTS:
        return x, y
    along = np.concatenate([[0], np.cumsum(np.abs(np.diff(x)) + np.abs(np.diff(y)))])
    chosen = np.unique(np.searchsorted(along, np.linspace(0, along[-1], _POINTS)))
    chosen = np.unique(np.append(chosen, len(x) - 1))
    return x[chosen], y[chosen]


def _picture(draw: Callable[[Figure], None], height: float, alt: str, caption: str) -> Picture:
    with _looks():
        figure = Figure(figsize=(_WIDTH, height))
        draw(figure)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :].replace("'DejaVu Sans'", _FONTS)
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    encoded = base64.b64encode(svg.encode()).decode()
    return Picture(f"data:image/svg+xml;base64,{encoded}", alt, caption)


@contextmanager
def _looks() -> Iterator[None]:
    """Our style over matplotlib's defaults, whatever the user's matplotlibrc says."""
    with style.context(["default", _STYLE]), warnings.catch_warnings():
        # The viewer's fonts draw the text; matplotlib's only measures it.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        yield

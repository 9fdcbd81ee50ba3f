"""report.html: well-formed, self-contained, whatever the run was and whatever its names are."""

import base64
import dataclasses
import os
import re
import subprocess
import sys
import unicodedata
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tfx_imbalance.components.metrics import Scores
from tfx_imbalance.components.rebalancer.outliers_params import ClassOutliers
from tfx_imbalance.components.rebalancer.report import OutlierFindings
from tfx_imbalance.components.reporter import figures
from tfx_imbalance.components.reporter.blocks import number, share
from tfx_imbalance.components.reporter.page import HONEST
from tfx_imbalance.components.reporter.summary import RunInputs
from tfx_imbalance.components.reporter.write import report_files
from tfx_imbalance.components.text import printable

RUNS = ("binary_run", "many_run", "blocked_run", "data_failed_run", "crashed_run")
VOID = {"meta", "img", "br", "wbr", "hr", "link", "input"}
NAMESPACES = {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}


class Page(HTMLParser):
    """Parses strictly: every tag is closed, in order; text and attributes are kept."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"<{tag}> repeats an attribute"
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "script"):
            self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.tags if name == tag]

    @property
    def ids(self) -> list[str]:
        return [attrs["id"] for _, attrs in self.tags if "id" in attrs]


def html_of(inputs: RunInputs) -> str:
    return report_files(inputs)[1]["report.html"]


def svgs(page: Page) -> list[str]:
    prefix = "data:image/svg+xml;base64,"
    sources = [image["src"] for image in page.all("img")]
    assert all(source.startswith(prefix) for source in sources)
    return [base64.b64decode(source.removeprefix(prefix)).decode() for source in sources]


def squeezed(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize("run", RUNS)
def test_page_is_well_formed_and_stands_alone(run, request):
    html = html_of(request.getfixturevalue(run))
    page = Page(html)
    assert len(html.encode()) < 2_000_000
    assert not page.all("script") and not page.all("link") and "@import" not in html
    assert not re.search(r"https?://|url\(", html)
    assert all(a["href"].startswith("#") and a["href"][1:] in page.ids for a in page.all("a"))
    assert len(page.ids) == len(set(page.ids))
    assert all(image["alt"] for image in page.all("img"))
    for svg in svgs(page):
        ET.fromstring(svg)
        assert set(re.findall(r"https?://[^\"' <>]+", svg)) <= NAMESPACES


@pytest.mark.parametrize(
    ("run", "sections"),
    [
        ("binary_run",
         ["gates", "results", "slices", "calibration", "data", "training", "drift", "run"]),
        ("data_failed_run", ["data", "run"]),
        ("crashed_run", ["run"]),
    ],
)  # fmt: skip
def test_a_section_stands_where_its_report_is(run, sections, request):
    assert Page(html_of(request.getfixturevalue(run))).ids == sections


@pytest.mark.parametrize(
    ("outcome", "heading"),
    [
        ("pushed", "Pushed"),
        ("unchanged", "Unchanged"),
        ("not blessed", "Not blessed"),
        ("data check failed", "Stopped by a data check"),
        ("failed", "Failed: Trainer"),
        ("user error", "Stopped by a mistake: Trainer"),
    ],
)
def test_each_outcome_is_said_in_words_with_its_reason(outcome, heading):
    error = None if outcome in ("pushed", "unchanged", "not blessed") else ("Trainer", "It broke.")
    html = html_of(RunInputs(name="bank", run_id="1", outcome=outcome, error=error))
    title = re.search("<h1>(.*)</h1>", html).group(1)
    assert title.startswith(heading)
    assert error is None or "It broke." in html


def test_a_blocked_model_is_explained_before_anything_else(blocked_run):
    head = html_of(blocked_run).split("</header>")[0]
    assert "2 of 5 gates failed" in head
    for result in blocked_run.gating.results:
        assert (result.message in head) == (result.verdict == "fail")


def test_skipped_gates_are_greyed_and_explained(binary_run):
    html = html_of(binary_run)
    [skipped] = [r for r in binary_run.gating.results if r.verdict == "skipped"]
    gates, slices = html.split('<section id="gates">')[1].split('<section id="slices">')
    for part in (gates, slices.split("</section>")[0]):
        assert part.count('<tr class="skipped noted">') == 1
        assert part.count(skipped.message) == 1


def test_failed_checks_stand_in_the_header_and_passed_ones_in_the_data(data_failed_run):
    head, rest = html_of(data_failed_run).split("</header>")
    for check in data_failed_run.imbalance.checks:
        assert (check.message in head) == (check.level == "fail")
        assert check.message in rest


def test_says_that_val_is_optimistic_wherever_metrics_stand(binary_run, many_run, crashed_run):
    assert HONEST in html_of(binary_run)
    assert HONEST in html_of(many_run)
    assert HONEST not in html_of(crashed_run)


def test_headline_numbers_name_their_split(binary_run):
    html = html_of(binary_run)
    tiles = re.findall(r'<dt>(.*)</dt><dd class="value">(.*?)</dd>', html)
    summary = report_files(binary_run)[0]
    assert tiles[0] == ("AUC-PR on test", f"{summary.metrics['test'].auc_pr:.3f}")
    assert all(re.search(" (on test|in train)$", name) for name, _ in tiles)


def test_confusion_matrix_shows_counts_and_row_shares(binary_run):
    scores = binary_run.test_scores
    of_yes = scores.labels == 1
    said = int((of_yes & (scores.decisions == 1)).sum())
    text = squeezed(Page(html_of(binary_run)).text)
    assert f"{said:,} {100 * said / of_yes.sum():.1f} %" in text


def test_every_node_setting_and_version_is_told(binary_run):
    page = Page(html_of(binary_run))
    for run in binary_run.timings:
        assert run.node in page.text and run.made in page.text
    assert page.text.count("from cache") == 4
    assert "TensorFlow" in page.text and "2.16.2" in page.text
    assert binary_run.config in page.text


def training_part(inputs: RunInputs, **changed: object) -> str:
    """Text of the section on rebalancing and training, the RebalanceReport changed."""
    report = inputs.rebalancing.model_copy(update=changed)
    html = html_of(dataclasses.replace(inputs, rebalancing=report))
    return squeezed(Page(html.split('<section id="training">')[1].split("</section>")[0]).text)


def test_rows_that_stand_for_others_are_told_with_their_weight(binary_run):
    weights = {"no": 3.774, "yes": 1.0}
    text = training_part(
        binary_run,
        method="downsample_upweight", weights=weights, factors={"no": 1.0, "yes": 1.0}, kind="none",
    )  # fmt: skip
    assert "one counts for 3.774 of no, so that classes weigh as much as before" in text
    assert "After Weight Factor" in text
    assert "after times weight by before" in text
    plain = training_part(binary_run)
    assert "Weight Factor" not in plain and "stand for" not in plain


def test_recall_is_told_of_the_classes_whose_search_was_not_exact(many_run):
    text = training_part(many_run, method="smote", recall={"Unknown": 0.9734, "Fatal_Injury": 0.98})
    assert "measured on sample rows of train" in text
    assert "Fatal_Injury 98.0 % Unknown 97.3 %" in text
    assert "Recall" not in training_part(many_run, method="smote")


def test_sampler_of_imbalanced_learn_is_named(binary_run):
    path = "imblearn.under_sampling.OneSidedSelection"
    text = training_part(binary_run, method="imblearn", sampler=path)
    assert f"method imblearn, sampler {path}, sampling strategy 0.5" in text


OUTLIERS = OutlierFindings(
    method="robust",
    action="drop",
    classes={
        "no": ClassOutliers(
            rows=10_000, share=0.0213, reason="", features={"balance": 0.61, "pdays[1]": 0.2},
            unjudged=[f"flag_{i}" for i in range(30)],
        ),
        "yes": ClassOutliers(
            rows=12, share=None, reason="12 rows, fewer than the 30 that tell what is usual",
            features={}, unjudged=[],
        ),
    },
    rows={"no": 583, "yes": 0},
)  # fmt: skip


def test_outliers_of_each_class_are_told(binary_run):
    text = training_part(binary_run, outliers=OUTLIERS)
    assert "Such rows were dropped from train before classes were counted" in text
    assert "no 10,000 2.1 % 583 balance (61.0 %), pdays[1] (20.0 %)" in text
    assert "flag_7 and 22 more" in text and "flag_8" not in text
    assert "yes 12 – 0 –" in text and "fewer than the 30" in text


def test_outliers_that_are_only_reported_have_no_column_of_what_became_of_them(binary_run):
    text = training_part(
        binary_run, method="none", outliers=OUTLIERS.model_copy(update={"action": "report"})
    )
    assert "resampled nothing" in text
    assert "train kept them" in text
    assert "Dropped" not in text and "Clipped" not in text


HOSTILE = [
    "<script>alert('x')</script>",
    "\"'><img src=x onerror=y>",
    "a & b &amp; c",
    "$x_1^2$ {% raw %} {{ 7 * 7 }}",
    "_hidden",
    "日本語 ünïcödé 🙂",
    "nul\x00 bell\x07 \u202e",
    "\x1b[31mred\x1b]8;;http://x\x07 \x9b1m \x85 \u2028 \u2066 \ufffe [red]x[/red] [link=y]",
    "long " * 40,
]


def test_hostile_names_are_only_ever_text(run_maker):
    inputs = run_maker(HOSTILE, [400, 200, 90, 80, 70, 60, 50, 40, 30], name="</title><b>")
    page = Page(html_of(inputs))
    assert not page.all("script") and not page.all("b")
    assert {image.get("onerror") for image in page.all("img")} == {None}
    assert "</title><b>" in page.text
    for name in HOSTILE:
        assert squeezed(printable(name)) in squeezed(page.text)
    steering = {"Cc", "Cf", "Cs", "Zl", "Zp"}
    for text in (page.text, *(image["alt"] for image in page.all("img"))):
        assert not [c for c in text if c != "\n" and unicodedata.category(c) in steering]
    for svg in svgs(page):
        elements = {element.tag.rpartition("}")[2] for element in ET.fromstring(svg).iter()}
        assert elements <= {"svg", "defs", "style", "g", "path", "text", "use", "clipPath", "rect"}
    drawn = [squeezed("".join(ET.fromstring(svg).itertext())) for svg in svgs(page)]
    assert any("$x_1^2$" in text for text in drawn)
    assert any("_hidden" in text for text in drawn)


def test_equal_inputs_give_equal_bytes_also_in_another_process(tmp_path):
    conftest = Path(__file__).with_name("conftest.py")
    code = (
        "import importlib.util, sys\n"
        f"spec = importlib.util.spec_from_file_location('made_up', {str(conftest)!r})\n"
        "made_up = importlib.util.module_from_spec(spec)\n"
        "spec.loader.exec_module(made_up)\n"
        "from tfx_imbalance.components.reporter.write import write_run_report\n"
        "inputs = made_up.make_run(made_up.MANY, [900, 700, 600, 500, 400, 90, 9, 50])\n"
        "write_run_report(inputs, sys.argv[1])\n"
    )
    written = []
    for seed in ("1", "2"):
        folder = tmp_path / seed
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        subprocess.run([sys.executable, "-c", code, str(folder)], check=True, env=environment)
        written.append({path.name: path.read_bytes() for path in folder.iterdir()})
    assert written[0] == written[1]


@pytest.fixture(scope="module")
def small_run(run_maker) -> RunInputs:
    return run_maker(["no", "yes"], [700, 90])


OPTIONAL = [
    "imbalance", "rebalancing", "training", "calibration", "gating", "drift", "champion",
    "val_scores", "test_scores", "pushed_path", "seed", "config",
]  # fmt: skip


@settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(missing=st.sets(st.sampled_from(OPTIONAL), min_size=1))
def test_whatever_is_missing_the_page_is_made(small_run, missing):
    inputs = dataclasses.replace(small_run, **dict.fromkeys(missing))
    page = Page(html_of(inputs))
    assert ("gates" in page.ids) == (inputs.gating is not None)
    assert ("calibration" in page.ids) == (inputs.calibration is not None)
    assert ("data" in page.ids) == (inputs.imbalance is not None)
    assert ("drift" in page.ids) == (inputs.drift is not None)


@st.composite
def few_scores(draw) -> Scores:
    """Splits as small as one row, with classes that are missing and weights that are zero."""
    k, n = draw(st.integers(2, 4)), draw(st.integers(0, 5))
    column = st.lists(st.integers(0, k - 1), min_size=n, max_size=n)
    odds = st.lists(
        st.lists(st.sampled_from([0.001, 1.0, 7.0]), min_size=k, max_size=k),
        min_size=n,
        max_size=n,
    )
    weights = st.lists(st.sampled_from([0.0, 1.0, 2.5]), min_size=n, max_size=n)
    chances = np.array(draw(odds), np.float64).reshape(n, k)
    return Scores(
        "test",
        np.array(draw(column), np.int64),
        chances / chances.sum(axis=1, keepdims=True),
        np.array(draw(column), np.int64),
        np.array(draw(weights), np.float64),
        [f"class {i}" for i in range(k)],
    )


@settings(max_examples=25, deadline=None, derandomize=True)
@given(scores=few_scores())
def test_the_smallest_splits_are_shown(scores):
    inputs = RunInputs(name="few", run_id="1", outcome="failed", test_scores=scores)
    page = Page(html_of(inputs))
    assert ("results" in page.ids) == bool(scores.weights.sum() > 0)
    for svg in svgs(page):
        ET.fromstring(svg)


def test_a_run_without_champion_says_so_instead_of_comparing(binary_run):
    drift = binary_run.drift.model_copy(
        update={
            "champion_version": None,
            "prior_then": {},
            "features": [],
            "verdict": "no champion",
            "messages": ["nothing to compare with: no model was pushed yet"],
        }
    )
    page = Page(html_of(dataclasses.replace(binary_run, drift=drift)))
    assert "nothing to compare with: no model was pushed yet" in page.text
    assert "against that of champion" not in page.text


def test_of_very_many_classes_the_largest_and_smallest_are_drawn():
    counts = {f"c{i}": 1000 - i for i in range(300)}
    picture = figures.class_bars({"train": counts})
    drawn = set(re.findall(r"c\d+", picture.alt))
    assert drawn == {f"c{i}" for i in [*range(20), *range(280, 300)]}
    assert "40 largest and smallest of 300 classes" in picture.caption


def test_bars_of_few_and_many_rows_stand_on_a_log_scale():
    assert "log scale" in figures.class_bars({"train": {"a": 10_000, "b": 3}}).caption
    assert "log scale" not in figures.class_bars({"train": {"a": 100, "b": 30}}).caption


def test_a_class_without_rows_has_its_zero_on_the_log_scale():
    picture = figures.class_bars({"as it came": {"a": 10_000, "b": 3}, "after": {"a": 3, "b": 0}})
    svg = base64.b64decode(picture.uri.split(",")[1]).decode()
    assert ">0<" in svg
    ET.fromstring(svg)


@pytest.mark.parametrize("best", [2, None])
def test_history_marks_the_best_epoch(best):
    picture = figures.history_figure(
        [1, 2, 3], [0.1, 0.3, 0.2], [3, 2, 1], [3, 2, 2], best, "round"
    )
    svg = base64.b64decode(picture.uri.split(",")[1]).decode()
    assert ("best round 2, AUC-PR 0.300" in svg) == (best == 2)


def test_the_users_matplotlibrc_does_not_show(binary_run):
    import matplotlib

    plain = html_of(binary_run)
    with matplotlib.rc_context(
        {"font.size": 30, "axes.facecolor": "black", "svg.fonttype": "path"}
    ):
        assert html_of(binary_run) == plain


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.11702, "11.7 %"), (0.99996, "> 99.9 %"), (1.0, "100.0 %"), (0.0, "0.0 %"),
     (0.00011, "0.011 %"), (float("nan"), "–"), (None, "–")],
)  # fmt: skip
def test_a_share_is_never_rounded_away(value, text):
    assert share(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.4234, "0.423"), (0.00012, "0.0001"), (0.0, "0.000"), (None, "–"), (float("inf"), "–")],
)
def test_a_figure_keeps_a_digit_that_is_not_zero(value, text):
    assert number(value).text == text

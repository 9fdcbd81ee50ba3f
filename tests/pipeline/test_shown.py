"""What the command line prints of data, paths and errors steers no terminal and shows no secret."""

import io
import logging
import os
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest
from rich.console import Console

from tfx_imbalance.components import masking, progress
from tfx_imbalance.components.masking import remember
from tfx_imbalance.pipeline import cli, console, doctor

EVIL = "\x1b[31m\x1b]8;;http://x\x07 \x9b1m \x85 \r \u2028 \u202e \u2066 \x00 [red]x[/red] [link=y]"
SECRET = "hunter2-and-more"


def assert_harmless(printed: str) -> None:
    bad = {"Cc", "Cf", "Cs", "Zl", "Zp"}
    assert not [c for c in printed if c != "\n" and unicodedata.category(c) in bad]
    assert SECRET not in printed


def called(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["tfx-imbalance", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return int(ended.value.code or 0)


@pytest.mark.parametrize(
    "arguments",
    [
        ("run", f"{EVIL}.yaml".replace("\x00", "")),
        ("run", "a.yaml", f"--{EVIL}"),
        ("run", "a.yaml", EVIL),
        (EVIL,),
        ("report", EVIL.replace("\x00", "")),
        ("run", "\udcff.yaml"),
        ("init", f"{EVIL}.csv".replace("\x00", ""), "--label", EVIL),
        ("compile", f"{EVIL}.yaml".replace("\x00", ""), "-o", "x"),
        ("schedule", "c.yaml", "--cron", EVIL),
    ],
)
def test_arguments_are_told_harmlessly(
    arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    assert called(monkeypatch, *arguments) == 2
    out, err = capfd.readouterr()
    assert "Traceback" not in err and err
    assert_harmless(out + err)


def test_a_path_forges_no_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "d").mkdir()
    path = tmp_path / "d" / "a\nerror: forged\n.csv"
    path.write_text("x,z\n1,2\n")
    for data in (path, f"{path}x"):
        assert called(monkeypatch, "init", str(data), "--label", "y") == 2
        [line] = capfd.readouterr().err.splitlines()
        assert line.startswith("error: data.") and "a\\nerror: forged\\n.csv" in line
    path.write_text("x,y\n" + "1,a\n2,b\n" * 30)
    config = tmp_path / "b\nerror: forged"
    assert called(monkeypatch, "init", str(path), "--label", "y", "-o", str(config)) == 0
    out, err = capfd.readouterr()
    assert not [line for line in (out + err).splitlines() if line.startswith("error")]


def test_values_in_errors_are_told_harmlessly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(
        'name: "\\e[31m\\N\\L\\u202E"\n"\\e[32m": 1\ndata: {path: d, label: y}\n'
        f"beam: {{default: [--s3_secret_access_key={SECRET}, --password, {SECRET}], nodes: 3}}\n"
        f"metadata: {{kind: mysql, host: 'mysql://root:{SECRET}@host', port: {SECRET}}}\n",
        encoding="utf-8",
    )
    assert called(monkeypatch, "run", str(path)) == 2
    err = capfd.readouterr().err
    assert_harmless(err)
    assert "\\x1b[31m" in err and "\\u202e" in err and "metadata.port" in err
    assert all(line.startswith(f"error: {path}: ") for line in err.splitlines())


def test_a_fault_of_ours_is_told_harmlessly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def fail(path: Path) -> None:
        raise RuntimeError(f"{EVIL} --s3_secret_access_key={SECRET}")

    monkeypatch.setattr("tfx_imbalance.pipeline.show.show_run", fail)
    assert called(monkeypatch, "report", str(tmp_path)) == 1
    err = capfd.readouterr().err
    assert "RuntimeError: \\x1b[31m" in err and "--s3_secret_access_key=***" in err
    assert_harmless(err)


def test_a_summary_is_no_markup_and_one_that_is_broken_is_refused(
    tmp_path: Path,
    run_summary: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "summary.json").write_text(run_summary, encoding="utf-8")
    assert called(monkeypatch, "report", str(tmp_path)) == 0
    out = capfd.readouterr().out
    assert_harmless(out)
    assert "[red]x[/red]" in out and "\\x9b1m" in out
    for broken in (b"", b"{}", b"\xff", b"[" * 100_000, b'{"name": 1}'):
        (tmp_path / "summary.json").write_bytes(broken)
        assert called(monkeypatch, "report", str(tmp_path)) == 2
        err = capfd.readouterr().err
        assert err.count("\n") == 1 and "summary.json: cannot be read" in err


@pytest.fixture
def run_summary() -> str:
    from tfx_imbalance.components.reporter.report import Summary
    from tfx_imbalance.components.reporter.summary import RunInputs, summarize

    inputs = RunInputs(EVIL, "1", "failed", error=("Trainer", f"{EVIL}[/]"), pushed_path=EVIL)
    summary = summarize(inputs)
    assert isinstance(summary, Summary)
    return summary.model_dump_json()


@pytest.mark.parametrize("verbose", [False, True])
def test_lines_progress_and_logs_are_harmless(
    tmp_path: Path, verbose: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    remember(SECRET)
    root = logging.getLogger()
    before = root.handlers[:], root.level
    root.handlers = []
    try:
        with console.terminal(tmp_path / "log.txt", verbose) as out:
            out.line(f"{EVIL} {SECRET}", style="red")
            with out.working("Trainer"):
                progress.say(f"{EVIL} of {SECRET}")
            try:
                raise ValueError(f"{EVIL} {SECRET}")
            except ValueError:
                logging.getLogger("beam").exception("%s", EVIL)
    finally:
        root.handlers, root.level = before
        masking._known.clear()
    printed = "".join(capfd.readouterr())
    log = (tmp_path / "log.txt").read_text() if not verbose else printed
    assert_harmless(printed)
    assert_harmless(log)
    assert "[red]x[/red] [link=y]" in printed
    assert log.count("Traceback") == 1


def test_the_live_line_is_no_markup(monkeypatch: pytest.MonkeyPatch) -> None:
    file = io.StringIO()
    shown = console.Terminal(Console(file=file, force_terminal=True, width=500), live=True)
    with shown.working("Trainer"):
        progress.say("[red]x[/red] \x9b1m \u202e")
    assert "[red]x[/red]" in file.getvalue() and "\\x9b1m \\u202e" in file.getvalue()


def test_doctor_reads_no_markup(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "prefix", EVIL)
    monkeypatch.setattr(doctor, "_fails", lambda module: f"{EVIL} {module}")
    assert doctor.examine() == 1
    out = capfd.readouterr().out
    assert_harmless(out)
    assert "[red]x[/red] [link=y]" in out


def test_a_letter_that_the_terminal_s_encoding_lacks_is_no_error(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from tfx_imbalance.pipeline.console import terminal\n"
        "with terminal(Path(sys.argv[1]), False) as out:\n"
        "    out.line('Z\\u00fcrich')\n"
    )
    plain = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "log.txt")],
        env=os.environ | plain,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (0, "Z\\xfcrich\n"), done.stderr

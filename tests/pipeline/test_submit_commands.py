"""The commands `submit` and `schedule`, from a config on."""

import sys
from pathlib import Path

import pytest
import yaml

from tests.pipeline.kfp_server import KfpServer, serving
from tests.pipeline.test_submit import PLATFORM, SPEC
from tfx_imbalance.pipeline import cli
from tfx_imbalance.pipeline.runners import kubeflow

CONFIG = {
    "name": "my_bank",
    "data": {"path": "data.csv", "label": "y"},
    "kubeflow": {
        "image": "image:1",
        "pipeline_root": "s3://bucket/root",
        "data_path": "s3://bucket/data",
        "serving_dir": "s3://bucket/serving",
        "experiment": "nightly",
        "token_env": "BANK_TOKEN",
    },
}


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A config without a host; what it compiles to is made by hand."""
    text = yaml.safe_dump_all([SPEC, PLATFORM])
    compiled = kubeflow.Compiled(SPEC, PLATFORM, text)
    monkeypatch.setattr(kubeflow, "compile_config", lambda *a, **k: compiled)
    monkeypatch.setenv("BANK_TOKEN", "token-1")
    for name in ("GOOGLE_CLOUD_PROJECT", "GOOGLE_CLOUD_REGION", "KFP_CA_FILE"):
        monkeypatch.delenv(name, raising=False)
    path = tmp_path / "bank.yaml"
    path.write_text(yaml.safe_dump(CONFIG))
    return path


def call(monkeypatch: pytest.MonkeyPatch, *arguments: str | Path) -> int:
    monkeypatch.setattr(sys, "argv", ["tfx-imbalance", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return int(ended.value.code or 0)


def with_host(config: Path, host: str) -> None:
    section = {**CONFIG["kubeflow"], "host": host + "/"}  # type: ignore[dict-item]
    config.write_text(yaml.safe_dump({**CONFIG, "kubeflow": section}))


def test_submit_and_schedule_reach_the_server_that_the_config_names(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(KfpServer(token="token-1")) as server:
        with_host(config, server.host)
        assert call(monkeypatch, "submit", config, "--dry-run") == 0
        assert server.changes() == []
        assert "pipeline my-bank: would be created" in capsys.readouterr().out
        assert call(monkeypatch, "submit", config, "--param", "span=3") == 0
        [run] = server.all("runs")
        assert run["runtime_config"]["parameters"] == {"span": "3"}
        assert server.all("pipelines")[0]["display_name"] == "my-bank"
        assert server.all("experiments")[0]["display_name"] == "nightly"
        for _ in range(2):
            assert call(monkeypatch, "schedule", config, "--cron", "0 3 * * *") == 0
        [made] = server.all("recurringruns")
        assert made["display_name"] == "my-bank"
        assert call(monkeypatch, "schedule", config, "--delete") == 0
        assert server.all("recurringruns") == []
        assert "token-1" not in "".join(capsys.readouterr())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["submit"], "kubeflow.host: missing"),
        (["schedule", "--cron", "0 3 * *"], "--cron: found 4 fields"),
        (["schedule", "--cron", "0 3 * * *"], "kubeflow.host: missing"),
        (["schedule"], "give --cron or --delete"),
        (["schedule", "--cron", "@daily", "--delete"], "give --cron or --delete"),
        (["submit", "--vertex", "--location", "x"], "--project: missing"),
        (["submit", "--vertex", "--location", "x", "--project", "p"], "gs:// only"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(
    config: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    said: str,
) -> None:
    command, *rest = arguments
    assert call(monkeypatch, command, config, *rest) == 2
    error = capsys.readouterr().err.strip()
    assert error.startswith("error: ")
    assert said in error
    assert "\n" not in error


def test_host_without_scheme_is_told(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with_host(config, "kubeflow.example.org")
    assert call(monkeypatch, "submit", config) == 2
    assert "expected http://... or https://..." in capsys.readouterr().err


@pytest.mark.slow
def test_compiled_demo_is_taken_by_the_server(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    demo = Path(__file__).parents[2] / "configs" / "kubeflow" / "bank.yaml"
    if not (demo.parents[2] / "data" / "bank.csv.gz").exists():
        pytest.skip("the demo's data are not here")
    with serving(KfpServer()) as server:
        section = {**yaml.safe_load(demo.read_text())["kubeflow"], "host": server.host}
        path = tmp_path / "bank.yaml"
        path.write_text(yaml.safe_dump({"extends": str(demo), "name": "bank", "kubeflow": section}))
        assert call(monkeypatch, "submit", path, "--param", "span=1") == 0
        assert call(monkeypatch, "schedule", path, "--cron", "@daily") == 0
        assert len(server.all("versions")) == len(server.all("runs")) == 1

"""Where ML Metadata lies follows the config; a password is never in it."""

from pathlib import Path

import pytest

from tfx_imbalance.components.errors import UserError
from tfx_imbalance.pipeline.config import MetadataSection
from tfx_imbalance.pipeline.paths import Workspace
from tfx_imbalance.pipeline.runners.metadata import connection_config

WORKSPACE = Workspace(Path("/runs/demo"), Path("/runs/demo/serving"))
SERVER = {"host": "db", "database": "mlmd", "user": "me", "password_env": "MLMD_PASSWORD"}


def test_sqlite_lies_in_the_workspace_unless_told_otherwise() -> None:
    assert connection_config(MetadataSection(), WORKSPACE).sqlite.filename_uri == str(
        WORKSPACE.metadata
    )
    elsewhere = MetadataSection(path="/elsewhere.sqlite")
    assert connection_config(elsewhere, WORKSPACE).sqlite.filename_uri == "/elsewhere.sqlite"


@pytest.mark.parametrize(("kind", "port"), [("mysql", 3306), ("postgresql", "5432")])
def test_a_server_gets_its_password_from_the_environment(
    kind: str, port: int | str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLMD_PASSWORD", "secret")
    section = MetadataSection(kind=kind, **SERVER)
    server = getattr(connection_config(section, WORKSPACE), kind)
    assert (server.host, server.port, server.user, server.password) == ("db", port, "me", "secret")
    assert "secret" not in section.model_dump_json()


def test_a_missing_password_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLMD_PASSWORD", raising=False)
    with pytest.raises(UserError, match="'MLMD_PASSWORD'"):
        connection_config(MetadataSection(kind="mysql", **SERVER), WORKSPACE)

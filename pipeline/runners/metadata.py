"""ML Metadata: where it is, and what a node has published there."""

import os
from typing import Any

from ml_metadata.proto import metadata_store_pb2
from tfx.orchestration import metadata
from tfx.orchestration.portable.data_types import ExecutionInfo
from tfx.types import artifact_utils

from ...components.errors import UserError
from ..config import MetadataSection
from ..paths import Workspace


def connection_config(
    section: MetadataSection, workspace: Workspace
) -> metadata_store_pb2.ConnectionConfig:
    """The connection that the config names.

    Raises:
      UserError: the password's environment variable is not set.
    """
    if section.kind == "sqlite":
        path = section.path or str(workspace.metadata)
        return metadata.sqlite_metadata_connection_config(path)
    password = ""
    if section.password_env:
        if section.password_env not in os.environ:
            raise UserError(
                f"metadata.password_env: the environment has no variable {section.password_env!r}"
            )
        password = os.environ[section.password_env]
    config = metadata_store_pb2.ConnectionConfig()
    if section.kind == "mysql":
        config.mysql.host = section.host
        config.mysql.port = section.port or 3306
        config.mysql.database = section.database
        config.mysql.user = section.user
        config.mysql.password = password
    else:
        config.postgresql.host = section.host
        config.postgresql.port = str(section.port or 5432)
        config.postgresql.dbname = section.database
        config.postgresql.user = section.user
        config.postgresql.password = password
    return config


def published(
    connection: metadata_store_pb2.ConnectionConfig, execution: ExecutionInfo | None
) -> tuple[dict[str, list[Any]], bool]:
    """What a launched node has left in ML Metadata.

    Returns:
      Output key -> artifacts, and whether they are an earlier execution's.

    Raises:
      RuntimeError: the node was not executed, so that nothing after it can be.
    """
    if execution is None or execution.execution_id is None:
        raise RuntimeError("the node was skipped: its inputs could not be resolved")
    with metadata.Metadata(connection) as handle:
        store = handle.store
        [record] = store.get_executions_by_id([execution.execution_id])
        state = metadata_store_pb2.Execution.State
        if record.last_known_state not in (state.COMPLETE, state.CACHED):
            raise RuntimeError(f"the node ended as {state.Name(record.last_known_state)}")
        outputs: dict[str, list[Any]] = {}
        for event in store.get_events_by_execution_ids([record.id]):
            if event.type != metadata_store_pb2.Event.OUTPUT:
                continue
            [artifact] = store.get_artifacts_by_id([event.artifact_id])
            [kind] = store.get_artifact_types_by_id([artifact.type_id])
            key = next(step.key for step in event.path.steps if step.HasField("key"))
            outputs.setdefault(key, []).append(artifact_utils.deserialize_artifact(kind, artifact))
        return outputs, record.last_known_state == state.CACHED

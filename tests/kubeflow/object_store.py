"""A folder that stands in for an object store, and what the launcher copies from and to it."""

import shutil
from pathlib import Path

from tests.kubeflow.backend import Generation, Json, Refused, local_path


class ObjectStore:
    """Objects of s3://BUCKET/KEY are files at `folder`/BUCKET/KEY; there are no empty folders."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, uri: str) -> Path:
        """Where the objects below a URI lie."""
        return self.folder / uri.partition("://")[2]

    def download(self, executor_input: Json, own: Path) -> None:
        """Puts the input artifacts into the container's folders.

        component/launcher_v2.go downloadArtifacts, objectstore/object_store.go DownloadBlob: every
        object whose key begins with the artifact's; none is no error.
        """
        for listed in executor_input["inputs"]["artifacts"].values():
            uri = listed["artifacts"][0]["uri"]
            source, target = self.path(uri), _within(own, local_path(uri))
            for file in source.parent.glob(f"{source.name}*/**/*"):
                if file.is_file():
                    _copy(file, target.parent / file.relative_to(source.parent))
            if source.is_file():
                _copy(source, target)

    def upload(self, executor_input: Json, own: Path, generation: Generation) -> None:
        """Takes the output artifacts out of the container's folders.

        component/launcher_v2.go uploadOutputArtifacts, objectstore/object_store.go UploadBlob: an
        output without a file or folder is passed over, or in the newest sources an error.
        """
        for name, listed in executor_input["outputs"]["artifacts"].items():
            for artifact in listed["artifacts"]:
                source = _within(own, local_path(artifact["uri"]))
                # The launcher itself writes the log that is an output.
                if not source.exists() and generation == "api" and name != "executor-logs":
                    raise Refused(f"output {name}: unable to stat local filepath {source}")
                for file in source.glob("**/*"):
                    if file.is_file():
                        _copy(file, self.path(artifact["uri"]) / file.relative_to(source))


def _within(own: Path, path: str) -> Path:
    return own / path.removeprefix("/")


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)

"""Where a pipeline keeps what it makes: the one place for these rules."""

from dataclasses import dataclass
from pathlib import Path

from .config import Config


def is_uri(path: str) -> bool:
    """Whether a path names its store, as in s3://bucket/folder."""
    return "://" in path


@dataclass(frozen=True)
class Workspace:
    """Folders of one pipeline, `<runs_dir>/<name>/`.

    Attributes:
      root: the folder.
      serving: registry folder of pushed models, an absolute path or a URI.
    """

    root: Path
    serving: str

    @classmethod
    def of(cls, config: Config) -> "Workspace":
        """The workspace that a config names."""
        root = Path(config.output.runs_dir).expanduser().absolute() / config.name
        serving = config.output.serving_dir
        if serving is None:
            return cls(root, str(root / "serving"))
        return cls(root, serving if is_uri(serving) else str(Path(serving).expanduser().absolute()))

    @property
    def artifacts(self) -> Path:
        """TFX's pipeline root."""
        return self.root / "artifacts"

    @property
    def metadata(self) -> Path:
        """ML Metadata's sqlite file."""
        return self.root / "metadata.sqlite"

    @property
    def lock(self) -> Path:
        """Held by a running pipeline."""
        return self.root / ".lock"

    @property
    def latest(self) -> Path:
        """Link to the newest run's folder."""
        return self.root / "latest"

    def run(self, run_id: str) -> "RunFolder":
        """Folder of one run."""
        return RunFolder(self.root / run_id)


@dataclass(frozen=True)
class RunFolder:
    """What one run leaves for people."""

    path: Path

    @property
    def log(self) -> Path:
        """Everything that Beam, TensorFlow and TFX said."""
        return self.path / "log.txt"

    @property
    def timings(self) -> Path:
        """Node, seconds, cached, made: a JSON list, kept up to date while the run goes on."""
        return self.path / "timings.json"

    @property
    def page(self) -> Path:
        """The report."""
        return self.path / "report.html"

    @property
    def summary(self) -> Path:
        """The report's figures."""
        return self.path / "summary.json"

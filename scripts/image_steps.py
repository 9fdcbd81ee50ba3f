"""Executes kubeflow/Dockerfile without a container engine and runs commands in what it made.

    scripts/image_steps.py build FOLDER [--build-arg VARIANT=gpu] [--target STAGE]
    scripts/image_steps.py run FOLDER [--user U] [--env K=V] [--bind HOST:INSIDE] [--offline] \\
        [-- COMMAND...]

FOLDER gets `root`, the image's files, and `config.json`: its environment, user, folder, labels and
commands. Only the instructions that the Dockerfile uses are known, with the meaning that Docker's
reference gives them; any other is an error. An image named debian:SUITE-slim is what debootstrap
makes of SUITE. Needs root on Debian or a kin. Exit status: the command's; 75 when the machine
cannot do this, which says nothing about the image.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parent.parent
DOCKERFILE = ROOT / "kubeflow" / "Dockerfile"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tfx-imbalance"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# What Debian's slim images leave out of every package, and do not keep of a download.
SLIM = "".join(
    f"path-exclude /usr/share/{name}/*\n"
    for name in ("doc", "groff", "info", "linda", "lintian", "locale", "man")
)
CLEAN = 'DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb || true"; };\n'
INSTRUCTIONS = {
    *("ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "FROM"),
    *("HEALTHCHECK", "LABEL", "RUN", "USER", "WORKDIR"),
}
# This machine's way into the network: what a builder has set for its own steps.
PROXIES = ("http_proxy", "https_proxy", "no_proxy", "all_proxy")
NETWORK = (
    *PROXIES,
    *map(str.upper, PROXIES),
    *("PIP_INDEX_URL", "PIP_DEFAULT_TIMEOUT", "UV_DEFAULT_INDEX"),
)
BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
INSIDE_BUNDLE = "/dev/shm/ca-certificates.crt"
# With a layer, changes go to memory and end with the command, as a container's do with it.
ENTER = f"""
root=$1 layer=$2 bundle=$3
shift 3
if [ -n "$layer" ]; then
  mount -t tmpfs tmpfs "$layer"
  mkdir "$layer/upper" "$layer/work" "$layer/root"
  options=lowerdir=$root,upperdir=$layer/upper,workdir=$layer/work
  mount -t overlay -o "$options" overlay "$layer/root"
  root=$layer/root
fi
mount -t proc proc "$root/proc"
mount --rbind /sys "$root/sys"
mount --rbind /dev "$root/dev"
mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
for file in /etc/resolv.conf /etc/hosts; do
  [ ! -r "$file" ] || [ ! -e "$root$file" ] || mount --bind "$(readlink -f "$file")" "$root$file"
done
[ -z "$bundle" ] || cp -L "$bundle" "$root{INSIDE_BUNDLE}"
while [ "$1" != -- ]; do
  if [ -d "$1" ]; then mkdir -p "$root$2"; else mkdir -p "$(dirname "$root$2")" && : >>"$root$2"; fi
  mount --bind "$1" "$root$2"
  shift 2
done
shift
exec "$@"
"""


class CannotRunError(Exception):
    """This machine cannot make or enter a root."""


class StepError(Exception):
    """An instruction is wrong, or its command failed."""


@dataclass(frozen=True)
class Step:
    """One instruction: its line, its name, its flags in order and the rest."""

    line: int
    name: str
    flags: tuple[tuple[str, str], ...]
    value: str

    def flag(self, name: str) -> str | None:
        """Returns the value of a flag that may stand once, None without it."""
        found = [value for flag, value in self.flags if flag == name]
        if len(found) > 1:
            raise StepError(f"line {self.line}: --{name} stands {len(found)} times")
        return found[0] if found else None


@dataclass(frozen=True)
class Stage:
    """A FROM and what follows it, up to the next."""

    base: str
    name: str
    steps: tuple[Step, ...]


@dataclass(frozen=True)
class Dockerfile:
    """The ARGs before the first FROM, and the stages in order."""

    args: tuple[Step, ...]
    stages: tuple[Stage, ...]

    def steps(self, name: str) -> list[Step]:
        """Returns all stages' instructions of one name."""
        return [step for stage in self.stages for step in stage.steps if step.name == name]


@dataclass(frozen=True)
class Config:
    """What an image says about its containers, beside its files."""

    env: dict[str, str] = field(default_factory=lambda: {"PATH": PATH})
    workdir: str = "/"
    user: str = "0:0"
    labels: dict[str, str] = field(default_factory=dict)
    health: list[str] | None = None
    health_options: dict[str, str] = field(default_factory=dict)
    entrypoint: list[str] | None = None
    command: list[str] | None = None


def parse(text: str) -> Dockerfile:
    """Reads a Dockerfile. Raises StepError for what is not executed here."""
    args: list[Step] = []
    stages: list[tuple[str, str, list[Step]]] = []
    for step in _steps(text):
        if step.name == "FROM":
            words = step.value.split()
            if step.flags or len(words) != 3 or words[1].upper() != "AS":
                raise StepError(f"line {step.line}: not of the form FROM IMAGE AS NAME")
            stages.append((words[0], words[2], []))
        elif stages:
            stages[-1][2].append(step)
        elif step.name == "ARG":
            args.append(step)
        else:
            raise StepError(f"line {step.line}: {step.name} before the first FROM")
    names = [name for _, name, _ in stages]
    if len(set(names)) < len(names) or not names:
        raise StepError(f"stages {names}: none, or one name twice")
    return Dockerfile(tuple(args), tuple(Stage(b, n, tuple(s)) for b, n, s in stages))


def _steps(text: str) -> Iterator[Step]:
    """Joins continued lines, drops comments between them, too, and splits off flags."""
    start = 0
    parts: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("#"):
            if not parts and re.match(r"#\s*(escape|syntax|check)\s*=", line.strip()):
                raise StepError(f"line {number}: parser directives are not known here")
            continue
        if not parts:
            start = number
        stripped = line.rstrip()
        if not stripped.strip():
            continue
        if stripped.endswith("\\"):
            parts.append(stripped[:-1])
            continue
        # The same as Docker: the lines are joined with nothing between.
        joined, parts = "".join([*parts, stripped]).strip(), []
        name, _, rest = joined.partition(" ")
        name, rest, flags = name.upper(), rest.strip(), []
        if name not in INSTRUCTIONS:
            raise StepError(f"line {start}: {name} is not known here")
        while name in {"COPY", "FROM", "HEALTHCHECK", "RUN"} and (
            match := re.match(r"--([a-z-]+)=(\S+)\s+", rest)
        ):
            flags.append((match[1], match[2]))
            rest = rest[match.end() :]
        if "<<" in rest:
            raise StepError(f"line {start}: here-documents are not known here")
        yield Step(start, name, tuple(flags), rest)
    if parts:
        raise StepError(f"line {start}: the last line is continued")


def expand(text: str, values: Mapping[str, str], line: int) -> str:
    """Replaces $NAME and ${NAME}. Raises StepError for a name without a value."""

    def value(match: re.Match[str]) -> str:
        name = match[1] or match[2]
        if name is None or name not in values:
            raise StepError(f"line {line}: {match[0]} has no value or a form not known here")
        return values[name]

    return re.sub(r"\$(?:\{(\w+)\}|(\w+)|\{[^}]*\}?|$)", value, text)


def words_of(step: Step) -> list[str]:
    """Returns the command of a CMD, ENTRYPOINT or HEALTHCHECK in its exec form (a JSON list)."""
    text = step.value.removeprefix("CMD ").strip() if step.name == "HEALTHCHECK" else step.value
    try:
        words = json.loads(text)
    except ValueError:
        words = None
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise StepError(f"line {step.line}: {step.name} is not in the exec form")
    return words


def pairs_of(step: Step, values: Mapping[str, str]) -> dict[str, str]:
    """Returns the KEY=VALUE pairs of an ENV or LABEL, expanded."""
    pairs = {}
    for word in shlex.split(step.value):
        key, equals, value = word.partition("=")
        if not equals:
            raise StepError(f"line {step.line}: {word!r} is not KEY=VALUE")
        pairs[key] = expand(value, values, step.line)
    return pairs


def context_files(folder: Path, ignore: str) -> list[PurePosixPath]:
    """Lists the files that .dockerignore lets through, sorted: its last match decides."""
    rules = []
    for line in map(str.strip, ignore.splitlines()):
        if line and not line.startswith("#"):
            pattern = line.removeprefix("!").strip("/")
            rules.append((line.startswith("!"), pattern, _pattern(pattern)))

    def ignored(path: str) -> bool:
        heads = [path, *map(str, PurePosixPath(path).parents)][:-1]
        verdict = False
        for keep, _, regex in rules:
            if any(regex.fullmatch(head) for head in heads):
                verdict = not keep
        return verdict

    def walk(inside: str) -> Iterator[PurePosixPath]:
        for entry in os.scandir(folder / inside):
            path = f"{inside}/{entry.name}" if inside else entry.name
            if entry.is_dir(follow_symlinks=False):
                if not ignored(path) or any(
                    keep and pattern.startswith(f"{path}/") for keep, pattern, _ in rules
                ):
                    yield from walk(path)
            elif not ignored(path):
                yield PurePosixPath(path)

    return sorted(walk(""))


def _pattern(pattern: str) -> re.Pattern[str]:
    if re.search(r"[?\[\]\\]", pattern):
        raise StepError(f".dockerignore: {pattern}: only * and ** are known here")
    tokens = re.split(r"(\*\*/|\*\*|\*)", pattern)
    wild = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*"}
    return re.compile("".join(wild.get(token, re.escape(token)) for token in tokens))


def apply(config: Config, step: Step, args: Mapping[str, str]) -> Config:
    """Returns the configuration as it is after an instruction."""
    values = {**args, **config.env}
    match step.name:
        case "ENV":
            return replace(config, env={**config.env, **pairs_of(step, values)})
        case "LABEL":
            return replace(config, labels={**config.labels, **pairs_of(step, values)})
        case "WORKDIR":
            path = PurePosixPath(config.workdir) / expand(step.value, values, step.line)
            return replace(config, workdir=str(path))
        case "USER":
            return replace(config, user=expand(step.value, values, step.line))
        case "HEALTHCHECK":
            return replace(config, health=words_of(step), health_options=dict(step.flags))
        case "ENTRYPOINT":
            return replace(config, entrypoint=words_of(step), command=None)
        case "CMD":
            return replace(config, command=words_of(step))
    return config


@dataclass(frozen=True)
class Image:
    """A root, what its containers run with, and an empty folder to mount changes on."""

    root: Path
    config: Config
    layer: Path | None = None

    def run(
        self,
        command: Sequence[str],
        *,
        user: str | None = None,
        env: Mapping[str, str] | None = None,
        binds: Sequence[tuple[Path, str]] = (),
        offline: bool = False,
        timeout: float | None = None,
        capture: bool = True,
    ) -> subprocess.CompletedProcess[str]:
        """Runs a command in a new container: the image's files, environment, user and folder.

        What it writes is gone afterwards, but for what lies in `binds`, pairs of a path here and
        one inside. `capture` puts stdout and stderr, as one text, into the result. Offline there is
        no network, not even the loopback one. Raises subprocess.TimeoutExpired after `timeout`
        seconds, the command ended by then.
        """
        return enter(
            self.root,
            command,
            user=user or self.config.user,
            env={**self.config.env, **(env or {})},
            workdir=self.config.workdir,
            binds=binds,
            layer=str(self.layer or ""),
            offline=offline,
            timeout=timeout,
            capture=capture,
        )


def enter(
    root: Path,
    command: Sequence[str],
    *,
    user: str,
    env: Mapping[str, str],
    workdir: str,
    binds: Sequence[tuple[Path, str]] = (),
    layer: str = "",
    bundle: str = "",
    offline: bool = False,
    timeout: float | None = None,
    capture: bool = True,
) -> subprocess.CompletedProcess[str]:
    """Runs a command in a root; its mounts and processes are in namespaces that end with it."""
    unshare = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--propagation", "private"]
    full = [
        *("setpriv", "--pdeathsig", "KILL", *unshare, *(["--net"] if offline else [])),
        *("sh", "-euc", ENTER, "-", str(root), layer, bundle),
        *(word for source, inside in binds for word in (str(source.resolve()), inside)),
        "--",
        *("chroot", f"--userspec={user}", "--groups=", str(root)),
        *("/usr/bin/env", "-i", f"--chdir={workdir}", *(f"{k}={v}" for k, v in env.items())),
        *command,
    ]
    return subprocess.run(
        full,
        check=False,
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE if capture else None,
        stderr=subprocess.STDOUT if capture else None,
        timeout=timeout,
    )


def require_root() -> None:
    """Raises CannotRunError where roots cannot be made or entered."""
    uname = os.uname()
    if os.geteuid() != 0:
        raise CannotRunError("a chroot needs root")
    if (uname.sysname, uname.machine) != ("Linux", "x86_64"):
        raise CannotRunError("only for Linux on x86-64")
    test = ["unshare", "--mount", "--pid", "--fork", "true"]
    if not shutil.which("unshare") or subprocess.run(test, stderr=subprocess.DEVNULL).returncode:
        raise CannotRunError("no permission for mount namespaces (unshare)")


def base_root(image: str) -> Path:
    """Returns a root that stands for a Debian image, made once and kept in the cache."""
    match = re.fullmatch(r"debian:([a-z]+)-slim", image)
    if not match:
        raise StepError(f"{image}: only debian:SUITE-slim can be made here")
    suite, root = match[1], CACHE / f"{match[1]}-slim"
    CACHE.mkdir(parents=True, exist_ok=True)
    log, partial = CACHE / "debootstrap-slim.log", CACHE / f"{suite}-slim.partial"
    with (CACHE / f"{suite}-slim.lock").open("w") as lock, log.open("w") as out:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if root.exists():
            return root  # whole: it gets its name last

        def call(*command: str) -> None:
            if subprocess.run(command, stdout=out, stderr=out, check=False).returncode:
                raise CannotRunError(f"{' '.join(command[:8])} failed ({log})")

        if not shutil.which("debootstrap"):
            call("apt-get", "update")
            call("apt-get", "install", "--yes", "--no-install-recommends", "debootstrap")
        remove(partial)
        namespace = ("unshare", "--mount", "--propagation", "private")
        call(*namespace, "debootstrap", "--variant=minbase", suite, str(partial))
        (partial / "etc/hosts").touch()
        (partial / "etc/dpkg/dpkg.cfg.d/slim").write_text(SLIM)
        (partial / "etc/apt/apt.conf.d/slim").write_text(CLEAN)
        for archive in (partial / "var/cache/apt/archives").glob("*.deb"):
            archive.unlink()
        partial.rename(root)
    return root


def remove(folder: Path) -> None:
    """Removes a folder, if there; mounts are seen in their namespaces only, so never here."""
    if folder.exists():
        subprocess.run(["rm", "-rf", "--one-file-system", str(folder)], check=True)


class Builder:
    """Executes the stages that a target needs, each in a folder of its own."""

    def __init__(
        self, dockerfile: Dockerfile, context: Path, folder: Path, args: Mapping[str, str]
    ) -> None:
        """Takes the build's arguments; raises StepError for one that no ARG names."""
        known = {_arg(step)[0] for step in (*dockerfile.args, *dockerfile.steps("ARG"))}
        if unknown := set(args) - known:
            raise StepError(f"no ARG of the Dockerfile is called {', '.join(sorted(unknown))}")
        self._stages = {stage.name: stage for stage in dockerfile.stages}
        self._globals: dict[str, str] = {}
        for step in dockerfile.args:
            name, default = _arg(step)
            self._globals[name] = args.get(name, default or "")
        self._args = args
        self._context = context
        self._files = context_files(context, (context / ".dockerignore").read_text())
        self._folder = folder
        self._done: dict[str, Image] = {}

    def build(self, target: str) -> Image:
        """Returns the image of a stage, executing it and what it needs, each once."""
        if target in self._done:
            return self._done[target]
        stage = self._stages[target]
        base = expand(stage.base, self._globals, 0)
        parent = self.build(base) if base in self._stages else Image(base_root(base), Config())
        for step in stage.steps:
            if step.name == "COPY" and (source := step.flag("from")):
                self.build(source)
        root = self._folder / target
        _say(f"{target}: from {base}")
        subprocess.run(["cp", "--archive", "--reflink=auto", parent.root, root], check=True)
        image = Image(root, parent.config)
        args: dict[str, str] = {}
        for step in stage.steps:
            if step.name == "ARG":
                name, default = _arg(step)
                if default is None:
                    default = self._globals.get(name, "")
                args[name] = self._args.get(name, default)
                continue
            _say(f"{target}: line {step.line}: {step.name} {step.value[:90]}")
            image = replace(image, config=apply(image.config, step, args))
            if step.name == "RUN":
                self._run(image, step, args)
            elif step.name == "COPY":
                self._copy(image, step, args)
            elif step.name == "WORKDIR":
                (root / image.config.workdir.lstrip("/")).mkdir(parents=True, exist_ok=True)
        self._done[target] = image
        return image

    def _run(self, image: Image, step: Step, args: Mapping[str, str]) -> None:
        binds = []
        for flag, value in step.flags:
            options = dict(part.partition("=")[::2] for part in value.split(","))
            if flag != "mount" or set(options) != {"type", "target"} or options["type"] != "cache":
                raise StepError(f"line {step.line}: --{flag}={value} is not known here")
            cache = CACHE / "image-cache" / options["target"].strip("/").replace("/", "-")
            cache.mkdir(parents=True, exist_ok=True)
            binds.append((cache, options["target"]))
        if step.value.startswith("["):
            raise StepError(f"line {step.line}: RUN in the exec form is not known here")
        outside = {name: os.environ[name] for name in NETWORK if os.environ.get(name)}
        bundle = BUNDLE if os.path.exists(BUNDLE) else ""
        if bundle:
            names = ("PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
            outside |= dict.fromkeys(names, INSIDE_BUNDLE)
        done = enter(
            image.root,
            ["/bin/sh", "-c", step.value],
            user=image.config.user,
            env={"HOME": "/root", **outside, **args, **image.config.env},
            workdir=image.config.workdir,
            binds=binds,
            bundle=bundle,
        )
        if done.returncode:
            raise StepError(
                f"line {step.line}: exit status {done.returncode}\n{done.stdout[-8000:]}"
            )

    def _copy(self, image: Image, step: Step, args: Mapping[str, str]) -> None:
        if unknown := {flag for flag, _ in step.flags} - {"from", "chown"}:
            raise StepError(f"line {step.line}: --{unknown.pop()} is not known here")
        text = expand(step.value, {**args, **image.config.env}, step.line)
        if re.search(r"[*?\[\]\"']", text):
            raise StepError(f"line {step.line}: patterns and quotes in COPY are not known here")
        *sources, target = text.split()
        into = target.endswith("/") or target in {".", ".."}
        if len(sources) > 1 and not into:
            raise StepError(f"line {step.line}: several files go into a folder, so end it with /")
        inside = PurePosixPath(image.config.workdir) / target
        target_path = image.root / str(inside).lstrip("/")
        owner = step.flag("chown") or "0:0"
        if not re.fullmatch(r"\d+:\d+", owner):
            raise StepError(f"line {step.line}: --chown={owner} is not UID:GID in numbers")
        stage = step.flag("from")
        for source in sources:
            name = PurePosixPath(source.strip("/"))
            if stage is None:
                origin = self._context
                found = [f for f in self._files if name == f or name in f.parents]
            else:
                origin = self._done[stage].root
                found = [name] if (origin / name).exists() else []
            if not found:
                raise StepError(
                    f"line {step.line}: {source} is not there, or .dockerignore hides it"
                )
            if (origin / name).is_dir():
                copy_files(origin / name, [f.relative_to(name) for f in found], target_path, owner)
            elif into or target_path.is_dir():
                copy_files(origin / name.parent, [PurePosixPath(name.name)], target_path, owner)
            else:
                raise StepError(
                    f"line {step.line}: a file is copied into a folder, ending with /, only"
                )


def copy_files(source: Path, names: Sequence[PurePosixPath], target: Path, owner: str) -> None:
    """Lays files and whole folders of `source` over `target`, all owned by `owner`, UID:GID."""
    target.mkdir(parents=True, exist_ok=True)
    uid, _, gid = owner.partition(":")
    pack = ["tar", "--create", f"--owner=+{uid}", f"--group=+{gid}", "--null", "--files-from=-"]
    unpack = ["tar", "--extract", "--preserve-permissions", "--numeric-owner"]
    listed = b"".join(os.fsencode(name) + b"\0" for name in names)
    with subprocess.Popen(
        pack, cwd=source, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as packing:
        assert packing.stdin
        unpacking = subprocess.Popen(unpack, cwd=target, stdin=packing.stdout)
        packing.stdin.write(listed)
        packing.stdin.close()
        if unpacking.wait() or packing.wait():
            raise StepError(f"{source} could not be copied to {target}")


def _arg(step: Step) -> tuple[str, str | None]:
    name, equals, default = step.value.partition("=")
    return name, default if equals else None


def _say(text: str) -> None:
    print(f"image: {text}", file=sys.stderr, flush=True)


def build(folder: Path, args: Mapping[str, str], target: str | None = None) -> Image:
    """Executes the Dockerfile into `folder`, which is replaced, up to `target` or its last stage.

    Raises CannotRunError where the machine cannot, StepError when an instruction fails.
    """
    require_root()
    dockerfile = parse(DOCKERFILE.read_text())
    stages = folder / "stages"
    remove(folder)
    stages.mkdir(parents=True)
    try:
        builder = Builder(dockerfile, ROOT, stages, args)
        made = builder.build(target or dockerfile.stages[-1].name)
        made.root.rename(folder / "root")
        (folder / "layer").mkdir()
        (folder / "config.json").write_text(json.dumps(asdict(made.config), indent=2) + "\n")
    finally:
        remove(stages)
    return load(folder)


def load(folder: Path) -> Image:
    """Returns the image that `build` left in a folder."""
    text = (folder / "config.json").read_text()
    here = folder.resolve()
    return Image(here / "root", Config(**json.loads(text)), here / "layer")


def main() -> int:
    """Runs the command line and returns its exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    commands = parser.add_subparsers(dest="what", required=True)
    make = commands.add_parser("build", help="execute the Dockerfile into FOLDER")
    make.add_argument("folder", type=Path)
    make.add_argument("--build-arg", action="append", default=[], metavar="NAME=VALUE")
    make.add_argument("--target", metavar="STAGE")
    run = commands.add_parser("run", help="run a command, or the image's own, in FOLDER")
    run.add_argument("folder", type=Path)
    run.add_argument("--user", help="UID:GID instead of the image's")
    run.add_argument("--env", action="append", default=[], metavar="NAME=VALUE")
    run.add_argument("--bind", action="append", default=[], metavar="HOST:INSIDE")
    run.add_argument("--offline", action="store_true", help="without any network")
    run.add_argument("command", nargs="*")
    given = parser.parse_args()
    try:
        if given.what == "build":
            build(given.folder, dict(a.split("=", 1) for a in given.build_arg), given.target)
            return 0
        require_root()
        image = load(given.folder)
        command = given.command or image.config.command or ["true"]
        binds = [(Path(host), inside) for host, inside in (b.split(":", 1) for b in given.bind)]
        env = dict(e.split("=", 1) for e in given.env)
        return image.run(
            command, user=given.user, env=env, binds=binds, offline=given.offline, capture=False
        ).returncode
    except CannotRunError as error:
        print(f"image: cannot run: {error}", file=sys.stderr)
        return 75
    except StepError as error:
        print(f"image: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())

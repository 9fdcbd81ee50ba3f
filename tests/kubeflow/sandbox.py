"""A process with a root file system of its own: Linux mount namespaces, by util-linux's `unshare`.

What a container has and a plain process has not: its own /tmp, the launcher's /s3, and no sight of
anything else of this machine but the system's programs and the image.
"""

import functools
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib64", "/etc", "/proc", "/dev", "/sys")

# $1: an empty folder, for the new root; $2: the program chroot; then pairs of a folder here and its
# place there, up to `--`; then the command.
_SCRIPT = """
set -e
root=$1
chroot=$2
shift 2
mount -t tmpfs none "$root"
while [ "$1" != -- ]; do
  mkdir -p "$root$2"
  mount --rbind "$1" "$root$2"
  shift 2
done
shift
exec "$chroot" "$root" /usr/bin/env -u PWD -u OLDPWD -u SHLVL --chdir=/workdir -- "$@"
"""


def wrapped(line: list[str], own: Path, mounts: Mapping[str, Path]) -> list[str]:
    """A command line that runs `line` in a root of its own, with /workdir as its folder.

    Args:
      line: what is run.
      own: folder that holds the container's own folders: each of its sub-folders is one.
      mounts: path in the container -> folder here.
    """
    folders = {f"/{path.name}": path for path in sorted(own.iterdir()) if path.is_dir()}
    system = {path: Path(path) for path in _SYSTEM if Path(path).exists()}
    # The image's python is a link to the one that it was made from.
    interpreter = {sys.base_prefix: Path(sys.base_prefix)}
    if Path(sys.base_prefix).is_relative_to("/usr"):
        interpreter = {}
    places = {**system, **interpreter, **mounts, **folders}
    pairs = [text for place, path in places.items() for text in (str(path), place)]
    new_root = tempfile.mkdtemp(prefix="root-", dir=own.parent)
    chroot = shutil.which("chroot", path="/usr/sbin:/usr/bin:/sbin:/bin") or "chroot"
    script = ("/bin/sh", "-c", _SCRIPT, "sh")
    return [*_unshare(), *script, new_root, chroot, *pairs, "--", *line]


def _unshare() -> list[str]:
    as_root = [] if os.geteuid() == 0 else ["--map-root-user"]
    return ["unshare", "--mount", "--propagation", "private", *as_root]


@functools.cache
def is_available() -> bool:
    """Whether this machine lets this user have mount namespaces."""
    with tempfile.TemporaryDirectory() as folder:
        own = Path(folder) / "own"
        (own / "workdir").mkdir(parents=True)
        try:
            line = wrapped(["true"], own, {})
            done = subprocess.run(line, capture_output=True, env={"PATH": "/usr/bin"}, check=False)
        except OSError:
            return False
        return done.returncode == 0

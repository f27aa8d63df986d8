"""Make a Debian root by debootstrap, and run commands in it, with the mirrors of this machine.

Needs root and debootstrap. What this machine's pip and apt are told (mirrors, caches, certificates)
is passed in from outside, and is no part of what is tried in the root.

COSMODEEP_CACHE is where bases, packages and roots are kept (default: the user's cache).
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
KEPT = Path("/run/kept")  # in a root: the caches, outside of what an image keeps
SYSTEM = tuple(map(Path, ("/proc", "/sys", "/dev", "/etc/hosts", "/etc/resolv.conf")))

INSTALL = """
install() { DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends debootstrap; }
install || { apt-get update && install; }
"""


def cache() -> Path:
    """Return the folder of bases, packages and roots."""
    users = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("COSMODEEP_CACHE") or Path(users) / "cosmodeep") / "container"


def run(name: str, command: Sequence[str], env: Mapping[str, str] | None = None) -> None:
    """Run a step with its output in a log; end here, with the last lines, if it fails."""
    log = cache() / f"{name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    begun = time.monotonic()
    with log.open("wb") as out:
        status = subprocess.run(command, env=env, stdout=out, stderr=out).returncode
    print(f"{name}: {time.monotonic() - begun:.0f} s, log in {log}", flush=True)
    if status:
        print("\n".join(log.read_text(errors="replace").splitlines()[-30:]), file=sys.stderr)
        raise SystemExit(f"{name} ended with status {status}")


# --- the root ----------------------------------------------------------------------------------


def why_none() -> str:
    """Say why no root can be made here; empty if one can. Installs debootstrap by apt."""
    if os.geteuid() == 0 and not shutil.which("debootstrap") and shutil.which("apt-get"):
        run("debootstrap", ["bash", "-c", INSTALL])
    if os.geteuid() != 0 or not shutil.which("debootstrap"):
        return "expected root and debootstrap (apt-get install debootstrap)"
    return ""


def base(suite: str) -> Path:
    """Return the bare Debian root of a suite, such as bookworm, made once: 2 minutes, 200 MB."""
    folder = cache() / suite
    if not folder.exists():
        part = folder.with_suffix(".part")
        shutil.rmtree(part, ignore_errors=True)
        part.parent.mkdir(parents=True, exist_ok=True)
        bare = ["debootstrap", "--variant=minbase", suite, str(part), *mirror()]
        run(f"base-{suite}", bare)
        part.rename(folder)
    return folder


def fresh(suite: str, root: Path) -> None:
    """Lay a copy of the bare root of a suite at `root`, in place of what is there."""
    source = base(suite)
    shutil.rmtree(root, ignore_errors=True)
    subprocess.run(["cp", "-a", "--reflink=auto", str(source), str(root)], check=True)


def within(
    root: Path, binds: Mapping[Path, Path], command: Sequence[str], *, writable: bool
) -> list[str]:
    """Return the words that run a command in a root, with the machine's paths mounted in it.

    `binds` maps paths of the machine to places in the root. The command runs in mounts of its own:
    whatever happens, nothing stays mounted.
    """
    here = shlex.quote(str(root))
    lines = ["set -e", f"mount --bind {here} {here}"]
    if not writable:  # as an image is
        lines.append(f"mount -o remount,bind,ro {here}")
    for path, place in binds.items():
        inside = root / place.relative_to("/")
        if path.is_dir():
            inside.mkdir(parents=True, exist_ok=True)
        elif not inside.exists():
            inside.parent.mkdir(parents=True, exist_ok=True)
            inside.touch()
        lines.append(f"mount --rbind {shlex.quote(str(path))} {shlex.quote(str(inside))}")
    lines.append(f'exec chroot {here} "$@"')
    unshare = ["unshare", "--mount", "--propagation", "private"]
    return [*unshare, "sh", "-c", "\n".join(lines), "sh", *command]


def same(paths: Iterable[Path]) -> dict[Path, Path]:
    """Return paths that are at the same place in a root."""
    return {path: path for path in paths}


# --- what the machine brings --------------------------------------------------------------------


def output(*command: str) -> str:
    """Return the output of a command; empty if it fails."""
    return subprocess.run(command, capture_output=True, text=True).stdout


def mirror() -> list[str]:
    """Return the Debian mirror of this machine's apt; empty if debootstrap's own is enough."""
    asked = ("apt-get", "indextargets", "--format", "$(ORIGIN) $(REPO_URI)", "Created-By: Packages")
    for line in output(*asked).splitlines():
        origin, _, uri = line.partition(" ")
        if origin == "Debian" and "security" not in uri:
            return [uri]
    return []


def pip_settings() -> tuple[dict[str, str], list[Path]]:
    """Return the settings of this machine's pip as variables, and the paths that they name."""
    variables, paths = {}, []
    for line in output(sys.executable, "-m", "pip", "config", "list").splitlines():
        name, _, value = line.partition("=")
        option = re.sub(r"^(global|install|:env:)\.", "", name)
        text = value.strip("'\"")
        variables[f"PIP_{option.upper().replace('-', '_')}"] = text
        paths += [Path(p) for p in re.findall(r"(?:^|\s)(/[^\s]+)", text)]
        # an index names its files by paths beside it
        paths += [Path(p).parent for p in re.findall(r"file://(/[^\s]+)", text)]
    return variables, [path for path in dict.fromkeys(paths) if path.exists()]


def certificates() -> Path | None:
    """Return the certificates that this machine trusts, in one file."""
    for name in ("SSL_CERT_FILE", "PIP_CERT", "CURL_CA_BUNDLE"):
        if Path(os.environ.get(name, "/none")).is_file():
            return Path(os.environ[name])
    usual = Path("/etc/ssl/certs/ca-certificates.crt")
    return usual if usual.is_file() else None


@contextmanager
def connected(root: Path) -> Iterator[tuple[dict[str, str], dict[Path, Path]]]:
    """Let apt and pip in a root find what those of this machine find, and keep what they download.

    Yields:
        The variables and the paths that a command in the root is to be given.
    """
    variables, paths = pip_settings()
    kept = cache() / "kept"
    (kept / "archives" / "partial").mkdir(parents=True, exist_ok=True)
    trusted = certificates()
    if trusted:  # beside the root's own
        shutil.copy(trusted, kept / "certificates.crt")
        for name in ("PIP_CERT", "SSL_CERT_FILE", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE"):
            variables[name] = str(KEPT / "certificates.crt")
    proxies = re.findall(r"^Acquire::https?::.*$", output("apt-config", "dump"), re.MULTILINE)
    told = root / "etc/apt/apt.conf.d/99-of-this-machine"
    ours = (f'Dir::Cache::Archives "{KEPT}/archives";', 'APT::Sandbox::User "root";')
    told.write_text("\n".join([*ours, *proxies]) + "\n")
    unsafe = root / "etc/dpkg/dpkg.cfg.d/of-this-machine"
    unsafe.write_text("force-unsafe-io\n")  # no waiting for the disk, file by file
    environment = {
        "PATH": PATH,
        "HOME": "/root",
        "LANG": "C.UTF-8",
        **{k: v for k, v in os.environ.items() if k.lower().endswith("_proxy")},
        **variables,
        "COSMODEEP_CACHE": str(KEPT),
        "PIP_CACHE_DIR": str(KEPT / "pip"),
    }
    named = [path for path in paths if path.parts[:3] != ("/", "etc", "ssl")]
    try:
        yield environment, {**same([*SYSTEM, *named]), kept: KEPT}
    finally:
        told.unlink()
        unsafe.unlink()

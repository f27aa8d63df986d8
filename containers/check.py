"""Carry out the Apptainer recipe where there is no Apptainer: in a Debian root, as root.

    python containers/check.py build [NAME=VALUE ...]
        %files, %post and %test, in a root made by debootstrap
    python containers/check.py exec [--nv] [--bind PATH] IMAGE COMMAND ...
        what `apptainer exec` would do with an image that is such a root

It shows that the recipe's steps work and that ranks inside meet those outside. It makes no SIF
file, and its base is debootstrap's Debian instead of the registry's image. What pip and apt of this
machine are told - mirrors, caches, certificates - is passed in from here, and is no part of the
recipe.

COSMODEEP_CACHE is where base, packages and built root are kept (default: the user's cache).
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
RECIPE = Path(__file__).with_name("cosmodeep.def")
SECTIONS = {"arguments", "environment", "files", "help", "labels", "post", "runscript", "test"}
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
SUITE = "bookworm"
META = ".singularity.d"  # Apptainer's own folder in an image


class RecipeError(Exception):
    """A recipe that Apptainer would not take, with its line."""


@dataclass(frozen=True)
class Recipe:
    """A definition file, its arguments put in.

    Attributes:
        header: "bootstrap", "from". sections: the text of each section, by its name.
    """

    header: Mapping[str, str]
    sections: Mapping[str, str]

    @property
    def files(self) -> list[tuple[str, str]]:
        """What %files copies: from the project's folder, to the image."""
        lines = [line.split() for line in self.sections.get("files", "").splitlines()]
        return [(words[0], words[-1]) for words in lines if words and not words[0].startswith("#")]


def parse(text: str, changes: Mapping[str, str] | None = None) -> Recipe:
    """Read a definition file; `changes` are those of `--build-arg`.

    Raises:
        RecipeError: an unknown section, or an argument without a default.
    """
    defaults, name = {}, ""
    for line in text.splitlines():
        if line.startswith("%"):
            name = line[1:].strip()
        elif name == "arguments" and line.strip() and not line.strip().startswith("#"):
            key, is_set, value = (part.strip() for part in line.partition("="))
            if not (is_set and value):  # Apptainer skips it with a warning
                raise RecipeError(f"%arguments: {line.strip()!r}: expected NAME=VALUE")
            defaults[key] = value
    unknown = set(changes or {}) - set(defaults)
    if unknown:
        raise RecipeError(f"no argument {', '.join(sorted(unknown))}; there are {list(defaults)}")
    values = {**defaults, **(changes or {})}

    def value_of(match: re.Match[str]) -> str:
        if match[1] not in values:
            raise RecipeError(f"{match[0]}: no such name in %arguments")
        return values[match[1]]

    header: dict[str, str] = {}
    sections: dict[str, str] = {}
    name = ""
    for number, line in enumerate(re.sub(r"\{\{\s*(\w+)\s*\}\}", value_of, text).splitlines(), 1):
        if line.startswith("%"):
            name = line[1:].strip()
            if name not in SECTIONS or name in sections:
                raise RecipeError(f"line {number}: unknown or repeated section %{name}")
            sections[name] = ""
        elif name:
            sections[name] += line + "\n"
        elif line.strip() and not line.startswith("#"):
            key, colon, value = line.partition(":")
            if not colon:
                raise RecipeError(f"line {number}: neither 'Key: value' nor a section: {line!r}")
            header[key.strip().lower()] = value.strip()
    return Recipe(header, sections)


# --- in the root -------------------------------------------------------------------------------


def within(
    root: Path, binds: Mapping[Path, Path], command: Sequence[str], *, writable: bool
) -> list[str]:
    """The words that run a command in a root, with paths of the machine (keys) in it (values).

    In mounts of its own: whatever happens, nothing stays mounted.
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
    """Paths that are at the same place in a root."""
    return {path: path for path in paths}


def execute(arguments: Sequence[str]) -> None:
    """Become the command of `exec [--nv] [--bind PATH] IMAGE COMMAND ...`."""
    words = list(arguments)
    binds = [Path(name) for name in ("/proc", "/sys", "/dev", "/tmp", "/var/tmp")]
    binds += [Path(name) for name in ("/etc/hosts", "/etc/resolv.conf", Path.home(), Path.cwd())]
    named = os.environ.get("APPTAINER_BIND", "").split(",")
    while words and words[0].startswith("--"):
        if words.pop(0) == "--bind":
            named.append(words.pop(0))
    binds += [Path(name.split(":")[0]) for name in named if name]
    root, *command = words
    kept = {k: v for k, v in os.environ.items() if k not in {"PATH", "LD_LIBRARY_PATH"}}
    start = f'for f in /{META}/env/*.sh; do . "$f"; done; cd "$0"; exec "$@"'
    shell = ["/bin/sh", "-c", start, str(Path.cwd()), *command]
    line = within(Path(root).resolve(), same(binds), shell, writable=False)
    unshare = shutil.which("unshare") or line[0]
    os.execve(unshare, line, {**kept, "PATH": PATH, "APPTAINER_CONTAINER": root})


# --- what the machine brings --------------------------------------------------------------------


def output(*command: str) -> str:
    """What a command prints; empty where it fails."""
    return subprocess.run(command, capture_output=True, text=True).stdout


def mirror() -> list[str]:
    """The Debian mirror that apt of this machine uses; nothing where debootstrap's own will do."""
    asked = (
        "apt-get",
        "indextargets",
        "--format",
        "$(CODENAME) $(REPO_URI)",
        "Created-By: Packages",
    )
    for line in output(*asked).splitlines():
        codename, _, uri = line.partition(" ")
        if codename == SUITE and "debian" in uri:
            return [uri]
    return []


def pip_settings() -> tuple[dict[str, str], list[Path]]:
    """What pip of this machine is told, as variables, and the paths that this names."""
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
    """The certificates that this machine trusts, in one file."""
    for name in ("SSL_CERT_FILE", "PIP_CERT", "CURL_CA_BUNDLE"):
        if Path(os.environ.get(name, "/none")).is_file():
            return Path(os.environ[name])
    usual = Path("/etc/ssl/certs/ca-certificates.crt")
    return usual if usual.is_file() else None


# --- the build ----------------------------------------------------------------------------------


def cache() -> Path:
    """Where everything is kept."""
    users = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("COSMODEEP_CACHE") or Path(users) / "cosmodeep") / "container"


def base() -> Path:
    """A Debian root, made once: 2 minutes, 200 MB."""
    folder = cache() / SUITE
    if not folder.exists():
        part = folder.with_suffix(".part")
        shutil.rmtree(part, ignore_errors=True)
        part.parent.mkdir(parents=True, exist_ok=True)
        run("base", ["debootstrap", "--variant=minbase", SUITE, str(part), *mirror()])
        part.rename(folder)
    return folder


INSTALL = """
install() { DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends debootstrap; }
install || { apt-get update && install; }
"""


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
        raise SystemExit(f"check.py: {name} ended with status {status}")


def lay(recipe: Recipe, root: Path) -> None:
    """Put %files and the scripts of a recipe into a root."""
    for source, target in recipe.files:
        inside = root / target.lstrip("/")
        inside.parent.mkdir(parents=True, exist_ok=True)
        if (PROJECT / source).is_dir():
            left_out = shutil.ignore_patterns("__pycache__")
            shutil.copytree(PROJECT / source, inside, ignore=left_out, dirs_exist_ok=True)
        else:
            shutil.copy2(PROJECT / source, inside)
    (root / META / "env").mkdir(parents=True, exist_ok=True)
    environment = recipe.sections.get("environment", "")
    (root / META / "env/90-environment.sh").write_text(environment)
    for name in ("post", "test", "runscript"):
        script = root / META / name
        script.write_text(f"#!/bin/sh\n{recipe.sections[name]}")
        script.chmod(0o755)


def key(recipe: Recipe) -> str:
    """A hash of all that a root is made of."""
    found = hashlib.sha256(repr((recipe.header, recipe.sections)).encode())
    for source, _ in recipe.files:
        top = PROJECT / source
        for path in sorted(top.rglob("*")) if top.is_dir() else [top]:
            if path.is_file() and "__pycache__" not in path.parts:
                found.update(str(path).encode() + b"\0" + path.read_bytes())
    return found.hexdigest()


def is_built(recipe: Recipe) -> bool:
    """Whether the root in the cache was made by this recipe, of these files."""
    made = cache() / "image" / META / "key"
    return made.is_file() and made.read_text() == key(recipe)


def build(changes: Mapping[str, str]) -> Path:
    """The root that the recipe makes, after its %test."""
    recipe = parse(RECIPE.read_text(), changes)
    root = cache() / "image"
    if is_built(recipe):
        print(f"nothing changed since this was built: {root}")
        return root
    source = base()
    shutil.rmtree(root, ignore_errors=True)
    subprocess.run(["cp", "-a", "--reflink=auto", str(source), str(root)], check=True)
    lay(recipe, root)
    post(root)
    words = [sys.executable, __file__, "exec", str(root), "/bin/sh", "-e", f"/{META}/test"]
    run("test", words)
    (root / META / "key").write_text(key(recipe))
    print(f"built and tested: {root}")
    return root


def post(root: Path) -> None:
    """Run %post in a root as Apptainer would, with the mirrors and caches of this machine."""
    variables, paths = pip_settings()
    kept = cache() / "kept"
    archives, inside = kept / "archives", Path("/run/kept")  # outside of what the image keeps
    (archives / "partial").mkdir(parents=True, exist_ok=True)
    trusted = certificates()
    if trusted:  # beside the image's own, which %post installs
        shutil.copy(trusted, kept / "certificates.crt")
        for name in ("PIP_CERT", "SSL_CERT_FILE", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE"):
            variables[name] = str(inside / "certificates.crt")
    proxies = re.findall(r"^Acquire::https?::.*$", output("apt-config", "dump"), re.MULTILINE)
    told = root / "etc/apt/apt.conf.d/99-of-this-machine"
    ours = (f'Dir::Cache::Archives "{inside}/archives";', 'APT::Sandbox::User "root";')
    told.write_text("\n".join([*ours, *proxies]) + "\n")
    unsafe = root / "etc/dpkg/dpkg.cfg.d/of-this-machine"
    unsafe.write_text("force-unsafe-io\n")  # no waiting for the disk, file by file
    environment = {
        "PATH": PATH,
        "HOME": "/root",
        "LANG": "C.UTF-8",
        **{k: v for k, v in os.environ.items() if k.lower().endswith("_proxy")},
        **variables,
        "COSMODEEP_CACHE": str(inside),
        "PIP_CACHE_DIR": str(inside / "pip"),
    }
    system = [Path(name) for name in ("/proc", "/sys", "/dev", "/etc/hosts", "/etc/resolv.conf")]
    named = [path for path in paths if path.parts[:3] != ("/", "etc", "ssl")]
    binds = {**same([*system, *named]), kept: inside}
    shell = ["/bin/sh", "-ex", f"/{META}/post"]
    run("post", within(root, binds, shell, writable=True), environment)
    told.unlink()
    unsafe.unlink()


def main(words: Sequence[str]) -> int:
    """Build or execute."""
    match list(words):
        case ["exec", *arguments]:
            execute(arguments)
        case ["build", *changes] if all("=" in change for change in changes):
            if os.geteuid() == 0 and not shutil.which("debootstrap") and shutil.which("apt-get"):
                run("debootstrap", ["bash", "-c", INSTALL])
            if os.geteuid() != 0 or not shutil.which("debootstrap"):
                print("check.py: expected root and debootstrap (apt-get install debootstrap)")
                return 2
            build(dict(change.split("=", 1) for change in changes))
        case _:
            print(__doc__, file=sys.stderr)
            return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

"""Carry out the Apptainer recipe where there is no Apptainer: in a Debian root, as root.

    python containers/check.py build [--cuda FOLDER] [NAME=VALUE ...]
        %files, %post and %test, in a root made by debootstrap; BASE=debian:SUITE-slim chooses the
        suite. --cuda shows the root a CUDA toolkit as /usr/local/cuda, as NVIDIA's bases have it.
    python containers/check.py exec [--nv] [--bind PATH] IMAGE COMMAND ...
        what `apptainer exec` would do with an image that is such a root

It shows that the recipe's steps work and that ranks inside meet those outside. It makes no SIF
file, and its base is debootstrap's Debian (debianroot.py) instead of the registry's image.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from debianroot import PATH, cache, connected, fresh, run, same, why_none, within

PROJECT = Path(__file__).resolve().parents[1]
RECIPE = Path(__file__).with_name("cosmodeep.def")
IMAGE = cache() / "image"
SECTIONS = {"arguments", "environment", "files", "help", "labels", "post", "runscript", "test"}
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
        """The pairs that %files copies: from the project's folder, to the image."""
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


# --- the build ----------------------------------------------------------------------------------


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
    """Return a hash of everything that a root is made of."""
    found = hashlib.sha256(repr((recipe.header, recipe.sections)).encode())
    for source, _ in recipe.files:
        top = PROJECT / source
        for path in sorted(top.rglob("*")) if top.is_dir() else [top]:
            if path.is_file() and "__pycache__" not in path.parts:
                found.update(str(path).encode() + b"\0" + path.read_bytes())
    return found.hexdigest()


def is_built() -> bool:
    """Return whether the root in the cache is up to date with the recipe and the files."""
    try:
        changes, made = json.loads((IMAGE / META / "made.json").read_text())
    except FileNotFoundError:
        return False
    return bool(made == key(parse(RECIPE.read_text(), changes)))


def suite(recipe: Recipe) -> str:
    """Return the Debian suite that stands in for a recipe's base.

    Raises:
        RecipeError: a base that is no Debian.
    """
    found = re.fullmatch(r"debian:([a-z]+)(-slim)?", recipe.header["from"])
    if not found:
        raise RecipeError(f"BASE={recipe.header['from']}: expected debian:SUITE-slim")
    return found[1]


def build(changes: Mapping[str, str], cuda: Path | None) -> Path:
    """Build the root that the recipe describes, run its %test, and return it."""
    wrong = why_none()
    if wrong:
        raise RecipeError(wrong)
    recipe = parse(RECIPE.read_text(), changes)
    made = IMAGE / META / "made.json"
    content = json.dumps([dict(changes), key(recipe)])
    if made.is_file() and made.read_text() == content:
        print(f"nothing changed since this was built: {IMAGE}")
        return IMAGE
    fresh(suite(recipe), IMAGE)
    lay(recipe, IMAGE)
    with connected(IMAGE) as (environment, binds):
        if cuda:
            binds = {**binds, cuda.resolve(): Path("/usr/local/cuda")}
        shell = ["/bin/sh", "-ex", f"/{META}/post"]
        run("post", within(IMAGE, binds, shell, writable=True), environment)
    words = [sys.executable, __file__, "exec", str(IMAGE), "/bin/sh", "-e", f"/{META}/test"]
    run("test", words)
    made.write_text(content)
    print(f"built and tested: {IMAGE}")
    return IMAGE


def argument(word: str) -> tuple[str, str]:
    """Take NAME=VALUE apart."""
    name, is_set, value = word.partition("=")
    if not is_set:
        raise RecipeError(f"{word}: expected NAME=VALUE")
    return name, value


def main(words: Sequence[str]) -> int:
    """Build or execute."""
    match list(words):
        case ["exec", *arguments]:
            execute(arguments)
        case ["build", *words] if words[:1] != ["--cuda"] or len(words) > 1:
            cuda = Path(words[1]) if words[:1] == ["--cuda"] else None
            try:
                build(dict(map(argument, words[2:] if cuda else words)), cuda)
            except RecipeError as error:
                print(f"check.py: {error}", file=sys.stderr)
                return 2
        case _:
            print(__doc__, file=sys.stderr)
            return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

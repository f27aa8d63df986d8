"""Loops compiled to machine code when they are first called, and kept for the next process.

What is kept is numba's, in the folder that numba chooses (NUMBA_CACHE_DIR, `__pycache__` beside the
source, or the user's cache folder). Its name holds a digest of all sources that the code is made of
and of the compilers, its content a digest of itself: a changed source never runs old machine code,
and a damaged file is never run. Where nothing can be read or kept, loops are compiled in memory.
"""

from __future__ import annotations

import hashlib
import logging
import os
import pickle
import re
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext, suppress
from functools import cache, wraps
from pathlib import Path
from typing import Any, TypeVar, cast

import llvmlite
import numba
from numba import njit
from numba.core.caching import CompileResultCacheImpl, FunctionCache
from numba.core.runtime import rtsys

from cosmodeep_hpc.warningfilters import ONE_AT_A_TIME

F = TypeVar("F", bound=Callable[..., Any])

log = logging.getLogger(__name__)

PACKAGE = __name__.partition(".")[0]
NAMES = r"(?:\s+import\s+(\([^)]*\)|[^#\n]+))?"
IMPORT = re.compile(rf"^\s*(?:from|import)\s+({PACKAGE}[\w.]*){NAMES}", re.M)
DIGEST = hashlib.sha256().digest_size
SHORT = 16
"""Digits of a digest in a file's name."""
_said = threading.Event()
PATIENCE = 4.0  # seconds of compiling in a process before it says why it takes so long


def compiled(function: F) -> F:
    """Compile a function of arrays with numba; what was compiled is kept for the next process.

    No fast mathematics and no threads: the same arguments give the same bytes.
    """
    dispatcher = njit(nogil=True)(function)
    # what `njit(cache=True)` does, with a cache of our own
    dispatcher._cache = KeptCode(function)
    is_of_networks = function.__module__.startswith(f"{PACKAGE}.engine.")
    dispatcher.compile = _one_at_a_time(dispatcher.compile, _watch if is_of_networks else None)
    return cast(F, dispatcher)


def _one_at_a_time(
    compile_for: Callable[..., Any], watch: AbstractContextManager[None] | None
) -> Callable[..., Any]:
    """Let threads wait for each other: numba sets filters of warnings while it compiles."""

    @wraps(compile_for)
    def locked(*signature: Any) -> Any:
        with ONE_AT_A_TIME, watch or nullcontext():
            return compile_for(*signature)

    return locked


class _Watch:
    """Says once why nothing happens when networks have been compiled for `PATIENCE`.

    Other loops take a moment, and bad input must get one line.
    """

    def __init__(self) -> None:
        self._spent = self._begun = 0.0
        self._timer: threading.Timer | None = None
        self._depth = 0  # a loop that calls another one compiles it first

    def __enter__(self) -> None:
        self._depth += 1
        if self._depth == 1 and self._spent < PATIENCE:
            self._begun = time.monotonic()
            self._timer = threading.Timer(PATIENCE - self._spent, self._say)
            self._timer.daemon = True
            self._timer.start()

    def __exit__(self, *error: object) -> None:
        self._depth -= 1
        if self._depth == 0 and self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._spent += time.monotonic() - self._begun

    def _say(self) -> None:
        log.info("compiling loops for this processor: up to 20 s, once; they are kept")


_watch = _Watch()


class KeptCode(FunctionCache):
    """The machine code of one function on disk, a file for each of its signatures and processors.

    numba keeps code by the source of the function alone, and its errors with a damaged or full
    folder end the call.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        """Choose the folder; nothing is read yet."""
        self._py_func = function
        self._name = repr(function)
        self._folder: Path | None = None
        self.enable()
        try:
            self._impl = CompileResultCacheImpl(function)
        except RuntimeError:  # numba finds no folder that can be written
            source = function.__code__.co_filename
            _not_kept(f"no folder beside {source} or in the user's cache can be written")
            self.disable()
            return
        self._folder = Path(self._impl.locator.get_cache_path())

    @property
    def cache_path(self) -> str:
        """Return the folder; empty where there is none."""
        return str(self._folder or "")

    def flush(self) -> None:
        """Remove what is kept of the function."""
        if self._folder is not None:
            for path in self._folder.glob(f"{self._impl.filename_base}.*.code"):
                path.unlink(missing_ok=True)

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Load what is kept of a signature; None where that is nothing, or damaged.

        numba's own first prepares all that it needs to compile, which takes as long as its import.
        """
        if not self._enabled:
            return None
        path = self._path(sig, target_context.codegen())
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            _not_kept(f"{path}: {error.strerror}")
            return None
        digest, data = content[:DIGEST], content[DIGEST:]
        if hashlib.sha256(data).digest() != digest:
            _say_once(f"{path}: a compiled loop that is damaged; it is compiled anew")
            return None
        rtsys.initialize(target_context)  # what arrays of compiled loops are counted by
        return self._impl.rebuild(target_context, pickle.loads(data))

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep what was compiled for a signature, where that is possible."""
        if not self._enabled or not self._impl.check_cachable(data):
            return
        path = self._path(sig, data.codegen)
        content = pickle.dumps(self._impl.reduce(data), protocol=pickle.HIGHEST_PROTOCOL)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _write(path, hashlib.sha256(content).digest() + content)
            for old in self._outdated(path):
                old.unlink(missing_ok=True)
        except OSError as error:
            _not_kept(f"{path.parent}: {error.strerror}")

    def _path(self, sig: Any, codegen: Any) -> Path:
        """Return the file of a signature, by what it is made of and what it runs on."""
        assert self._folder is not None
        sources = sources_digest(self._py_func.__code__.co_filename)
        made_for = repr((sig, codegen.magic_tuple(), *self._index_key(sig, codegen)[2]))
        key = hashlib.sha256(made_for.encode()).hexdigest()
        return self._folder / f"{self._impl.filename_base}.{sources[:SHORT]}.{key[:SHORT]}.code"

    def _outdated(self, path: Path) -> Iterator[Path]:
        """Find what is kept of the function by other sources."""
        current = path.name.rsplit(".", 2)[0]
        for other in path.parent.glob(f"{self._impl.filename_base}.*.code"):
            if other.name.rsplit(".", 2)[0] != current:
                yield other


def _write(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    number, name = tempfile.mkstemp(prefix=path.name, suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(number, "wb") as file:
            file.write(content)
        os.replace(name, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(name)
        raise


def _not_kept(reason: str) -> None:
    """Warn that loops are compiled in memory."""
    _say_once(
        f"compiled loops are not kept for the next run, which takes some 20 s longer ({reason})"
        "; set NUMBA_CACHE_DIR to a folder with room"
    )


def _say_once(line: str) -> None:
    """Warn once a process: what is true of one loop is true of the others."""
    if not _said.is_set():
        _said.set()
        log.warning("%s", line)


@cache
def sources_digest(file: str) -> str:
    """Return the digest of a source file, of all of the package that it imports, and of numba."""
    digest = hashlib.sha256()
    digest.update(repr((numba.__version__, llvmlite.__version__, sys.version_info[:2])).encode())
    for path in sorted(_sources(Path(file))):
        digest.update(_content(path))
    return digest.hexdigest()


def _sources(file: Path) -> set[Path]:
    """Find a source file of the package and those that it imports, directly or not."""
    root = Path(__file__).parent.parent
    found: set[Path] = set()
    waiting = [file]
    while waiting:
        path = waiting.pop()
        if path in found or not path.is_file():
            continue
        found.add(path)
        for module, names in IMPORT.findall(_content(path).decode()):
            folder = root.joinpath(*module.split("."))
            waiting.append(folder.with_suffix(".py"))
            words = re.findall(r"\w+", names)
            waiting += [folder / f"{word}.py" for word in words]
    return found


@cache
def _content(path: Path) -> bytes:
    return path.read_bytes()

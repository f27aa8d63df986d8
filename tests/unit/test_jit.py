"""Compiled loops are kept, are always those of the sources, and are never in the way."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.launch import environment

import cosmodeep_hpc
from cosmodeep_hpc.engine import jit

PACKAGE = Path(cosmodeep_hpc.__file__).parent
SIGMOID = """
import logging, sys
logging.basicConfig(format="%(message)s")
import numpy as np
from cosmodeep_hpc.engine import elementwise
for _ in range(2):
    print(elementwise.sigmoid(np.float32([0, 1]))[1])
print(elementwise.logistic._cache_hits.total())
"""
"""Prints 1 / (1 + 1/e) twice, and how many loops were found compiled."""
EXPECTED = pytest.approx(0.731058, abs=1e-6)


@pytest.fixture
def loop(tmp_path):
    """A function that runs a loop with its cache in `tmp_path`: what it gives, hits, messages."""

    def run(root=PACKAGE.parent, code=SIGMOID, **variables):
        env = environment(NUMBA_CACHE_DIR=str(tmp_path / "cache"), **variables)
        env["PYTHONPATH"] = str(root)
        env["PYTHONDONTWRITEBYTECODE"] = "1"  # Python itself tells sources by date and size alone
        job = subprocess.run(
            [sys.executable, "-c", code], env=env, cwd=tmp_path, capture_output=True, text=True
        )
        assert job.returncode == 0, job.stderr
        one, two, hits = job.stdout.split()
        assert one == two
        return float(one), int(hits), job.stderr

    return run


def kept(folder):
    return sorted((folder / "cache").rglob("*.code"))


def test_the_second_process_finds_what_the_first_compiled(loop, tmp_path):
    assert loop() == (EXPECTED, 0, "")
    before = {path: path.read_bytes() for path in kept(tmp_path)}
    assert before and loop() == (EXPECTED, 1, "")
    assert {path: path.read_bytes() for path in kept(tmp_path)} == before


def test_long_compiling_is_said_once(loop):
    """Two loops are compiled in the first process, none in the second."""
    code = SIGMOID.replace("basicConfig(", "basicConfig(level='INFO', ")
    hasty = "from cosmodeep_hpc.engine import jit\njit.PATIENCE = 0.1\nfor _"
    *_, said = loop(code=code.replace("for _", hasty))
    assert said == "compiling loops for this processor: up to 20 s, once; they are kept\n"
    assert loop(code=code) == (EXPECTED, 1, "")


def test_a_changed_source_below_never_runs_old_code(loop, tmp_path):
    """Of `simd.py`, which the file of the loop only imports."""
    root = tmp_path / "copy"
    shutil.copytree(
        PACKAGE, root / PACKAGE.name, ignore=shutil.ignore_patterns("__pycache__", "models")
    )
    assert loop(root) == (EXPECTED, 0, "")
    first = kept(tmp_path)
    simd = root / PACKAGE.name / "engine" / "simd.py"
    text = simd.read_text()
    stat = simd.stat()
    division = "self.builder.fdiv(self.value, other.value)"
    assert text.count(division) == 1
    simd.write_text(text.replace(division, "self.builder.fadd(self.value, other.value)"))
    os.utime(simd, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # nor by its date
    assert loop(root) == (pytest.approx(1 + 1 + 0.367879, abs=1e-6), 0, "")
    assert not set(first) & set(kept(tmp_path))  # what no source makes any more is gone


@pytest.mark.parametrize("damage", ["empty", "cut", "flipped"])
def test_damaged_code_is_compiled_anew_and_said_once(loop, tmp_path, damage):
    loop()
    before = {path: path.read_bytes() for path in kept(tmp_path)}
    for path, content in before.items():
        middle = len(content) // 2
        flipped = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
        path.write_bytes({"empty": b"", "cut": content[:middle], "flipped": flipped}[damage])
    found, hits, said = loop()
    assert (found, hits) == (EXPECTED, 0)
    assert said.count("\n") == 1 and "a compiled loop is damaged; it is compiled anew" in said
    assert loop() == (EXPECTED, 1, "")


@pytest.mark.parametrize("kind", ["full", "unwritable"])
def test_where_nothing_can_be_kept_loops_are_compiled_in_memory(loop, tmp_path, kind):
    """A disk that takes no byte more, and a folder of somebody else's; said once."""
    code = SIGMOID
    if kind == "full":
        limit = "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        code = limit + "resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))" + SIGMOID
    else:
        (tmp_path / "cache").write_text("a file, where numba looks for a folder")
        code = "import os; os.environ['NUMBA_CACHE_LOCATOR_CLASSES'] = 'UserProvidedCacheLocator'"
        code += SIGMOID
    found, hits, said = loop(code=code)
    assert (found, hits) == (EXPECTED, 0)
    assert said.count("\n") == 1 and "compiled loops are not kept for the next run" in said
    assert "NUMBA_CACHE_DIR" in said
    if kind == "full":
        assert [p for p in (tmp_path / "cache").rglob("*") if p.is_file()] == []


def test_what_a_loop_is_made_of_is_all_that_its_file_imports():
    engine = PACKAGE / "engine"
    found = jit._sources(engine / "layers.py")
    assert {engine / f"{name}.py" for name in ("simd", "winograd", "step", "convolve")} <= found
    assert engine / "logarithm.py" in found  # by way of elementwise.py
    assert PACKAGE / "sky" / "mesh.py" not in found

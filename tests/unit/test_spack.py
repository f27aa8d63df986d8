"""The Spack package asks for what setup.cfg asks for."""

import ast
import configparser
import re
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
FOLDER = PROJECT / "containers/spack/spack_repo/cosmodeep/packages/py_cosmodeep_hpc"


def ranges_of_setup():
    """Package: its lowest version, and the first that is too new."""
    config = configparser.ConfigParser()
    config.read(PROJECT / "setup.cfg")
    lines = config["options"]["install_requires"].split("\n")
    lines.append(config["options.extras_require"]["mpi"])
    pattern = re.compile(r"([\w-]+)\s*>=\s*([\d.]+),\s*<\s*([\d.]+)")
    return {m[1]: (m[2], m[3]) for line in lines if (m := pattern.search(line))}


def ranges_of_spack():
    """Package: its range, as Spack writes it."""
    tree = ast.parse((FOLDER / "package.py").read_text())
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "depends_on":
            name, _, versions = node.args[0].value.split()[0].partition("@")
            found[name.removeprefix("py-")] = versions
    return found


@pytest.mark.parametrize("name", ranges_of_setup())
def test_a_package_has_the_range_of_setup_cfg(name):
    """`@7:8` of Spack has all of 8.x; `@0.50` all of 0.50.x."""
    low, above = ranges_of_setup()[name]
    versions = ranges_of_spack()[name]
    first, _, last = versions.partition(":")
    assert first == low
    *heads, tail = (last or first).split(".")
    assert ".".join([*heads, str(int(tail) + 1)]) == above


def test_all_packages_are_there():
    others = {"python", "setuptools", "tensorflow", "tensorboard", "horovod"}
    assert set(ranges_of_spack()) == set(ranges_of_setup()) | others

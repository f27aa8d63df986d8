"""What the package asks pip for is what it imports, in versions that were tried."""

import ast
import configparser
import re
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement

PROJECT = Path(__file__).parents[2]
NAMES = {"keras": "tensorflow-cpu", "tensorflow": "tensorflow-cpu"}
"""Modules of packages with another name; Keras comes with TensorFlow."""


def settings():
    read = configparser.ConfigParser()
    read.read(PROJECT / "setup.cfg")
    return read


def requirements(text):
    lines = (line.strip() for line in text.split("\n"))
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


REQUIRED = requirements(settings()["options"]["install_requires"])
EXTRAS = {
    name: requirements(text)
    for name, text in settings()["options.extras_require"].items()
    if name != "test"
}


def imported():
    """The modules of others that the package imports, wherever it does."""
    found = set()
    for path in (PROJECT / "cosmodeep_hpc").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                found.add(node.module)
    tops = {name.split(".")[0] for name in found}
    return tops - set(sys.stdlib_module_names) - {"cosmodeep_hpc"}


def plain(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def test_what_is_imported_is_asked_for():
    asked = {plain(r.name) for r in [*REQUIRED, *(r for group in EXTRAS.values() for r in group)]}
    assert {plain(NAMES.get(name, name)) for name in imported()} <= asked


def test_classification_asks_for_neither_mpi_nor_tensorflow_nor_horovod():
    names = {r.name for r in REQUIRED}
    assert not names & {"mpi4py", "tensorflow", "tensorflow-cpu", "keras", "horovod"}


@pytest.mark.parametrize("asked", REQUIRED, ids=lambda r: r.name)
def test_each_requirement_has_both_ends_and_the_set_up_lies_between(asked):
    assert {">=", "<"} == {clause.operator for clause in asked.specifier}
    pins = (PROJECT / "env" / "constraints.txt").read_text()
    (version,) = re.findall(rf"^{asked.name}==(\S+)$", pins, re.MULTILINE | re.IGNORECASE)
    assert asked.specifier.contains(version)


@pytest.mark.parametrize("name", ["numba", "llvmlite"])
def test_the_vector_loops_have_one_minor_version(name):
    """They use what is private to it."""
    (asked,) = (r for r in REQUIRED if r.name == name)
    low, high = sorted(clause.version for clause in asked.specifier)
    assert int(high.split(".")[1]) == int(low.split(".")[1]) + 1

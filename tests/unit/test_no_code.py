"""Nothing that a user is handed runs code: nothing in the source could run what it reads."""

import ast
from pathlib import Path

import pytest

import cosmodeep_hpc

SOURCE = Path(cosmodeep_hpc.__file__).parent
MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "code"}
NAMES = {"eval", "exec", "compile", "__import__"}
ATTRIBUTES = {
    "enable_unsafe_deserialization",  # ends Keras' safe mode
    "read_pickle",
    "to_pickle",
    "system",
    "popen",
}
KEYWORDS = {"allow_pickle", "shell"}  # whatever they are set to but False
ALLOWED = {("engine/jit.py", "pickle")}
"""Machine code that numba compiled here and keeps in its own cache, as numba itself does: whoever
may write there may have any code run."""
CALLS = {"yaml.load", "yaml.unsafe_load", "yaml.full_load", "torch.load", "np.load", "numpy.load"}


def dangers(source):
    """What in a source could run code that is read from a file: a list of (line, what)."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = {alias.name.partition(".")[0] for alias in node.names}
            found += [(node.lineno, name) for name in names & MODULES]
        elif isinstance(node, ast.ImportFrom):
            names = {(node.module or "").partition(".")[0]}
            found += [(node.lineno, name) for name in names & MODULES]
        elif isinstance(node, ast.Attribute) and node.attr in ATTRIBUTES:
            found.append((node.lineno, node.attr))
        elif isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if called in NAMES | CALLS:
                found.append((node.lineno, called))
            for keyword in node.keywords:
                value = getattr(keyword.value, "value", None)
                if keyword.arg in KEYWORDS and value is not False:
                    found.append((node.lineno, keyword.arg))
                if keyword.arg == "safe_mode" and value is not True:
                    found.append((node.lineno, "safe_mode"))
            if called.endswith("load_model") and "safe_mode" not in {k.arg for k in node.keywords}:
                found.append((node.lineno, "load_model without safe_mode"))
    return found


@pytest.mark.parametrize(
    "line, what",
    [
        ("import pickle", "pickle"),
        ("from pickle import load", "pickle"),
        ("import os.path, marshal", "marshal"),
        ("np.load(path)", "np.load"),
        ("np.load(path, allow_pickle=True)", "allow_pickle"),
        ("eval(text)", "eval"),
        ("exec(text)", "exec"),
        ("yaml.load(text)", "yaml.load"),
        ("subprocess.run(text, shell=True)", "shell"),
        ("os.system(text)", "system"),
        ("keras.saving.load_model(path, safe_mode=False)", "safe_mode"),
        ("keras.saving.load_model(path)", "load_model without safe_mode"),
        ("keras.config.enable_unsafe_deserialization()", "enable_unsafe_deserialization"),
    ],
)
def test_dangers_are_seen(line, what):
    assert what in {name for _, name in dangers(f"def f():\n    {line}\n")}


def test_what_is_no_danger_is_not():
    text = 're.compile("a"); keras.saving.load_model(p, safe_mode=True); tomllib.loads(t)'
    assert dangers(text) == []


def test_no_danger_in_the_source():
    files = sorted(SOURCE.rglob("*.py"))
    assert len(files) > 50
    found = {
        (str(f.relative_to(SOURCE)), what) for f in files for _, what in dangers(f.read_text())
    }
    assert found == ALLOWED

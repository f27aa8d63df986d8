"""The choice of the engine: the project's own on cores, JAX, or Keras with one of its backends."""

from __future__ import annotations

import os
from importlib.util import find_spec

from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.parallel import runtime
from cosmodeep_hpc.parallel.world import World

ENGINE = "COSMODEEP_ENGINE"
"""The environment variable that chooses one of `ENGINES`."""
ENGINES = ("cores", "jax", "keras")
BACKENDS = ("tensorflow", "jax")


def chosen_engine() -> str:
    """Return the engine that the environment asks for: `cores` (the default), `jax` or `keras`.

    Raises:
        InputError: the environment names another engine.
    """
    name = os.environ.get(ENGINE) or ENGINES[0]
    if name not in ENGINES:
        expected = f"{', '.join(ENGINES[:-1])} or {ENGINES[-1]}"
        raise InputError(f"{ENGINE} is {name}; expected {expected}, or unset it")
    return name


def chosen_backend() -> str:
    """Return the backend that `KERAS_BACKEND` names: `tensorflow` (the default) or `jax`.

    Raises:
        InputError: another backend, or one that is not installed.
    """
    name = os.environ.get("KERAS_BACKEND") or BACKENDS[0]
    if name not in BACKENDS:
        raise InputError(
            f"KERAS_BACKEND is {name}; expected {' or '.join(BACKENDS)}: set one of them, or unset "
            "it"
        )
    for module in (name, "keras"):
        if find_spec(module) is None:
            raise InputError(
                f"{ENGINE} is keras on {name}, and Python finds no module {module}; expected both "
                f"installed (`pip install {name} keras`): install them, or unset {ENGINE}"
            )
    return name


def described() -> str:
    """Describe the engine in words that differ wherever the last bits of results may differ."""
    engine = chosen_engine()
    return f"{engine} {chosen_backend()}" if engine == "keras" else engine


def start(world: World) -> None:
    """Start JAX, or Keras' backend, on this rank's cores or GPU; a collective call.

    Nothing is started for the project's own engine.

    Raises:
        InputError: an unknown engine or backend, or one that is not installed.
    """
    backend, failure = "", None
    try:
        engine = chosen_engine()
        if engine == "keras":
            backend = chosen_backend()
        elif engine == "jax":
            _require_jax()
            backend = engine
    except InputError as error:
        failure = error
    world.agree(failure)
    if backend == "jax":
        runtime.start_jax(world)
    elif backend:
        runtime.start_tensorflow(world)


def _require_jax() -> None:
    if find_spec("jax") is None:
        raise InputError(
            f"{ENGINE} is jax, and Python finds no module jax; expected it installed "
            f"(`pip install 'jax[cuda12]'`, without a GPU `pip install jax`), or unset {ENGINE}"
        )

"""COSMODEEP: deep learning that finds the diffuse radio emission of the cosmic web.

    import cosmodeep_hpc as cd
    found = cd.classify("mosaic.fits")

Public names are imported when they are first used: `import cosmodeep_hpc` itself is quick.
"""

import logging
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cosmodeep_hpc.api import evaluate, inject, load_model, mock, models, open_image
    from cosmodeep_hpc.config.configuration import Config
    from cosmodeep_hpc.errors import InputError
    from cosmodeep_hpc.products.classify import classify
    from cosmodeep_hpc.tiles.tileset import TileSet

__version__ = "0.2.0"
__all__ = [
    "Config",
    "InputError",
    "TileSet",
    "__version__",
    "classify",
    "evaluate",
    "inject",
    "load_model",
    "mock",
    "models",
    "open_image",
]

_PLACES = {
    "Config": "config.configuration",
    "InputError": "errors",
    "TileSet": "tiles.tileset",
    "classify": "products.classify",
    "evaluate": "api",
    "inject": "api",
    "load_model": "api",
    "mock": "api",
    "models": "api",
    "open_image": "api",
}

# the program that uses the package decides which messages to show
logging.getLogger(__name__).addHandler(logging.NullHandler())


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted(__all__)

"""The network of a `.keras` file, read with its weights and without Keras.

Keras writes a layer's weights under the name of its class and its number among the layers of that
class, in the order of the description: `conv2d`, `conv2d_1`, ..., `conv2d_10`.
"""

from __future__ import annotations

import io
import json
import lzma
import zipfile
import zlib
from collections import Counter
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from cosmodeep_hpc.engine.graph import Array, Graph, Layer, Shape, UnknownLayer, shape_of

CONFIG, WEIGHTS = "config.json", "model.weights.h5"
LARGEST = 2**30
"""Largest member that is read [byte]: some hundred times those of our networks."""
DAMAGES = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError),
    RuntimeError,  # of a method that is not known, of a password, of HDF5, of endless nesting
)
"""Errors of reading a member of a damaged archive."""
MISFITS = (KeyError, ValueError, TypeError, IndexError, AttributeError, ArithmeticError)
"""Errors of a description that is not Keras'."""


class Damaged(Exception):
    """A description or weights that do not fit together; the text says which."""


def read(path: Path) -> Graph:
    """Read a network from a `.keras` file.

    Raises:
        Damaged: the file is not a complete archive, or holds no network of Keras 3.
        UnknownLayer: the network has a layer that the engine does not compute.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            described = json.loads(member(archive, CONFIG))
            content = member(archive, WEIGHTS)
        with h5py.File(io.BytesIO(content), "r") as weights:
            return _graph(described["config"], weights)
    except (Damaged, UnknownLayer):
        raise
    except (*DAMAGES, *MISFITS) as error:
        raise Damaged(reason(error)) from error


def member(archive: zipfile.ZipFile, name: str) -> bytes:
    """Read a member of an archive.

    Raises:
        KeyError: there is no such member. `DAMAGES`: it cannot be read, or is too large.
    """
    size = archive.getinfo(name).file_size
    if size > LARGEST:  # zeros by the gigabyte take few bytes of an archive
        raise zipfile.BadZipFile(f"{name} of {size} bytes; expected at most {LARGEST}")
    return archive.read(name)


def reason(error: BaseException) -> str:
    """Return an error's text in one line, or its kind if it has no text."""
    return " ".join(str(error).split()) or type(error).__name__


def _graph(described: dict[str, Any], weights: h5py.File) -> Graph:
    layers: dict[str, Layer] = {}
    of_class: Counter[str] = Counter()
    waiting = list(described["layers"])
    for one in waiting:  # Keras numbers the weights of a class in this order
        one["group"] = _group(one["class_name"], of_class)
    while waiting:
        ready = [one for one in waiting if set(_inputs(one)) <= layers.keys()]
        if not ready:
            raise Damaged(f"layer {waiting[0]['name']!r} has an input that no layer makes")
        for one in ready:
            layers[one["name"]] = _layer(one, layers, weights)
            waiting.remove(one)
    (first,) = _names(described["input_layers"])
    return Graph(layers, first, tuple(_names(described["output_layers"])))


def _names(ends: list[Any]) -> list[str]:
    """Return the names of layers in one `[name, 0, 0]` or a list of them."""
    pairs = [ends] if isinstance(ends[0], str) else ends
    return [str(pair[0]) for pair in pairs]


def _group(kind: str, of_class: Counter[str]) -> str:
    """Return the name under which Keras writes the weights of the next layer of a class."""
    name, number = kind.lower(), of_class[kind]
    of_class[kind] += 1
    return f"{name}_{number}" if number else name


def _inputs(described: dict[str, Any]) -> list[str]:
    """Return the names of the layers that are a layer's inputs."""
    nodes = described["inbound_nodes"]
    if len(nodes) > 1:
        raise UnknownLayer(f"layer {described['name']!r}, which is used {len(nodes)} times")
    found: list[str] = []

    def walk(value: Any) -> None:
        if isinstance(value, dict) and value.get("class_name") == "__keras_tensor__":
            name, _, output = value["config"]["keras_history"]
            if output:
                raise UnknownLayer(f"layer {name!r} with {output + 1} outputs")
            found.append(name)
        elif isinstance(value, list):
            for part in value:
                walk(part)

    for node in nodes:
        walk(node["args"])
    return found


def _layer(described: dict[str, Any], layers: dict[str, Layer], weights: h5py.File) -> Layer:
    name, kind, settings = described["name"], described["class_name"], described["config"]
    inputs = tuple(_inputs(described))
    given = [layers[other].shape for other in inputs]
    shape = shape_of(kind, name, settings, given)
    held: tuple[Array, ...] = ()
    if kind in ("Conv2D", "Dense"):
        kernel = (*settings.get("kernel_size", ()), given[0][-1], shape[-1])
        held = _weights(weights, described["group"], name, kernel, bias=settings["use_bias"])
    return Layer(name, kind, inputs, settings, shape, held)


def _weights(
    file: h5py.File, group: str, name: str, kernel: Shape, *, bias: bool
) -> tuple[Array, ...]:
    """Read kernel and bias of a layer; return zeros for a bias that it does not have.

    Raises:
        Damaged: the weights do not fit the layer's description.
    """
    where = f"layers/{group}/vars"
    if where not in file:
        raise Damaged(f"no weights of layer {name!r}")
    own = file[where]
    said = own.attrs.get("name", name)  # Keras 3.0 to 3.7 wrote none
    shapes = [kernel, kernel[-1:]] if bias else [kernel]
    found = [own[str(n)] for n in range(len(own))]
    if said != name or [each.shape for each in found] != shapes:
        has = ", ".join(str(each.shape) for each in found)
        raise Damaged(f"weights {has} of {said!r} in place of {shapes} of layer {name!r}")
    arrays = [np.ascontiguousarray(each[()], dtype=np.float32) for each in found]
    if not all(np.isfinite(each).all() for each in arrays):
        raise Damaged(f"weights of layer {name!r} that are not finite")
    return tuple(arrays) if bias else (*arrays, np.zeros(kernel[-1], dtype=np.float32))

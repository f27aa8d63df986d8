"""Recognises the paper's network by its layers."""

from __future__ import annotations

from cosmodeep_hpc.engine.graph import Graph, Layer

FIRST, SECOND = 32, 64
"""Maps of its convolutions."""


def end_of_maps(graph: Graph) -> tuple[str, bool] | None:
    """Find the layer where `papermaps` ends in a network, and whether it is a pyramid of maxima.

    Return None for a network with other maps.
    """
    names = [layer.name for layer in graph.layers.values() if layer.kind == "Conv2D"]
    if len(names) != 2:
        return None
    first, second = (graph.layers[name] for name in names)
    tile = graph.layers[first.inputs[0]]
    pooled = _only(graph, first, "MaxPooling2D")
    known = (
        tile.name == graph.input
        and len(graph.users(tile.name)) == 1
        and pooled is not None
        and _only(graph, pooled, "Conv2D") is second
        and pooled.settings["pool_size"] == [2, 2]
        and all(_is_convolution(layer) for layer in (first, second))
        and (first.shape[2], second.shape[2]) == (FIRST, SECOND)
        and second.name not in graph.outputs
    )
    return _end(graph, second) if known else None


def _end(graph: Graph, second: Layer) -> tuple[str, bool] | None:
    """Find the same among the layers after the second convolution."""
    side = second.shape[0]
    flat = _only(graph, second, "MaxPooling2D")
    if flat is not None:
        end = _only(graph, flat, "Flatten")
        halved = flat.settings["pool_size"] == [2, 2]
        return (end.name, False) if halved and end is not None else None
    users = {layer.kind: layer for layer in graph.users(second.name)}
    if users.keys() != {"MaxPooling2D", "GlobalMaxPooling2D"}:
        return None
    third = -(-side // 3)
    bins = _only(graph, users["MaxPooling2D"], "Flatten")
    end = None if bins is None else _only(graph, bins, "Concatenate")
    whole = users["GlobalMaxPooling2D"].name
    if end is None or bins is None or end.inputs != (bins.name, whole):
        return None
    fits = users["MaxPooling2D"].settings["pool_size"] == [third, third]
    return (end.name, True) if fits and len(graph.users(whole)) == 1 else None


def _only(graph: Graph, layer: Layer, kind: str) -> Layer | None:
    """Return the only layer that follows another one, if it is of this kind."""
    users = graph.users(layer.name)
    return users[0] if [user.kind for user in users] == [kind] else None


def _is_convolution(layer: Layer) -> bool:
    settings = layer.settings
    return (
        settings["kernel_size"] == [3, 3]
        and settings["padding"] == "same"
        and layer.activation == "relu"
    )

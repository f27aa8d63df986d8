"""Options that know their range, and sections of them that check themselves."""

from __future__ import annotations

import dataclasses
import difflib
import json
import math
import numbers
import typing
from typing import Any

from cosmodeep_hpc.errors import InputError

SEEDS = 2**63 - 1
"""The largest seed: what a TOML file can hold."""


def option(
    default: Any,
    help: str,
    *,
    unit: str = "",
    low: float | None = None,
    above: float | None = None,
    high: float | None = None,
    below: float | None = None,
) -> Any:
    """Return a field of a section: its default, its meaning, its unit, and the values it allows.

    `low` and `high` are allowed themselves, `above` and `below` are not.
    """
    limits = {"low": low, "above": above, "high": high, "below": below}
    limits = {name: limit for name, limit in limits.items() if limit is not None}
    return dataclasses.field(
        default=default, metadata={"help": help, "unit": unit, "limits": limits}
    )


class Section:
    """A part of the configuration: a frozen dataclass of options, checked when it is made."""

    def __post_init__(self) -> None:
        """Raise an InputError that names the option, the value found and the values allowed."""
        name = section_name(type(self))
        for field, kind in typed_fields(type(self)):
            value = convert(getattr(self, field.name), kind, f"{name}.{field.name}")
            check_limits(value, field.metadata.get("limits", {}), f"{name}.{field.name}")
            object.__setattr__(self, field.name, value)


def section_name(section: type) -> str:
    """Return the name of a section in a TOML file and on the command line."""
    return section.__name__.lower()


def typed_fields(section: type) -> list[tuple[dataclasses.Field[Any], Any]]:
    """Return the options of a section with their types."""
    kinds = typing.get_type_hints(section)
    return [(field, kinds[field.name]) for field in dataclasses.fields(section)]


def convert(value: Any, kind: Any, name: str) -> Any:
    """Convert `value`, read from TOML or from a command line, to the type `kind`.

    Raises:
        InputError: it is of another type, or not one of the words allowed.
    """
    origin = typing.get_origin(kind)
    if origin is typing.Literal:
        allowed = typing.get_args(kind)
        if value not in allowed:
            words = ", ".join(map(repr, allowed))
            raise InputError(
                f"{name} = {value!r}: expected one of {words}{nearest(value, allowed)}"
            )
        return value
    if origin is tuple:
        item = typing.get_args(kind)[0]
        if isinstance(value, str) or not hasattr(value, "__iter__"):
            allowed = typing.get_args(item) if typing.get_origin(item) is typing.Literal else (1, 2)
            example = json.dumps(allowed[:2])
            raise InputError(f"{name} = {value!r}: expected a list such as {example}")
        return tuple(convert(v, item, f"{name}[{i}]") for i, v in enumerate(value))
    if kind in (int, float) and not isinstance(value, bool):  # NumPy's numbers are these, too
        if kind is float and isinstance(value, numbers.Real):
            value = float(value)
        elif isinstance(value, numbers.Integral):
            value = int(value)
    if type(value) is not kind:
        noun = {float: "a number", int: "a whole number", bool: "true or false", str: "text"}[kind]
        raise InputError(f"{name} = {value!r}: expected {noun}")
    if kind is float and not math.isfinite(value):
        raise InputError(f"{name} = {value!r}: expected a finite number")
    return value


def check_limits(value: Any, limits: dict[str, float], name: str) -> None:
    """Raise an InputError if `value`, or any item of a tuple, is outside its limits."""
    words = {"low": "at least", "above": "more than", "high": "at most", "below": "less than"}
    for number in value if isinstance(value, tuple) else (value,):
        inside = {
            "low": lambda limit, x=number: x >= limit,
            "above": lambda limit, x=number: x > limit,
            "high": lambda limit, x=number: x <= limit,
            "below": lambda limit, x=number: x < limit,
        }
        if not all(inside[word](limit) for word, limit in limits.items()):
            span = " and ".join(f"{words[word]} {limit:g}" for word, limit in limits.items())
            raise InputError(f"{name} = {number!r}: expected a value of {span}")


def nearest(word: object, known: typing.Iterable[object]) -> str:
    """Return ` (did you mean X?)`, or an empty string if no known word is near."""
    match = difflib.get_close_matches(str(word), [str(k) for k in known], 1, 0.5)
    return f" (did you mean {match[0]!r}?)" if match else ""

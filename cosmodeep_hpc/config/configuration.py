"""The configuration: every option of every stage, from TOML files and `--section.key value`."""

from __future__ import annotations

import dataclasses
import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cosmodeep_hpc import __version__
from cosmodeep_hpc.config.compare import Compare
from cosmodeep_hpc.config.inject import Inject
from cosmodeep_hpc.config.learn import THRESHOLDS, Model, Train, levels
from cosmodeep_hpc.config.section import nearest, typed_fields
from cosmodeep_hpc.config.sky import Effects, Instrument, Sky
from cosmodeep_hpc.config.survey import Classify
from cosmodeep_hpc.config.tiles import Label, Tiles
from cosmodeep_hpc.config.tune import Tune
from cosmodeep_hpc.errors import InputError, naming
from cosmodeep_hpc.io.files import write_json

VERSION = "cosmodeep_hpc"  # the key of a resolved configuration that says what wrote it


@dataclass(frozen=True, kw_only=True)
class Config:
    """All sections. Each stage reads the ones it needs and writes all of them beside its output."""

    sky: Sky = field(default_factory=Sky)
    instrument: Instrument = field(default_factory=Instrument)
    effects: Effects = field(default_factory=Effects)
    tiles: Tiles = field(default_factory=Tiles)
    label: Label = field(default_factory=Label)
    model: Model = field(default_factory=Model)
    train: Train = field(default_factory=Train)
    tune: Tune = field(default_factory=Tune)
    classify: Classify = field(default_factory=Classify)
    inject: Inject = field(default_factory=Inject)
    compare: Compare = field(default_factory=Compare)
    rule: tuple[float | None, int | None] = field(default=(None, None), compare=False)
    """The values of label.f_th and label.n_pix that the user gave: a model of many rules is asked
    for these."""

    def __post_init__(self) -> None:
        """Check the options that involve several sections."""
        if self.label.f_th not in self.tiles.thresholds:
            raise InputError(
                f"label.f_th = {self.label.f_th:g}: expected one of tiles.thresholds = "
                f"{', '.join(f'{t:g}' for t in self.tiles.thresholds)}"
            )
        if self.model.network == "counts":
            check_counts(self.tiles, self.label, self.model.depth)

    def as_dict(self) -> dict[str, Any]:
        """Return the configuration as plain values, one dictionary a section."""
        return {name: dataclasses.asdict(getattr(self, name)) for name in sections()}

    def write(self, path: Path) -> None:
        """Write the resolved configuration as JSON, beside the output that it produced."""
        write_json(path, {VERSION: __version__, **self.as_dict()})


def check_counts(tiles: Tiles, label: Label, depth: int) -> None:
    """Refuse tiles and labels that a counts network cannot have.

    It halves the resolution `depth` times, and its pixels are 2 x 2 of the tile's.

    Raises:
        InputError: it names the option.
    """
    network = 'model.network = "counts"'
    if tiles.size % 2 or tiles.margin % 2 or tiles.window % 2**depth:
        raise InputError(
            f"tiles.size = {tiles.size}, tiles.margin = {tiles.margin}: {network} expects both "
            f"even, and size + 2 margin a multiple of {2**depth} (model.depth = {depth}), such as "
            f"40 and {2 ** (depth + 1)}"
        )
    if len(tiles.thresholds) > THRESHOLDS:
        raise InputError(
            f"tiles.thresholds: {len(tiles.thresholds)} of them; {network} expects {THRESHOLDS} at "
            "most"
        )
    if label.n_pix > levels(tiles.size)[-1]:
        raise InputError(
            f"label.n_pix = {label.n_pix}: {network} expects {levels(tiles.size)[-1]} at most"
        )


def sections() -> dict[str, type]:
    """Return the sections by name."""
    return {f.name: kind for f, kind in typed_fields(Config) if f.name != "rule"}


def from_dict(content: Mapping[str, Any], source: str) -> Config:
    """Return a configuration of plain values; errors name `source`.

    Raises:
        InputError: an unknown section or key (with the nearest known name), a value of the wrong
            type or outside its range.
    """
    known = sections()
    built: dict[str, Any] = {}
    for name, values in content.items():
        if name not in known:
            raise InputError(f"{source}: no section {name!r}{nearest(name, known)}")
        if not isinstance(values, Mapping):
            raise InputError(f"{source}: {name} = {values!r}: expected a section [{name}]")
        keys = [f.name for f in dataclasses.fields(known[name])]
        for key in values:
            if key not in keys:
                raise InputError(f"{source}: no option {name}.{key}{nearest(key, keys)}")
        try:
            built[name] = known[name](**values)
        except InputError as error:
            raise InputError(f"{source}: {error}") from error
    label = content.get("label", {})
    f_th, n_pix = (getattr(built["label"], k) if k in label else None for k in ("f_th", "n_pix"))
    try:
        return Config(**built, rule=(f_th, n_pix))
    except InputError as error:
        raise InputError(f"{source}: {error}") from error


def load(path: Path | None, overrides: Sequence[tuple[str, str]] = ()) -> Config:
    """Return the configuration of a TOML (or resolved JSON) file, then `section.key` overrides.

    Raises:
        InputError: the file or an override is wrong; the line names it.
    """
    content: dict[str, Any] = {}
    if path is not None:
        with naming(path):
            written = path.read_bytes()
        kind = "JSON" if path.suffix == ".json" else "TOML"
        try:  # some editors begin a file with a byte order mark
            text = written.decode("utf-8-sig")
            content = json.loads(text) if kind == "JSON" else tomllib.loads(text)
        except ValueError as error:
            raise InputError(f"{path}: not {kind}: {error}") from error
        if not isinstance(content, dict):
            raise InputError(f"{path}: {type(content).__name__}; expected sections of options")
        content.pop(VERSION, None)
        from_dict(content, str(path))
    for name, word in overrides:
        section, _, key = name.partition(".")
        if not key:
            raise InputError(f"--{name}: expected --section.key value")
        content[section] = {**content.get(section, {}), key: _value(word)}
    return from_dict(content, "command line" if overrides else str(path or "defaults"))


def _value(word: str) -> Any:
    """Return a word of the command line as TOML reads it; a bare word is text.

    Numbers may lack a digit before or after their point, also in lists: `.5`, `[1., .5]`.
    """
    whole = re.sub(r"(?<![\w.])\.(?=\d)", "0.", word)
    for spelled in (word, re.sub(r"(?<=\d)\.(?!\d)", ".0", whole)):
        with suppress(tomllib.TOMLDecodeError):
            return tomllib.loads(f"value = {spelled}")["value"]
    return word

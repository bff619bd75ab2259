"""What a person says of a package and a target that differ: renames, what is left out, defaults, lossy conversions.

Plain data that reads and writes itself as JSON, and can be said as Python and as options of the command line. Knows
neither databases nor packages; `datatransfer.importing.fitting` applies it.
"""

from __future__ import annotations

import datetime as dt
import json
import shlex
import uuid
from collections import abc
from dataclasses import dataclass, field, fields
from decimal import Decimal
from pathlib import Path
from typing import Any, TypedDict

from datatransfer.errors import UnknownColumnError, UsageError
from datatransfer.given import path_of, saved, suggestion
from datatransfer.schema.tables import Schema, Table
from datatransfer.schema.values import KINDS

FORMAT, VERSION = "datatransfer-mapping", 1
_Columns = abc.Mapping[str, abc.Mapping[str, Any]]


class MappingOptions(TypedDict, total=False):
    """A mapping, or its parts, as `PackageImporter` takes them by name."""

    mapping: Mapping | abc.Mapping[str, Any] | None
    rename: abc.Mapping[str, abc.Mapping[str, str]]
    rename_tables: abc.Mapping[str, str]
    drop: abc.Mapping[str, abc.Sequence[str]]
    drop_tables: abc.Sequence[str]
    default: abc.Mapping[str, abc.Mapping[str, Any]]
    cast: abc.Mapping[str, abc.Mapping[str, str]]


@dataclass(frozen=True)
class Mapping:
    """How a package goes into a target that differs from its source; saved, it replays.

    Parameters
    ----------
    rename : mapping of table to mapping of column to column
        From the package's names to the target's.
    rename_tables : mapping of table to table
        From the package's names to the target's.
    drop : mapping of table to sequence of columns
        Columns of the package that are left out.
    drop_tables : sequence of tables
        Tables of the package that are left out.
    default : mapping of table to mapping of column to value
        Values of the target's columns for every row that brings none of its own: the package lacks the column, or
        holds NULL. Where it lacks the column, rows that are there already keep what they have. Numbers, texts, truth
        values; anything else as text.
    cast : mapping of table to mapping of column to kind
        Columns of the package that may lose something on the way, and the kind of value that they become, e.g.
        ``"integer"``: digits are rounded, texts cut, times shortened. What changed is counted in the plan's warnings.

    Notes
    -----
    Tables are named as in the package; those of ``default`` may also be named as in the target.

    Examples
    --------
    >>> mapping = Mapping(rename={"orders": {"placed": "placed_at"}}, default={"orders": {"channel": "web"}})
    >>> mapping.code
    'rename={"orders": {"placed": "placed_at"}}, default={"orders": {"channel": "web"}}'
    >>> mapping.options
    '--rename orders.placed=placed_at --default orders.channel=web'
    """

    rename: abc.Mapping[str, abc.Mapping[str, str]] = field(default_factory=dict)
    rename_tables: abc.Mapping[str, str] = field(default_factory=dict)
    drop: abc.Mapping[str, abc.Sequence[str]] = field(default_factory=dict)
    drop_tables: abc.Sequence[str] = ()
    default: abc.Mapping[str, abc.Mapping[str, Any]] = field(default_factory=dict)
    cast: abc.Mapping[str, abc.Mapping[str, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        plain = {
            "rename": _two_levels("rename", self.rename),
            "rename_tables": dict(_mapping("rename_tables", self.rename_tables)),
            "drop": {t: _names("drop", c) for t, c in _mapping("drop", self.drop).items()},
            "drop_tables": _names("drop_tables", self.drop_tables),
            "default": {
                t: {c: _plain(v) for c, v in d.items()} for t, d in _two_levels("default", self.default).items()
            },
            "cast": _two_levels("cast", self.cast),
        }
        for name, value in plain.items():
            object.__setattr__(self, name, value)
        for table, columns in self.cast.items():
            for column, kind in columns.items():
                if kind not in KINDS or kind in ("any", "native"):
                    known = ", ".join(k for k in KINDS if k not in ("any", "native"))
                    raise UsageError(
                        f"{kind!r} is no kind of value", where=f"{table}.{column}", hint=f"it is one of {known}"
                    )

    @classmethod
    def of(cls, options: MappingOptions) -> Mapping:
        """Make one mapping of a whole one and parts.

        Raises
        ------
        UsageError
            An option is not known, or not of its form.
        """
        given = dict(options)
        whole = given.pop("mapping", None)
        base = whole if isinstance(whole, Mapping) else cls.from_json(whole or {})  # type: ignore[arg-type]
        unknown = set(given) - {f.name for f in fields(cls)}
        if unknown:
            known = [*(f.name for f in fields(cls)), "mapping"]
            raise UsageError(f"there is no parameter {min(unknown)!r}", hint=suggestion(min(unknown), known))
        return base | cls(**{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]

    def __or__(self, other: Mapping) -> Mapping:
        """Return both together; what the other says of the same table or column counts."""
        spoken = _joined(other.rename, other.cast)
        dropped = {
            table: [c for c in self.drop.get(table, ()) if c not in spoken.get(table, {})]
            + [*other.drop.get(table, ())]
            for table in {**self.drop, **other.drop}
        }
        return Mapping(
            _joined(_without(self.rename, other.drop), other.rename),
            {**self.rename_tables, **other.rename_tables},
            {table: tuple(dict.fromkeys(columns)) for table, columns in dropped.items() if columns},
            tuple(dict.fromkeys([*self.drop_tables, *other.drop_tables])),
            _joined(self.default, other.default),
            _joined(_without(self.cast, other.drop), other.cast),
        )

    def __bool__(self) -> bool:
        return any(getattr(self, f.name) for f in fields(self))

    # --- JSON -------------------------------------------------------------------------------------------------------

    def to_json(self) -> dict[str, Any]:
        """Return the mapping as plain data, without what is empty."""
        parts = {f.name: getattr(self, f.name) for f in fields(self)}
        return {name: json.loads(json.dumps(value)) for name, value in parts.items() if value}

    @classmethod
    def from_json(cls, data: abc.Mapping[str, Any]) -> Mapping:
        """Make a mapping from what `to_json` returned.

        Raises
        ------
        UsageError
            It holds something else.
        """
        known = {f.name for f in fields(cls)}
        unknown = sorted(set(_mapping("mapping", data)) - known)
        if unknown:
            raise UsageError(f"a mapping has no part {unknown[0]!r}", hint=f"it has {', '.join(sorted(known))}")
        return cls(**data)

    def save(self, path: str | Path) -> None:
        """Write the mapping into a file, to be used again with `load`.

        Raises
        ------
        UsageError
            The file cannot be written.
        """
        text = json.dumps({"format": FORMAT, "version": VERSION, **self.to_json()}, indent=2, ensure_ascii=False)
        saved(path, text + "\n")

    @classmethod
    def load(cls, path: str | Path) -> Mapping:
        """Read a mapping that `save` wrote.

        Raises
        ------
        UsageError
            The file is missing, no mapping, or of a newer version.
        """
        try:
            data = json.loads(path_of(path, "path").read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise UsageError("the mapping cannot be read", where=str(path), hint="Mapping.save writes one") from error
        if not isinstance(data, dict) or data.pop("format", None) != FORMAT:
            raise UsageError("this is no mapping", where=str(path), hint="Mapping.save writes one")
        version = data.pop("version", None)
        if version != VERSION:
            raise UsageError(
                f"this mapping is of version {version!r}, and {VERSION} is known", where=str(path),
                hint="use the version of datatransfer that wrote it, or a newer one",
            )  # fmt: skip
        return cls.from_json(data)

    # --- as it is said ----------------------------------------------------------------------------------------------

    @property
    def code(self) -> str:
        """The mapping as keyword arguments of `PackageImporter.run`."""
        return ", ".join(f"{f.name}={_literal(getattr(self, f.name))}" for f in fields(self) if getattr(self, f.name))

    @property
    def options(self) -> str:
        """The mapping as options of ``datatransfer import``."""
        words: list[str] = []
        words += [f"--rename {shlex.quote(f'{t}.{a}={b}')}" for t, cs in self.rename.items() for a, b in cs.items()]
        words += [f"--rename-table {shlex.quote(f'{a}={b}')}" for a, b in self.rename_tables.items()]
        words += [f"--drop {shlex.quote(f'{t}.{c}')}" for t, cs in self.drop.items() for c in cs]
        words += [f"--drop-table {shlex.quote(t)}" for t in self.drop_tables]
        for table, columns in self.default.items():
            for column, value in columns.items():
                text = f"={value}" if isinstance(value, str) and value else f":={json.dumps(value)}"
                words.append(f"--default {shlex.quote(f'{table}.{column}{text}')}")
        words += [f"--cast {shlex.quote(f'{t}.{c}={k}')}" for t, cs in self.cast.items() for c, k in cs.items()]
        return " ".join(words)

    # --- names ------------------------------------------------------------------------------------------------------

    def check(self, package: Schema, target: Schema) -> None:
        """Refuse names that neither package nor target has.

        Raises
        ------
        UnknownTableError, UnknownColumnError
            With the part of the mapping that names it.
        UsageError
            The mapping contradicts itself.
        """
        for name in (*self.rename, *self.rename_tables, *self.drop, *self.drop_tables, *self.cast):
            package.table(name)
        for there in self.rename_tables.values():
            target.table(there)
        for part in ("rename", "drop", "cast"):
            for name, columns in getattr(self, part).items():
                for column in columns:
                    _column(part, package.table(name), column)
        for name, columns in self.rename.items():
            if name not in self.drop_tables:
                for there in columns.values():
                    _column("rename", target.table(self.table_of(name, target) or name), there)
        for name, columns in self.default.items():
            for column in columns:
                _column("default", target.table(self.table_of(name, target) or name), column)
        for name, columns in self.drop.items():
            both = set(columns) & {*self.rename.get(name, ()), *self.cast.get(name, ())}
            if both:
                raise UsageError(
                    "the mapping drops this column, and says what it becomes", where=f"{name}.{sorted(both)[0]}",
                    hint="take it out of drop, or out of rename and cast",
                )  # fmt: skip

    def table_of(self, name: str, target: Schema) -> str | None:
        """Return the name in the target of a package's table, None if the target has none."""
        return self.rename_tables.get(name) or same_name(name, target.tables)

    def column_of(self, table: str, name: str, target: Table) -> str | None:
        """Return the name in the target of a package's column, None if the target has none."""
        return self.rename.get(table, {}).get(name) or same_name(name, target.by_name)

    def defaults_of(self, package: str, target: Table) -> dict[str, Any]:
        """Return the default values for the columns of a target table."""
        return {**self.default.get(target.name, {}), **self.default.get(package, {})}


def same_name(name: str, among: abc.Iterable[str]) -> str | None:
    """Return the name as it is there: the same, else the only one that differs by case alone."""
    names = list(among)
    if name in names:
        return name
    close = [other for other in names if other.lower() == name.lower()]
    return close[0] if len(close) == 1 else None


def _column(part: str, table: Table, column: str) -> None:
    try:
        table.column(column)
    except UnknownColumnError as error:
        raise UnknownColumnError(f"{part} names a column {column!r}", where=error.where, hint=error.hint) from None


def _mapping(part: str, value: object) -> abc.Mapping[str, Any]:
    if not isinstance(value, abc.Mapping) or not all(isinstance(key, str) for key in value):
        raise UsageError("this part of a mapping is no mapping of names", where=part, hint="see dt.Mapping")
    return value


def _two_levels(part: str, value: object) -> dict[str, dict[str, Any]]:
    return {table: dict(_mapping(part, columns)) for table, columns in _mapping(part, value).items()}


def _names(part: str, value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    if not isinstance(value, abc.Iterable):
        raise UsageError("this part of a mapping is no list of names", where=part, hint="see dt.Mapping")
    return tuple(value)


def _joined(first: _Columns, second: _Columns) -> dict[str, dict[str, Any]]:
    return {table: {**first.get(table, {}), **second.get(table, {})} for table in {**first, **second}}


def _without(first: _Columns, dropped: abc.Mapping[str, abc.Sequence[str]]) -> dict[str, dict[str, Any]]:
    kept = {t: {c: v for c, v in columns.items() if c not in dropped.get(t, ())} for t, columns in first.items()}
    return {table: columns for table, columns in kept.items() if columns}


def _plain(value: object) -> Any:
    """Return a default as JSON holds it."""
    if hasattr(value, "item") and callable(value.item):  # a number of numpy
        value = value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, bytes):
        import base64

        return base64.b64encode(value).decode("ascii")
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    if isinstance(value, Decimal | uuid.UUID):
        return str(value)
    raise UsageError(f"a default is of type {type(value).__name__}", where="default", hint="give it as text")


def _literal(value: object) -> str:
    if isinstance(value, abc.Mapping):
        return "{" + ", ".join(f"{_literal(k)}: {_literal(v)}" for k, v in value.items()) + "}"
    if isinstance(value, tuple | list):
        return "[" + ", ".join(map(_literal, value)) + "]"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)

"""From what was typed to the objects of the Python API: databases, roots, policies."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datatransfer.cli.output import Output, resolved
from datatransfer.cli.roots import pair
from datatransfer.display.plain import counted
from datatransfer.errors import UsageError

if TYPE_CHECKING:
    from datatransfer.cli.roots import Root
    from datatransfer.database.connection import Database
    from datatransfer.exporting.builder import PackageBuilder
    from datatransfer.importing.mapping import Mapping
    from datatransfer.schema.tables import Table


def is_address(text: str) -> bool:
    """Return whether a text names a database and not a package."""
    return "://" in text or text.startswith("env:")


@contextmanager
def database(typed: str, options: argparse.Namespace) -> Iterator[Database]:
    """Open the database that was typed, with the schema and file stores of the options; it closes afterwards.

    Raises
    ------
    UsageError
        What was typed is no address.
    DatabaseError
        There is no such database.
    """
    from datatransfer.database.connection import Database

    url = resolved(typed)
    if "://" not in url:
        where = typed if url == typed else f"{typed} (which holds no address)"
        raise UsageError("this is not the address of a database", where=where, hint=_ADDRESS_HINT)
    with Database(url, schema=options.schema, files=_stores(options.files) or None) as opened:
        yield opened


_ADDRESS_HINT = "write an SQLAlchemy URL, such as sqlite:///shop.db or postgresql+psycopg://me@localhost/shop"


def _stores(typed: Sequence[str]) -> dict[str, Any]:
    pairs = _pairs(typed, "--files", "TABLE.COLUMN=DIR")
    if not pairs:
        return {}
    from datatransfer.database.filestores import FolderStore

    return {column: FolderStore(Path(folder)) for column, folder in pairs}


def natural_keys(typed: Sequence[str]) -> dict[str, list[str]]:
    """Return ``--match-on`` as the policy `match_on`."""
    pairs = _pairs(typed, "--match-on", "TABLE=COLUMN[,COLUMN]")
    return {table: [name.strip() for name in columns.split(",")] for table, columns in pairs}


def mapping(options: argparse.Namespace) -> Mapping:
    """Return what was typed of package and target that differ, with what ``--mapping`` names; saved if that is asked.

    Raises
    ------
    UsageError
        An option is not of its form, or the file is no mapping.
    """
    from datatransfer.importing.mapping import Mapping

    parts: dict[str, Any] = {"rename": {}, "drop": {}, "default": {}, "cast": {}}
    for name in ("rename", "cast"):
        for left, right in _pairs(getattr(options, name), f"--{name}", "TABLE.COLUMN=NAME"):
            table, column = _dotted(left, f"--{name}")
            parts[name].setdefault(table, {})[column] = right
    for text in options.drop:
        table, column = _dotted(text, "--drop")
        parts["drop"].setdefault(table, []).append(column)
    for left, right in _pairs(options.default, "--default", "TABLE.COLUMN=VALUE"):
        table, column = _dotted(left.removesuffix(":"), "--default")
        parts["default"].setdefault(table, {})[column] = _value(right) if left.endswith(":") else right
    tables = dict(_pairs(options.rename_table, "--rename-table", "TABLE=TABLE"))
    made = Mapping.load(options.mapping) if options.mapping else Mapping()
    made = made | Mapping(**parts, rename_tables=tables, drop_tables=options.drop_table)
    if options.save_mapping:
        made.save(options.save_mapping)
    return made


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        raise UsageError("what follows := is no JSON", where="--default", hint="write =VALUE for a text") from None


def _dotted(text: str, option: str) -> tuple[str, str]:
    table, _, column = text.rpartition(".")
    if not (table and column):
        raise UsageError(f"{text!r} names no column", where=option, hint="write TABLE.COLUMN")
    return table, column


def _pairs(typed: Sequence[str], option: str, shape: str) -> list[tuple[str, str]]:
    try:
        return [pair(text, shape) for text in typed]
    except ValueError as error:
        raise UsageError(str(error), where=option) from None


def builder(source: Database, options: argparse.Namespace, out: Output) -> PackageBuilder:
    """Return a builder that holds the roots and rules of the options.

    Raises
    ------
    UsageError
        No rows were asked for, or a key is not of its table's form.
    """
    from datatransfer.exporting.builder import PackageBuilder

    if not (options.roots or options.all):
        raise UsageError("nothing was asked for", hint="name rows with --table, --key or --uuid, or take --all")
    if options.all and options.roots:
        raise UsageError(
            "--all takes everything, and contradicts --table, --key and --uuid", where=options.roots[0].table,
            hint="leave one of them out",
        )  # fmt: skip
    made = PackageBuilder(source, listener=out.listener)
    if options.all:
        made.add_all()
    for root in options.roots:
        _add(made, source, root)
    if options.leave_out:
        made.leave_out(*options.leave_out)
    for word in ("follow", "stop", "null"):
        for label in getattr(options, word):
            _rule(made, word, label)
    return made


def _rule(made: PackageBuilder, word: str, label: str) -> None:
    foreign_key, _, direction = label.rpartition(":")
    if direction in ("up", "down") and foreign_key:
        getattr(made, word)(foreign_key, direction=direction)
    else:
        getattr(made, word)(label)


def _add(made: PackageBuilder, source: Database, root: Root) -> None:
    if root.keys:
        table = source.schema.table(root.table)
        made.add(root.table, keys=[key_of(table, text) for text in root.keys])
    elif root.uuids:
        made.add(root.table, uuids=root.uuids)
    else:
        made.add(root.table, where=root.where or None, params=root.params or None)


def key_of(table: Table, text: str) -> Any:
    """Return a key as it was typed, with the types of the table's key columns.

    Examples
    --------
    >>> from datatransfer.schema.tables import Column, Table
    >>> from datatransfer.schema.values import LogicalType
    >>> orders = Table("orders", (Column("id", LogicalType("integer")),), key=("id",), key_kind="primary")
    >>> key_of(orders, "42")
    42
    """
    if len(table.key) < 2:
        return _typed(table, table.key[0], text) if table.key else text
    try:
        values = json.loads(text)
    except ValueError:
        values = None
    if not isinstance(values, list) or len(values) != len(table.key):
        columns = ", ".join(table.key)
        raise UsageError(
            f"its key has {counted(len(table.key), 'column')}: {columns}", where=table.name,
            hint=f"write a JSON list of {counted(len(table.key), 'value')} in its place, as in '{table.name}=[...]'",
        )  # fmt: skip
    return tuple(values)


def _typed(table: Table, column: str, text: str) -> Any:
    if table.column(column).type.may_be_integer and text.lstrip("-").isdecimal():
        return int(text)
    return text

"""How rows to take are typed: ``--table``, ``--where``, ``--param``, ``--key``, ``--uuid``; each adds to the roots."""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Root:
    """Rows that were asked for: one ``--table``, ``--key`` or ``--uuid``."""

    table: str
    where: str = ""
    params: dict[str, Any] = field(default_factory=dict)
    keys: list[str] = field(default_factory=list)
    uuids: list[str] = field(default_factory=list)


def add_roots(parser: argparse.ArgumentParser) -> None:
    """Add the options that choose rows."""
    group = parser.add_argument_group("rows", "what to take; at least one of --table, --key, --uuid, --all")
    group.add_argument("--all", action="store_true", help="the whole database")
    group.add_argument(
        "--table", action=_Table, dest="roots", default=[], metavar="TABLE", help="its rows; again for more tables"
    )
    group.add_argument(
        "--where", action=_Where, dest="roots", metavar="CONDITION", help="SQL, for the --table before it"
    )
    group.add_argument(
        "--param", action=_Param, dest="roots", metavar="NAME=VALUE",
        help="a :name of that condition; NAME=text, or NAME:=JSON for a number, true, null",
    )  # fmt: skip
    group.add_argument(
        "--key", action=_Key, dest="roots", metavar="TABLE=KEY",
        help="one row; a key of several columns as a JSON list; again for more rows",
    )  # fmt: skip
    group.add_argument("--uuid", action=_Uuid, dest="roots", metavar="TABLE=UUID", help="one row, by its UUID")


class _RootAction(argparse.Action):
    """Adds to the list of roots; the list is copied first, because argparse shares the default."""

    def __call__(
        self, _parser: argparse.ArgumentParser, namespace: argparse.Namespace, value: Any, _option: str | None = None
    ) -> None:
        roots = list(getattr(namespace, self.dest) or [])
        try:
            self.add(roots, value)
        except ValueError as error:
            raise argparse.ArgumentError(self, str(error)) from None
        setattr(namespace, self.dest, roots)

    def add(self, roots: list[Root], text: str) -> None:
        """Add what was typed."""
        raise NotImplementedError

    @staticmethod
    def last_table(roots: list[Root]) -> Root:
        """Return the root of the ``--table`` before."""
        if not roots or roots[-1].keys or roots[-1].uuids:
            raise ValueError("write it after the --table that it belongs to")
        return roots[-1]


class _Table(_RootAction):
    def add(self, roots: list[Root], text: str) -> None:
        roots.append(Root(text))


class _Where(_RootAction):
    def add(self, roots: list[Root], text: str) -> None:
        root = self.last_table(roots)
        if root.where:
            raise ValueError("this --table has a condition already; join the two with AND")
        root.where = text


class _Param(_RootAction):
    def add(self, roots: list[Root], text: str) -> None:
        name, value = pair(text, "NAME=VALUE")
        self.last_table(roots).params[name.removesuffix(":")] = json.loads(value) if name.endswith(":") else value


class _Key(_RootAction):
    def add(self, roots: list[Root], text: str) -> None:
        table, value = pair(text, "TABLE=KEY")
        if roots and roots[-1].table == table and roots[-1].keys:
            roots[-1].keys.append(value)
        else:
            roots.append(Root(table, keys=[value]))


class _Uuid(_RootAction):
    def add(self, roots: list[Root], text: str) -> None:
        table, value = pair(text, "TABLE=UUID")
        roots.append(Root(table, uuids=[value]))


def pair(text: str, shape: str) -> tuple[str, str]:
    """Split ``"name=value"`` at the first equals sign.

    Raises
    ------
    ValueError
        A half is missing.
    """
    name, equals, value = text.partition("=")
    if not (name and equals and value):
        raise ValueError(f"{text!r} is not of the form {shape}")
    return name, value

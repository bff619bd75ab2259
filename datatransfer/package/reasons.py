"""Why a row is in a package: the shortest chain of references from it to a root of the selection.

A package does not record the reason of each row, so the chain is found again from its rows. A selection goes down
from its roots to children and then up to parents, so a chain goes back the same way: first along rows that refer to
this one, then along those that it refers to.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from datatransfer.display.chains import Steps
from datatransfer.display.plain import counted
from datatransfer.display.svg import Node
from datatransfer.errors import KeyValueError
from datatransfer.package.contents import Contents
from datatransfer.package.linking import Held, find_parents, hold, needed_columns
from datatransfer.package.metadata import PackageMetadata
from datatransfer.schema.identity import canonical_key
from datatransfer.schema.secrets import HIDDEN, has_secret_key
from datatransfer.schema.tables import ForeignKey

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Places = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Step:
    """One row of a chain, and how it is linked to the next.

    Parameters
    ----------
    table : str
    key : str
        Its canonical key; ``"(hidden)"`` where its column looks like a secret.
    reached : {"root", "down", "up"}
        ``down``: it refers to the next row; ``up``: the next row refers to it.
    foreign_key : str
        The label of the foreign key, empty at a root.
    """

    table: str
    key: str
    reached: str
    foreign_key: str = ""

    @property
    def node(self) -> Node:
        """The row as it is drawn."""
        is_root = self.reached == "root"
        return Node(f"{self.table} {self.key}", "asked for" if is_root else "", is_root)

    def __str__(self) -> str:
        if self.reached == "root":
            return f"{self.table} {self.key}: asked for"
        how = "refers by" if self.reached == "down" else "is referred to by"
        return f"{self.table} {self.key}: {how} {self.foreign_key}"


class Chain(Steps[Step]):
    """The steps from a row to a root, the row first; empty if the package holds no such chain."""

    title = "Why a row is in the package"
    nothing = ("no chain to a root", "the package does not say why")


def why(contents: Contents, metadata: PackageMetadata, table: str, key: Any) -> Chain:
    """Return the shortest chain from a row to a root.

    Parameters
    ----------
    contents : Contents
    metadata : PackageMetadata
        Its selection names the roots.
    table : str
    key : value or sequence of values
        A sequence for a key of several columns.

    Raises
    ------
    UnknownTableError
        There is no such table.
    KeyValueError
        There is no row with this key, or the table has no key.
    """
    return Search(contents, metadata).chain(table, key)


_Node = tuple[str, int, bool]  # table, row, whether the chain has turned to parents


class Search:
    """The rows of a package by number, and which refers to which; tables are read when they are first needed.

    Parameters
    ----------
    contents : Contents
    metadata : PackageMetadata
    """

    def __init__(self, contents: Contents, metadata: PackageMetadata) -> None:
        self.contents = contents
        self.schema = contents.manifest.schema
        self.selection = metadata.selection
        self._held: dict[str, Held] = {}
        self._links: dict[ForeignKey, Places] = {}

    def chain(self, table: str, key: Any) -> Chain:
        """Search breadth first."""
        start = self.row(table, key)
        roots = self._roots()
        came: dict[_Node, tuple[_Node, str, str] | None] = {(table, start, False): None}
        edge: list[_Node] = [(table, start, False)]
        while edge:
            for node in edge:
                if self._is_root(node, roots):
                    return Chain(self._steps(node, came))
            following: list[_Node] = []
            for node in edge:
                for neighbour, reached, label in self._neighbours(node):
                    if neighbour not in came:
                        came[neighbour] = (node, reached, label)
                        following.append(neighbour)
            edge = following
        return Chain(())

    def _steps(self, end: _Node, came: dict[_Node, tuple[_Node, str, str] | None]) -> list[Step]:
        steps = [Step(end[0], self._shown_key(end), "root")]
        node = end
        while (before := came[node]) is not None:
            node, reached, label = before
            steps.append(Step(node[0], self._shown_key(node), reached, label))
        return steps[::-1]

    def _neighbours(self, node: _Node) -> list[tuple[_Node, str, str]]:
        table, row, turned = node
        found: list[tuple[_Node, str, str]] = []
        if not turned:
            for fk in self.schema.children_of(table):
                children = (self.link(fk) == row).nonzero()[0].tolist()
                found += [((fk.table, child, False), "up", fk.label) for child in children]
        known = [fk for fk in self.schema.table(table).foreign_keys if fk.parent in self.schema]
        parents = [(fk, int(self.link(fk)[row])) for fk in known]
        return found + [((fk.parent, parent, True), "down", fk.label) for fk, parent in parents if parent >= 0]

    def link(self, fk: ForeignKey) -> Places:
        """Return for each row of the child the number of its parent, or -1."""
        if fk not in self._links:
            self._links[fk] = find_parents(self._rows(fk.table), self._rows(fk.parent), fk)
        return self._links[fk]

    def _rows(self, name: str) -> Held:
        if name not in self._held:
            table = self.schema.table(name)
            names = sorted(needed_columns(table, self.schema.foreign_keys()) | set(table.key))
            names = names or [table.columns[0].name]
            self._held[name] = hold(table, self.contents.batches(name, columns=names), names)
        return self._held[name]

    def row(self, name: str, key: Any) -> int:
        """Return the number of the row with a key."""
        table = self.schema.table(name)
        if not table.key:
            raise KeyValueError(
                "has no key to name a row by", where=name, hint="ask for a row of a table that refers to it"
            )
        values = list(key) if isinstance(key, tuple | list) else [key]
        if len(values) != len(table.key):
            raise KeyValueError(
                f"has a key of {counted(len(table.key), 'column')}, not {len(values)}",
                where=name,
                hint=f"give a tuple: {', '.join(table.key)}",
            )
        wanted = canonical_key(values)
        for row in range(self._rows(name).rows):
            if self.key((name, row, False)) == wanted:
                return row
        raise KeyValueError(
            "there is no row with this key in the package", where=name, hint="look at the rows of the table"
        )

    def key(self, node: _Node) -> str:
        """Return the canonical key of a row."""
        held = self._rows(node[0])
        names = held.table.key
        values = [held.columns[name][node[1]].as_py() for name in names]
        return canonical_key(values, [held.table.by_name[name].type for name in names])

    def _shown_key(self, node: _Node) -> str:
        return HIDDEN if has_secret_key(self.schema.table(node[0])) else self.key(node)

    def _roots(self) -> dict[str, set[str] | None]:
        """Return the tables with roots, and their keys where the selection says which."""
        found: dict[str, set[str] | None] = {}
        roots = self.selection.get("roots")
        for root in roots if isinstance(roots, list) else []:
            if not isinstance(root, dict) or not isinstance(name := root.get("table"), str):
                continue
            keys = root.get("keys")
            if not isinstance(keys, list):
                found[name] = None
            elif found.get(name, set()) is not None:
                known = found.setdefault(name, set())
                assert known is not None
                known.update(canonical_key(key if isinstance(key, list) else [key]) for key in keys)
        return found

    def _is_root(self, node: _Node, roots: dict[str, set[str] | None]) -> bool:
        if self.selection.get("everything") is True:
            return True
        if node[0] not in roots:
            return False
        keys = roots[node[0]]
        return keys is None or self.key(node) in keys

"""Which storage class the values of a SQLite column have: guessed from the first rows, then proved over all of them.

The proof is one pass over the table that stops at the first value of another class. ``typeof`` is a function call per
value; comparisons do the same work several times faster wherever SQLite's order of classes (numbers < text < BLOB,
datatype3.html section 4.1) or a column's affinity decides.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from datatransfer.schema.tables import Column
from datatransfer.schema.values import Kind, LogicalType

Ask = Callable[[str], Sequence[Sequence[Any]]]

CLASSES: Mapping[str, Kind] = {"integer": "integer", "real": "float", "text": "text", "blob": "bytes"}
#: SQLite allows 2,000 result columns and expressions 1,000 levels deep.
_COLUMNS_A_QUERY = 200
_SAMPLE_ROWS = 100
_NUMBERS = ("integer", "real")


def affinity(declared: str) -> str:
    """Return the affinity of a declared type, by the rules of datatype3.html section 3.1.

    Examples
    --------
    >>> affinity("VARCHAR(20)"), affinity("BIGINT"), affinity(""), affinity("DECIMAL(10,2)")
    ('text', 'integer', 'blob', 'numeric')
    """
    text = declared.upper()
    if "INT" in text:
        return "integer"
    if any(word in text for word in ("CHAR", "CLOB", "TEXT")):
        return "text"
    if not text or "BLOB" in text:
        return "blob"
    return "real" if any(word in text for word in ("REAL", "FLOA", "DOUB")) else "numeric"


def _of_class(storage: str) -> LogicalType:
    kind = CLASSES[storage]
    return LogicalType(kind, bits=64 if kind in ("integer", "float") else 0)


def type_of_nothing(declared: str) -> LogicalType:
    """Return the type of a column without any value, by its affinity; NUMERIC by what the name speaks of."""
    found = affinity(declared)
    text = declared.upper()
    if found == "numeric":
        is_text = any(word in text for word in ("DATE", "TIME", "JSON", "UUID", "STRING"))
        found = "text" if is_text else "integer" if "BOOL" in text else "real"
    return _of_class(found)


def counterexample(name: str, kind: str, declared: str) -> str:
    """Return a condition that is true for a value of another class and for no value of this one or NULL.

    Parameters
    ----------
    name : str
        The column as SQL.
    kind : str
        ``integer``, ``float``, ``text`` or ``bytes``.
    declared : str
        The column's declared type.
    """
    own = affinity(declared)
    if kind == "text":
        # A column of affinity TEXT holds no numbers. The collation might be anybody's own, so it is set.
        numbers = "" if own == "text" else f"{name} COLLATE BINARY < '' OR "
        return f"{numbers}{name} COLLATE BINARY >= x''"
    if kind == "bytes":
        return f"{name} COLLATE BINARY < x''"
    if kind == "float" and own == "real":
        return f"{name} COLLATE BINARY >= ''"  # affinity REAL makes a float of every number
    if kind == "integer" and own == "integer":
        # Affinity INTEGER makes an integer of every float that equals one, except -2^63 (sqlite3VdbeIntegerAffinity).
        return f"{name} <> ({name} | 0) OR {name} = -9223372036854775808"
    storage = next(name for name, value in CLASSES.items() if value == kind)
    return f"typeof({name}) NOT IN ('{storage}', 'null')"


@dataclass
class Classes:
    """What is known of a table's columns.

    Attributes
    ----------
    types : dict
        One entry a column asked for.
    mixed : dict
        The storage classes of each column that has several.
    seen : set of str
        Columns that hold a value in the first rows, in the order given.
    wide : bool
        Whether a row is so long that batches must not be counted in rows; known only where somebody looked.
    hidden : tuple of str
        Columns of the table that nobody looked at, because they are not asked for.
    """

    types: dict[str, LogicalType] = field(default_factory=dict)
    mixed: dict[str, tuple[str, ...]] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)
    wide: bool = False
    hidden: tuple[str, ...] = ()


@dataclass(frozen=True)
class Rowset:
    """The rows to look at: what follows FROM with the alias ``t``, a condition, an order."""

    from_sql: str
    where: str = ""
    order: str = ""

    def select(self, exprs: str, *, also: str = "", ordered: bool = False, limit: int = 0) -> str:
        """Return a SELECT over these rows."""
        conditions = [f"({part})" for part in (self.where, also) if part]
        where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        order = f" ORDER BY {self.order}" if ordered and self.order else ""
        return f"SELECT {exprs} FROM {self.from_sql}{where}{order}{f' LIMIT {limit}' if limit else ''}"


def storage_classes(ask: Ask, columns: Sequence[Column], rows: Rowset, quote: Callable[[str], str]) -> Classes:
    """Find the one storage class of each column, ``any`` where there are several.

    Parameters
    ----------
    ask : callable
        Runs a query and returns its rows.
    columns : sequence of Column
    rows : Rowset
    quote : callable
        Quotes an identifier.
    """
    found = Classes()
    for start in range(0, len(columns), _COLUMNS_A_QUERY):
        part = columns[start : start + _COLUMNS_A_QUERY]
        names = {column.name: f"t.{quote(column.name)}" for column in part}
        _guess(ask, part, names, rows, found)
        doubts = {c.name: _doubt(c, names[c.name], found) for c in part}
        if not ask(f"SELECT EXISTS({rows.select('1', also=' OR '.join(doubts.values()))})")[0][0]:
            continue
        flags = ask(rows.select(", ".join(f"max({doubt})" for doubt in doubts.values())))[0]
        failed = [column for column, flag in zip(part, flags, strict=True) if flag]
        _count_classes(ask, failed, names, rows, found)
    return found


def _guess(ask: Ask, columns: Sequence[Column], names: Mapping[str, str], rows: Rowset, found: Classes) -> None:
    exprs = ", ".join(f"typeof({name})" for name in names.values())
    sample = ask(rows.select(exprs, ordered=True, limit=_SAMPLE_ROWS))
    for index, column in enumerate(columns):
        classes = [row[index] for row in sample if row[index] != "null"]
        found.types[column.name] = _of_class(classes[0]) if classes else type_of_nothing(column.declared)
        if classes:
            found.seen.add(column.name)
        if set(classes) == set(_NUMBERS):
            found.types[column.name], found.mixed[column.name] = LogicalType("any"), _NUMBERS


def _doubt(column: Column, name: str, found: Classes) -> str:
    """Return a condition that is true for a value that the guess does not hold for."""
    if column.name in found.mixed:
        return f"{name} COLLATE BINARY >= ''"  # numbers of both classes come before everything else
    return counterexample(name, found.types[column.name].kind, column.declared)


def _count_classes(ask: Ask, failed: Sequence[Column], names: Mapping[str, str], rows: Rowset, found: Classes) -> None:
    sums = [f"max(typeof({names[c.name]}) = '{storage}')" for c in failed for storage in CLASSES]
    flags = ask(rows.select(", ".join(sums)))[0]
    for index, column in enumerate(failed):
        own = flags[index * len(CLASSES) : (index + 1) * len(CLASSES)]
        found.mixed.pop(column.name, None)
        present = tuple(storage for storage, flag in zip(CLASSES, own, strict=True) if flag)
        found.types[column.name] = _of_class(present[0]) if len(present) == 1 else LogicalType("any")
        if len(present) > 1:
            found.mixed[column.name] = present

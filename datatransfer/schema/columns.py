"""One column of a table as plain data, and what its name and its type say of the values."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from datatransfer.schema.values import LogicalType

#: SQLite's own collations by which different texts are equal: ASCII letters of either case, or trailing spaces.
FOLDING = ("NOCASE", "RTRIM")
#: A number, a text or a word for a value in SQL, perhaps in parentheses and with a cast as PostgreSQL writes it.
_LITERAL = re.compile(r"^\(*(-?\d+(\.\d+)?|'(?:[^']|'')*'|NULL|TRUE|FALSE)\)*(::[\w \"(),.\[\]]+)?\)*$", re.IGNORECASE)
_PADDED = re.compile(r"char(acter)?\(\d+\)", re.IGNORECASE)
_SECRET = re.compile(
    r"password|passwd|passphrase|pwd|token|apikey|secret|privatekey|accesskey|credential", re.IGNORECASE
)


@dataclass(frozen=True)
class Column:
    """One column.

    Parameters
    ----------
    name : str
    type : LogicalType
        What its values are, see `datatransfer.schema.values`.
    declared : str
        The database's own name of the type, e.g. ``"NUMERIC(10,2)"``.
    nullable : bool
    has_default : bool
        Whether the database fills it when it is not given.
    generated : bool
        Computed by the database, never written.
    identity : {"", "always", "default"}
        Whether the database counts it up itself (identity, serial, AUTO_INCREMENT, SQLite rowid).
    collation : str
        By what its texts are compared, as SQL names it; empty for the database's own. Of a package, only `FOLDING`.
    formula, default, base : str
        The SQL that computes it, what it holds when not given, and what a domain stands for. Of databases only.
    labels : tuple of str, optional
        The texts that an ENUM takes, alone or as elements of an array, or those that a SET does. Of databases only.
    """

    name: str
    type: LogicalType
    declared: str = ""
    nullable: bool = True
    has_default: bool = False
    generated: bool = False
    identity: Literal["", "always", "default"] = ""
    collation: str = field(default="", compare=False)
    formula: str = field(default="", compare=False)
    default: str = field(default="", compare=False)
    base: str = field(default="", compare=False)
    labels: tuple[str, ...] | None = field(default=None, compare=False)

    def to_json(self) -> dict[str, Any]:
        """Return what the package format keeps of the column."""
        return {
            "type": self.type.to_json(),
            "declared": self.declared,
            "nullable": self.nullable,
            "hasDefault": self.has_default,
            "generated": self.generated,
            "identity": self.identity,
            **({"collation": self.folding} if self.folding else {}),
        }

    @property
    def folding(self) -> str:
        """The collation, if it is one of `FOLDING`."""
        name = self.collation.strip('"`[]').upper()
        return name if name in FOLDING else ""

    @property
    def has_constant(self) -> bool:
        """Whether the default is one that gives every row the same value, such as ``'new'::text``; not ``now()``."""
        return bool(_LITERAL.match(self.default))

    @property
    def padded(self) -> bool:
        """Whether a server fills its texts up with spaces, which are no part of the value; what SQLite says is a name.

        Examples
        --------
        >>> [Column("c", LogicalType("text"), said).padded for said in ("character(5)", "CHAR(5)", "varchar(5)")]
        [True, True, False]
        """
        return bool(_PADDED.fullmatch(self.base or self.declared))

    @property
    def looks_secret(self) -> bool:
        """Whether its name is one of those under which passwords and the like are kept.

        Examples
        --------
        >>> [Column(name, LogicalType("text")).looks_secret for name in ("name", "api_key", "PasswordHash")]
        [False, True, True]
        """
        return bool(_SECRET.search(re.sub(r"[_\-\s]", "", self.name)))

    @classmethod
    def from_json(cls, name: str, data: Mapping[str, Any]) -> Column:
        """Make a column from what `to_json` returned."""
        return cls(
            name=name,
            type=LogicalType.from_json(data["type"]),
            declared=str(data["declared"]),
            nullable=bool(data["nullable"]),
            has_default=bool(data["hasDefault"]),
            generated=bool(data["generated"]),
            identity=data["identity"],
            collation=str(data.get("collation", "")),
        )

"""What the quick reader of SQLite asks for each column, and how the column is made of what comes.

The driver takes a column's type from its first batch and converts other values silently, so every column that it is
asked for has one storage class and begins with a value of it. A column of one class that begins with NULLs comes with
a stand-in for NULL and a flag beside it; a column of several classes comes as its values' classes and one column for
each of them, with a stand-in wherever a value is of another. Knows SQL and Arrow, no connection.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from datatransfer.database.dialects.columns import value_loss
from datatransfer.database.dialects.sqlite_classes import CLASSES
from datatransfer.schema.tables import Column, Table
from datatransfer.schema.tags import tagged_column
from datatransfer.schema.values import LogicalType

if TYPE_CHECKING:
    import pyarrow as pa

STAND_IN = {"integer": "0", "float": "0.0", "text": "''", "bytes": "x''"}
_NUMBERS = {"integer": "INTEGER", "real": "REAL"}


@dataclass(frozen=True)
class Asked:
    """One column of a table as it is asked for.

    Parameters
    ----------
    column : Column
        With its definite type.
    name : str
        As SQL.
    late : bool
        Whether it may begin with NULLs only.
    classes : tuple of str
        The storage classes of its values, if there are several.
    """

    column: Column
    name: str
    late: bool = False
    classes: tuple[str, ...] = ()

    def expressions(self) -> list[str]:
        """Return what to select."""
        if self.classes:
            code = " ".join(f"WHEN '{storage}' THEN {place}" for place, storage in enumerate(self.classes))
            return [f"CASE typeof({self.name}) {code} ELSE -1 END", *map(self._part, self.classes)]
        if self.late:
            return [f"coalesce({self.name}, {STAND_IN[self.column.type.kind]})", f"{self.name} IS NULL"]
        return [self.name]

    def _part(self, storage: str) -> str:
        """Return the values of one class; whatever stands for the others is never looked at."""
        if set(self.classes) <= set(_NUMBERS):  # a cast keeps the class that it names, and costs no call of a function
            return f"CAST(coalesce({self.name}, 0) AS {_NUMBERS[storage]})"
        return f"CASE WHEN typeof({self.name}) = '{storage}' THEN {self.name} ELSE {STAND_IN[CLASSES[storage]]} END"

    def types(self) -> list[pa.DataType]:
        """Return the Arrow types that must come."""
        import pyarrow as pa

        if self.classes:
            return [pa.int64(), *(_type(storage) for storage in self.classes)]
        return [self.column.type.arrow(), *[pa.int64()] * self.late]

    def array(self, arrived: Sequence[pa.Array], table: Table) -> pa.Array:
        """Return the column.

        Raises
        ------
        ValueLossError
            A text is not UTF-8: the driver passes on whatever bytes it finds.
        """
        import pyarrow as pa
        import pyarrow.compute as pc

        for part in arrived:
            if pa.types.is_string(part.type):
                self._check_text(part, table)
        if self.classes:
            heads = pa.array([storage[0] for storage in self.classes])
            places = pc.if_else(pc.less(arrived[0], 0), pa.scalar(None, pa.int64()), arrived[0])
            parts = {storage[0]: part for storage, part in zip(self.classes, arrived[1:], strict=True)}
            return tagged_column(heads.take(places), parts)
        if self.late:
            return pc.if_else(pc.equal(arrived[1], 1), pa.scalar(None, arrived[0].type), arrived[0])
        return arrived[0]

    def _check_text(self, array: pa.Array, table: Table) -> None:
        import pyarrow as pa

        try:
            array.validate(full=True)
        except pa.ArrowInvalid:
            why = "a text is not valid UTF-8"
            raise value_loss(table.name, self.column.name, self.column.type, why, key=table.key) from None


def _type(storage: str) -> pa.DataType:
    kind = CLASSES[storage]
    return LogicalType(kind, bits=64 if kind in ("integer", "float") else 0).arrow()

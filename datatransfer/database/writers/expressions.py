"""How a value is staged, and what SQL makes it one of its column, compares it and puts it in order.

Nothing is asked and nothing is run here: values and names come in, Arrow columns and pieces of SQL go out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from datatransfer.errors import ValueLossError
from datatransfer.schema.tables import Column
from datatransfer.schema.values import LogicalType

if TYPE_CHECKING:
    import pyarrow as pa


def refuse_where(odd: pa.Array, why: str, column: Column, cure: str) -> None:
    """Refuse the values of a column that a mask marks, counted.

    Raises
    ------
    ValueLossError
    """
    import pyarrow.compute as pc

    rows = int(pc.sum(odd).as_py() or 0)
    if rows:
        raise ValueLossError(why, where=column.name, hint=cure, evidence={"rows": rows})


class ValueExpressions:
    """The part of a writer that knows values."""

    def target_kind(self, source: LogicalType, column: Column) -> LogicalType | None:
        """Return the kind that a target column takes for a package column, None if nothing fits."""
        return column.type

    def fraction_digits(self, column: Column) -> int:
        """Return how many digits of a second a column keeps."""
        return 6

    def refuse_changed(self, values: pa.Array, source: Column, column: Column) -> None:
        """Refuse values that a column would hold as others.

        Parameters
        ----------
        values : pyarrow.Array
            Of the kind that the column takes.
        source : Column
            The package's, which says what its values may be; without a declared type where that says nothing.
        column : Column

        Raises
        ------
        ValueLossError
        """

    def stage_values(self, values: pa.Array, kind: LogicalType, column: Column) -> pa.Array:
        """Turn values of a kind into what the staging table takes."""
        return values

    def expression(self, staged: str, kind: LogicalType, column: Column) -> str:
        """Return the SQL that turns a staged value into one of the target column's type."""
        return staged

    def held(self, value: str, column: Column) -> str:
        """Return SQL for a value as the column would hold it: of its type, compared by its collation."""
        return value

    def kept(self, value: str, kind: LogicalType, column: Column) -> str:
        """Return SQL that reads a key, staged as a kind or of a column, exactly and as an export writes it."""
        return value

    def folded(self, value: str, collation: str) -> str:
        """Return SQL for a staged text that is equal for texts which a collation of SQLite makes equal."""
        return f"lower({value})" if collation == "NOCASE" else f"rtrim({value})"

    def equal(self, left: str, right: str, column: Column | None = None) -> str:
        """Return SQL that is true where two values that are not null are the same key."""
        return f"{left} = {right}"

    def same(self, left: str, right: str, column: Column) -> str:
        """Return SQL that is true where two values are the same, null included, to the last bit."""
        return f"({left} = {right} OR ({left} IS NULL AND {right} IS NULL))"

    def is_default(self, value: str, column: Column) -> str:
        """Return SQL that is true where a column holds its default, which is a constant."""
        return self.same(value, self.held(column.default, column), column)

    def exact_text(self, value: str, column: Column) -> str:
        """Return SQL that is equal for two values only if they are the same to the last bit."""
        return value

    def united(self, value: str, column: Column) -> str:
        """Return SQL for a value that stands in one column with others, staged or of the target's column."""
        return value

    def ordered(self, value: str, kind: LogicalType, column: Column) -> str:
        """Return SQL for a value of a kind, as its column holds it, that is greater for what is later or more."""
        return self.held(value, column)

    def any_value(self, value: str, column: Column) -> str:
        """Return SQL for one of a group's values."""
        return f"min({value})"

    def uuid_text(self, value: str, column: Column) -> str:
        """Return SQL for a UUID as 32 hexadecimal digits in lower case."""
        return f"lower(replace(CAST({value} AS CHAR(36)), '-', ''))"

    def concat(self, parts: Sequence[str]) -> str:
        """Return SQL that joins texts."""
        return " || ".join(parts)

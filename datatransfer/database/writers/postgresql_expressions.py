"""How values are staged for PostgreSQL, and what SQL makes them values of their columns, compares and reads them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from datatransfer.database.dialects.postgresql import AS_TEXT, OUTSIDE
from datatransfer.database.writers.expressions import ValueExpressions
from datatransfer.database.writers.postgresql_refusals import base_of, refuse_changed, takes_text
from datatransfer.errors import ValueLossError
from datatransfer.schema.tables import Column
from datatransfer.schema.values import LogicalType

if TYPE_CHECKING:
    import pyarrow as pa

_CAST = ("decimal", "uuid", "json", "enum", "native")
#: Compared with a text, values of these types become texts, and lose their own rules.
_BY_TYPE = ("character(", "citext")
_TEXTS = ("text", "character", "varchar")


class PostgreSQLExpressions(ValueExpressions):
    """The part of a PostgreSQL writer that knows values."""

    def target_kind(self, source: LogicalType, column: Column) -> LogicalType | None:
        kind = column.type
        same_native = source.kind == "native" and source.native.startswith("postgresql:")
        if same_native and kind.kind in OUTSIDE:
            return LogicalType("native", native=f"postgresql:{OUTSIDE[kind.kind][0]}")  # 'infinity' travels as text
        if source.kind == "text" and kind.kind == "native" and not takes_text(column):
            return None
        return kind

    def fraction_digits(self, column: Column) -> int:
        found = re.search(r"^(?:time|timestamp|interval)\((\d)\)", base_of(column))
        return int(found.group(1)) if found else 6

    def refuse_changed(self, values: pa.Array, source: Column, column: Column) -> None:
        refuse_changed(values, source, column)

    def stage_values(self, values: pa.Array, kind: LogicalType, column: Column) -> pa.Array:
        import pyarrow as pa
        import pyarrow.compute as pc

        if (
            pa.types.is_string(values.type)
            and _may_hold_nul(values)
            and pc.any(pc.match_substring(values, "\0")).as_py()
        ):
            raise ValueLossError(
                "a text holds a NUL character, which PostgreSQL cannot store", where=column.name,
                hint="repair the value in the source, or let the target's column hold bytes",
            )  # fmt: skip
        if kind.kind == "float" and values.type != pa.float64():
            return values.cast(pa.float64())
        return values

    def expression(self, staged: str, kind: LogicalType, column: Column) -> str:
        if kind.kind in _CAST:
            return f"{staged}::{column.declared}"
        if kind.kind == "float" and column.type.bits == 32:
            return f"{staged}::real"
        return staged

    def held(self, value: str, column: Column) -> str:
        collation = f" COLLATE {column.collation}" if column.collation else ""
        return f"CAST({value} AS {column.declared}){collation}"

    def kept(self, value: str, kind: LogicalType, column: Column) -> str:
        if kind.kind == "float":
            return f"({value})::double precision"  # a real is shown shortened
        return f"({value})::text" if kind.kind in AS_TEXT or kind.kind in OUTSIDE else value

    def equal(self, left: str, right: str, column: Column | None = None) -> str:
        if column is not None and _has_no_equals(column):
            return f"({left})::{column.base} = ({right})::{column.base}"
        if column is not None and (column.declared.startswith(_BY_TYPE) or _is_of_a_domain(column)):
            return f"{left} = CAST({right} AS {column.declared})"
        return super().equal(left, right, column)

    def same(self, left: str, right: str, column: Column) -> str:
        if _has_no_equals(column):
            return f"({left})::{column.base} IS NOT DISTINCT FROM ({right})::{column.base}"
        if column.type.kind in ("integer", "boolean", "bytes", "date", "timestamp", "timestamptz", "uuid", "enum"):
            return f"{left} IS NOT DISTINCT FROM {right}"
        cast = f"::{column.declared}::text"
        return f"({left})::text IS NOT DISTINCT FROM ({right}){cast}"

    def any_value(self, value: str, column: Column) -> str:
        if column.type.native.endswith("[]"):  # arrays of arrays have no first one
            return f"min({value})"
        return f"(array_agg({value}))[1]"

    def uuid_text(self, value: str, column: Column) -> str:
        return f"replace({value}::text, '-', '')"

    def exact_text(self, value: str, column: Column) -> str:
        return f"({value})::{column.declared}::text" if column.type.kind != "bytes" else value


def _has_no_equals(column: Column) -> bool:
    """Return whether there is no ``=`` for values of the column's type: those of enums do not take a domain."""
    return column.type.kind == "enum" and bool(column.base)


def _is_of_a_domain(column: Column) -> bool:
    return column.type.kind == "text" and not column.declared.startswith(_TEXTS)


def _may_hold_nul(values: pa.Array) -> bool:
    """Whether there is a NUL anywhere in the buffer that texts lie in: a quick look that is seldom wrong."""
    data = values.buffers()[2]
    return data is not None and data.to_pybytes().find(b"\0") >= 0

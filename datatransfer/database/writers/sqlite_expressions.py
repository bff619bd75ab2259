"""How SQLite holds values: what a column's affinity makes of them, and storage classes told apart where it matters."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from datatransfer.database.dialects.sqlite_classes import affinity
from datatransfer.database.writers.expressions import ValueExpressions, refuse_where
from datatransfer.schema.tables import Column
from datatransfer.schema.values import LogicalType

if TYPE_CHECKING:
    import pyarrow as pa

_TEXTS = ("text", "json", "enum", "uuid", "native")
_NUMBER = r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*$"


class SQLiteExpressions(ValueExpressions):
    """The part of the SQLite writer that knows values."""

    def target_kind(self, source: LogicalType, column: Column) -> LogicalType | None:
        """Return what the column stores without changing it, by its affinity; None where affinity would."""
        kind, holds = source.kind, affinity(column.declared)
        strict = column.type.kind if column.type.kind != "any" else ""
        if strict and strict != kind and not (strict == "integer" and kind in ("integer", "boolean", "any")):
            if strict == "text" and kind in (
                "date",
                "time",
                "timestamp",
                "timestamptz",
                "uuid",
                "json",
                "enum",
                "native",
            ):
                return source
            return column.type
        if holds == "text" and kind in ("integer", "float", "boolean"):
            return None
        return source

    def stage_values(self, values: pa.Array, kind: LogicalType, column: Column) -> pa.Array:
        import pyarrow as pa
        import pyarrow.compute as pc

        if kind.kind in (*_TEXTS, "any"):
            self._check_affinity(values, kind, column)
        if kind.kind == "timestamp":
            return pc.strftime(values, format="%Y-%m-%d %H:%M:%S")
        if kind.kind == "timestamptz":
            return pc.binary_join_element_wise(
                pc.strftime(values, format="%Y-%m-%d %H:%M:%S"), pa.scalar("+00:00"), "", null_handling="emit_null"
            )
        if kind.kind in ("date", "time"):
            return values.cast(pa.string())
        if kind.kind == "boolean" or (kind.kind == "integer" and values.type != pa.int64()):
            return values.cast(pa.int64())
        if kind.kind == "float" and values.type != pa.float64():
            return values.cast(pa.float64())
        if kind.kind == "uuid" and "32" in column.declared:
            return pc.replace_substring(values, "-", "")
        if kind.kind == "decimal" and affinity(column.declared) != "text":
            self._check_decimals(values, column)
        return values

    def _check_affinity(self, values: pa.Array, kind: LogicalType, column: Column) -> None:
        """Refuse values that the column would store as another class; those of the same affinity never are."""
        import pyarrow.compute as pc

        from datatransfer.errors import ValueLossError

        text = "t" if kind.kind == "any" else ""
        changed = {
            "text": r"^[ir]" if kind.kind == "any" else "",
            "blob": "",
            "real": rf"^{text}{_NUMBER}" + (r"|^i" if kind.kind == "any" else ""),
        }.get(affinity(column.declared), rf"^{text}{_NUMBER}")
        if changed and pc.any(pc.match_substring_regex(values, changed), min_count=0).as_py():
            raise ValueLossError(
                f"a value would change its storage class in a column of affinity {affinity(column.declared).upper()}",
                where=column.name,
                hint="give the target's column the type that the source has",
            )

    def refuse_changed(self, values: pa.Array, source: Column, column: Column) -> None:
        import pyarrow as pa
        import pyarrow.compute as pc

        if pa.types.is_floating(values.type):
            cure = "repair the value in the source, or let the target's column hold text"
            refuse_where(pc.is_nan(values), "a float is no number, which SQLite stores as NULL", column, cure)
        if pa.types.is_uint64(values.type):
            wide = pc.greater(values, pa.scalar(2**63 - 1, pa.uint64()))
            refuse_where(wide, "an integer does not fit 64 bits", column, "let the target's column hold text")
        elif pa.types.is_integer(values.type) and affinity(column.declared) == "real":
            whole = values.cast(pa.float64(), safe=False).cast(pa.int64(), safe=False)
            why = "an integer has more digits than a float, as which the column stores it"
            refuse_where(pc.not_equal(whole, values), why, column, "declare the column INTEGER in the target")

    def _check_decimals(self, values: pa.Array, column: Column) -> None:
        """SQLite keeps 15 digits of a decimal that it stores as a float, and all 18 of an integer."""
        import pyarrow.compute as pc

        from datatransfer.errors import ValueLossError

        digits = pc.replace_substring_regex(values, r"^-?0*(\d*)(?:\.(\d*?)0*)?$", r"\1\2")
        fits = pc.match_substring_regex(pc.replace_substring_regex(digits, r"^0+", ""), r"^\d{0,15}$")
        if pc.all(fits, min_count=0).as_py() is False:
            raise ValueLossError(
                "a decimal has more than the 15 digits that SQLite keeps",
                where=column.name,
                hint="declare the column TEXT in the target",
            )

    def expression(self, staged: str, kind: LogicalType, column: Column) -> str:
        holds = affinity(column.declared)
        if kind.kind == "decimal" and holds in ("numeric", "integer"):
            return f"CAST({staged} AS NUMERIC)"
        if holds == "real" and kind.kind in ("decimal", "integer", "boolean"):
            return f"CAST({staged} AS REAL)"
        return staged

    def held(self, value: str, column: Column) -> str:
        return f"({value}) COLLATE {column.collation}" if column.collation else value

    def folded(self, value: str, collation: str) -> str:
        # Joins by COLLATE RTRIM lose rows: the hash of SQLite's Bloom filters (3.38 and later) counts the spaces.
        if collation == "RTRIM":
            return f"iif(typeof({value}) = 'text', rtrim({value}, ' '), {value})"
        return f"{value} COLLATE {collation}"

    def equal(self, left: str, right: str, column: Column | None = None) -> str:
        if column is not None and column.type.kind == "integer":
            return f"{left} = {right}"
        return f"({left} = {right} AND typeof({left}) = typeof({right}))"

    def same(self, left: str, right: str, column: Column) -> str:
        return f"({left} COLLATE BINARY IS {right} AND typeof({left}) = typeof({right}))"

    def is_default(self, value: str, column: Column) -> str:
        return (
            f"({value} COLLATE BINARY IS {column.default})"  # compared by the affinity of the column, as it was stored
        )

    def ordered(self, value: str, kind: LogicalType, column: Column) -> str:
        if re.search("DATE|TIME", column.declared, re.IGNORECASE):  # one moment is written as text in several ways
            moment = f"CASE WHEN typeof({value}) = 'text' THEN strftime('%Y-%m-%d %H:%M:%f', {value}) END"
            return f"coalesce({moment}, {value})"
        return self.held(value, column)

    def uuid_text(self, value: str, column: Column) -> str:
        return f"lower(replace({value}, '-', ''))" if "32" not in column.declared else value

    def exact_text(self, value: str, column: Column) -> str:
        return f"typeof({value}), {value} COLLATE BINARY"

"""A table's description ⇄ JSON: our own, complete; and the Data Package standard's ``schema``, made from it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, cast, get_args

from datatransfer.package.fields import Fields
from datatransfer.schema.identity import RESERVED_PREFIX
from datatransfer.schema.tables import FOLDING, Column, ForeignKey, KeyKind, Table
from datatransfer.schema.values import KINDS, Kind, LogicalType

_FIELD_TYPES: Mapping[str, dict[str, str]] = {
    "integer": {"type": "integer"},
    "float": {"type": "number"},
    "boolean": {"type": "boolean"},
    "bytes": {"type": "string", "format": "binary"},
    "date": {"type": "date"},
    "time": {"type": "time"},
    "timestamp": {"type": "datetime"},
    "timestamptz": {"type": "datetime"},
    "uuid": {"type": "string", "format": "uuid"},
}


def table_schema(table: Table, slugs: Mapping[str, str]) -> dict[str, Any]:
    """Return the standard's Table Schema of a table; foreign keys to tables outside the package are left out of it."""
    schema: dict[str, Any] = {"fields": [_field(column) for column in table.columns]}
    if table.key_kind == "primary":
        schema["primaryKey"] = list(table.key)
    uniques = [*([table.key] if table.key_kind == "unique" else []), *table.uniques]
    if uniques:
        schema["uniqueKeys"] = [list(columns) for columns in uniques]
    inside = [fk for fk in table.foreign_keys if fk.parent in slugs]
    if inside:
        schema["foreignKeys"] = [
            {
                "fields": list(fk.columns),
                "reference": {"resource": slugs[fk.parent], "fields": list(fk.parent_columns)},
            }
            for fk in inside
        ]
    return schema


def _field(column: Column) -> dict[str, Any]:
    field: dict[str, Any] = {"name": column.name, **_FIELD_TYPES.get(column.type.kind, {"type": "string"})}
    if not column.nullable:
        field["constraints"] = {"required": True}
    return field


def table_to_json(table: Table) -> dict[str, Any]:
    """Return everything that is known of a table."""
    return {
        "table": table.name,
        "bareName": table.bare_name,
        "dbSchema": table.db_schema,
        "columns": [{"name": column.name, **column.to_json()} for column in table.columns],
        "key": list(table.key),
        "keyKind": table.key_kind,
        "uniqueKeys": [list(columns) for columns in table.uniques],
        "foreignKeys": [
            {
                "name": fk.name, "columns": list(fk.columns), "parent": fk.parent,
                "parentColumns": list(fk.parent_columns), "declared": fk.declared, "enforced": fk.enforced,
                **({"spellings": _spellings(fk)} if fk.spellings else {}),
            }
            for fk in table.foreign_keys
        ],
    }  # fmt: skip


def table_from_json(fields: Fields) -> Table:
    """Make a table from what `table_to_json` returned, and check that it makes sense.

    Raises
    ------
    PackageError
        It does not.
    """
    name = fields.checked_name(fields.take("table", str), "table")
    columns = tuple(_column(item) for item in fields.objects("columns"))
    table = Table(
        name=name,
        bare_name=fields.take("bareName", str),
        db_schema=fields.optional("dbSchema", str),
        columns=columns,
        key=fields.names("key"),
        key_kind=_key_kind(fields),
        uniques=fields.name_lists("uniqueKeys"),
        foreign_keys=tuple(_foreign_key(item, name) for item in fields.objects("foreignKeys")),
    )
    if not columns or len(table.by_name) != len(columns):
        fields.refuse("must be columns of different names, one at least", "columns")
    if (table.key_kind == "none") != (not table.key):
        fields.refuse("must be empty exactly if there are no key columns", "keyKind")
    for used, what in ((table.key, "key"), *((columns, "uniqueKeys") for columns in table.uniques)):
        _check_columns(fields, table, used, what)
    for fk in table.foreign_keys:
        _check_columns(fields, table, fk.columns, "foreignKeys")
    return table


def _check_columns(fields: Fields, table: Table, used: tuple[str, ...], what: str) -> None:
    if len(set(used)) != len(used) or any(column not in table.by_name for column in used):
        fields.refuse("must name columns of the table, each once", what)


def _key_kind(fields: Fields) -> KeyKind:
    value = fields.take("keyKind", str)
    if value not in get_args(KeyKind):
        fields.refuse("must be primary, unique or none", "keyKind")
    return cast(KeyKind, value)


def _column(fields: Fields) -> Column:
    name = fields.checked_name(fields.take("name", str), "name")
    if name.startswith(RESERVED_PREFIX):
        fields.refuse(f"must not start with {RESERVED_PREFIX}", "name")
    identity = fields.take("identity", str)
    if identity not in ("", "always", "default"):
        fields.refuse("must be empty, always or default", "identity")
    collation = fields.optional("collation", str) or ""
    if collation not in ("", *FOLDING):
        fields.refuse(f"must be one of {', '.join(FOLDING)}, or absent", "collation")
    column = Column(
        name=name,
        type=logical_type(fields.object("type")),
        declared=fields.take("declared", str),
        nullable=fields.take("nullable", bool),
        has_default=fields.take("hasDefault", bool),
        generated=fields.take("generated", bool),
        identity=cast(Literal["", "always", "default"], identity),
        collation=collation,
    )
    fields.end()
    return column


def logical_type(fields: Fields) -> LogicalType:
    """Read the type of a column's values."""
    kind = fields.take("kind", str)
    if kind not in KINDS:
        fields.refuse("is not a kind of value that this version knows", "kind")
    made = LogicalType(
        kind=cast(Kind, kind),
        bits=fields.take("bits", int, default=0),
        unsigned=fields.take("unsigned", bool, default=False),
        precision=fields.optional("precision", int),
        scale=fields.optional("scale", int),
        length=fields.optional("length", int),
        native=fields.take("native", str, default=""),
    )
    fields.end()
    return made


def _spellings(fk: ForeignKey) -> dict[str, dict[str, str]]:
    return {column: found for column in fk.columns if (found := fk.spelled(column))}


def _read_spellings(fields: Fields) -> tuple[tuple[str, str, str], ...]:
    found = []
    columns = fields.names("columns")
    for column, pairs in fields.take("spellings", dict, default={}).items():
        if column not in columns or not isinstance(pairs, dict) or not all(isinstance(v, str) for v in pairs.values()):
            fields.refuse("must name columns of the foreign key, and a text for each text", "spellings")
        found += [(column, own, above) for own, above in pairs.items()]
    return tuple(found)


def _foreign_key(fields: Fields, table: str) -> ForeignKey:
    made = ForeignKey(
        table=table,
        columns=fields.names("columns"),
        parent=fields.checked_name(fields.take("parent", str), "parent"),
        parent_columns=fields.names("parentColumns"),
        name=fields.take("name", str),
        declared=fields.take("declared", bool),
        enforced=fields.take("enforced", bool),
        spellings=_read_spellings(fields),
    )
    if not made.columns or len(made.columns) != len(made.parent_columns):
        fields.refuse("must name as many columns on both sides, one at least")
    fields.end()
    return made

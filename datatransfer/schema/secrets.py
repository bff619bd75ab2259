"""Columns that look like secrets by their names, and keys that are not shown because of that."""

from __future__ import annotations

from datatransfer.schema.tables import Table

HIDDEN = "(hidden)"
"""Stands where the key of a row is not shown."""


def secrets_in(table: Table) -> list[str]:
    """Return the columns whose names look like secrets.

    Examples
    --------
    >>> from datatransfer.schema.tables import Column
    >>> from datatransfer.schema.values import LogicalType
    >>> kind = LogicalType("text")
    >>> secrets_in(Table("users", (Column("name", kind), Column("api_key", kind), Column("PasswordHash", kind))))
    ['api_key', 'PasswordHash']
    """
    return [column.name for column in table.columns if column.looks_secret]


def has_secret_key(table: Table) -> bool:
    """Whether the key of a table, or a part of it, looks like a secret."""
    return not set(secrets_in(table)).isdisjoint(table.key)

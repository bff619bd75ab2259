"""The key maps of rows that an undo leaves where they are: the import is undone, but they still come from its package.

Without them the next import of the package would take these rows for strangers, which hold its keys and unique values.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from datatransfer.database import ledger
from datatransfer.importing.images import INSERT
from datatransfer.importing.touched import GONE, REVERSIBLE, Touched, TouchedRows
from datatransfer.schema.keycolumns import key_array
from datatransfer.schema.keynames import kept_names

if TYPE_CHECKING:
    import pyarrow as pa


def base_of(record: ledger.ImportRecord, touched: TouchedRows) -> ledger.ImportRecord:
    """Return the import that a change takes back or brings again, itself if it is one."""
    while above := record.options.get("undo_of"):
        record = ledger.read_import(touched.writer.conn, above)
    return record


def keep_maps(base: ledger.ImportRecord, touched: TouchedRows) -> None:
    """Record, under the undo, which keys the rows that stay came from.

    Parameters
    ----------
    base : ImportRecord
        Of the import that they came with.
    touched : TouchedRows
        Sorted.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    conn, change = touched.writer.conn, touched.writer.import_id
    for name, table in touched.tables.items():
        staying = _staying(touched, table) if table.key and INSERT in table.keys else None
        if staying is None:
            continue
        for _, _, keys in ledger.key_maps(conn, table=name, import_id=base.import_id):
            there = _names(table, [keys[f"t.{column}"].combine_chunks() for column in table.key])
            found = pc.filter(pa.array(range(len(there)), type=pa.int64()), pc.is_in(there, staying))
            if len(found):
                ledger.add_key_map(conn, change, name, keys.take(found), origin=base.origin)


def _staying(touched: TouchedRows, table: Touched) -> pa.Array | None:
    """Return the names of the inserted rows that stay, None if there are none."""
    w, columns = touched.writer, [table.table.by_name[name] for name in table.key]
    keys = ", ".join(w.kept(f"z.k{i}", column.type, column) for i, column in enumerate(columns))
    rows = w.run(
        f"SELECT {keys} FROM {touched.z(table)} z WHERE z.a = '{INSERT}' AND z.st NOT IN ('{REVERSIBLE}', '{GONE}')"
    ).all()
    if not rows:
        return None
    return _names(table, [key_array(list(values)) for values in zip(*map(tuple, rows), strict=True)])


def _names(table: Touched, keys: Sequence[pa.Array]) -> pa.Array:
    """Return the keys of rows as text: a time may be written with and without the end of its second."""
    return kept_names(keys, [table.table.by_name[name].type for name in table.key])

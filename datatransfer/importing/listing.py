"""The imports into a database and their undos, and which keys one of them mapped, as tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from datatransfer.database import ledger
from datatransfer.database.connection import checked
from datatransfer.schema.keycolumns import key_values

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from datatransfer.database.connection import Database


def receipts(db: Database) -> pd.DataFrame:
    """Return one row for each import into a database and each undo, oldest first.

    Returns
    -------
    pandas.DataFrame
        import_id, kind (``import`` or ``undo``), undo_of, package_id, state (``merged``, which is done, or ``undone``),
        finished, inserted, updated, removed, reused, skipped.
    """
    from datatransfer.display.frames import OneLine

    numbers = {"inserted": "insert", "updated": "update", "removed": "delete", "reused": "reuse", "skipped": "skip"}
    with checked(db).connect() as conn:
        records = ledger.list_imports(conn)
    rows = []
    for record in records:
        totals = {name: sum(c.get(action, 0) for c in record.counts.values()) for name, action in numbers.items()}
        undo_of = record.options.get("undo_of", "")
        rows.append(
            {"import_id": record.import_id, "kind": "undo" if undo_of else "import", "undo_of": undo_of,
             "package_id": record.package_id, "state": record.state, "finished": record.finished, **totals}
        )  # fmt: skip
    names = ["import_id", "kind", "undo_of", "package_id", "state", "finished", *numbers]
    return OneLine(rows, columns=names)


def key_frame(keys: pa.Table) -> pd.DataFrame:
    """Return keys of the package and of the target beside each other, with the action, see `Receipt.id_map`."""
    import pandas as pd

    columns: dict[str, Any] = {}
    for name in keys.column_names:
        if name.startswith(("s.", "t.")):
            side = "source." if name.startswith("s.") else "target."
            columns[side + name[2:]] = pd.Series(key_values(keys[name].combine_chunks()))
    columns["action"] = keys["action"].to_pylist()
    return pd.DataFrame(columns)

"""Tables of the target that others alter or drop while an import is at work: named, in place of what failed then."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from datatransfer.errors import MergeError, TargetChangedError

if TYPE_CHECKING:
    from datatransfer.database.writers import Writer
    from datatransfer.schema.tables import Table


def refuse_redefined(writer: Writer, tables: Iterable[Table]) -> None:
    """Refuse tables that are not defined any more as they were when an import looked at them.

    Raises
    ------
    TargetChangedError
        It names the first of them, and says whether it is gone.
    """
    now = writer.db.refresh(lock_timeout=writer.lock_seconds)
    for table in tables:
        if table.name not in now or now.table(table.name) != table:
            raise redefined_error(table, gone=table.name not in now)


def redefined_error(table: Table, *, gone: bool) -> TargetChangedError:
    """Return the error for a table that is another one, or none any more."""
    what = "gone, which was there" if gone else "defined in another way than"
    return TargetChangedError(
        f"the table is {what} when the import was planned", where=table.name, hint="nothing was changed; plan again"
    )


@contextmanager
def told_of_redefined(writer: Writer, tables: Iterable[Table]) -> Iterator[None]:
    """Look, where the database refuses a statement, whether others have altered or dropped what it works on.

    Raises
    ------
    TargetChangedError
        They have.
    """
    try:
        yield
    except MergeError:
        if not writer.lost:
            refuse_redefined(writer, tables)
        raise

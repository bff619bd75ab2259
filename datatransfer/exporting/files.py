"""The files that selected rows refer to: which, how large, and into the package."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from datatransfer.errors import FileStoreError
from datatransfer.schema.identity import canonical_key
from datatransfer.schema.values import untag

if TYPE_CHECKING:
    from datatransfer.database.filestores import FileStore
    from datatransfer.exporting.closure import Closure


@dataclass(frozen=True)
class Referenced:
    """One path in one column, and the canonical keys of the rows that hold it."""

    table: str
    column: str
    path: str
    keys: tuple[str, ...]
    problem: str = ""


def referenced(closure: Closure, table: str, column: str) -> Iterator[Referenced]:
    """Yield the distinct paths in a column of the selected rows, in the order of their text."""
    chosen = closure.chosen[table]
    own = chosen.table
    # The key may be the path itself, so each column is asked for once.
    names = tuple(dict.fromkeys((*own.key, column)))
    narrow = replace(own, columns=tuple(own.column(name) for name in names), foreign_keys=(), uniques=())
    source = closure.source(table)
    resolved = closure.db.dialect.resolve_types(closure.conn, narrow, source)
    tagged = {c.name for c in resolved.columns if c.type.kind == "any"}
    found: dict[str, list[str]] = {}
    for batch in closure.db.dialect.read(closure.conn, resolved, source):
        closure.check()
        values = {name: _plain(batch.column(name).to_pylist(), name in tagged) for name in names}
        keys = zip(*(values[name] for name in own.key), strict=True) if own.key else None
        for path in values[column]:
            key = canonical_key(next(keys)) if keys is not None else ""
            if path is not None and path not in ("", b""):  # applications write an empty text for "no file"
                found.setdefault(path if isinstance(path, str) else repr(path), []).append(key)
    for path in sorted(found):
        yield Referenced(table, column, path, tuple(found[path]))


def _plain(values: list[Any], tagged: bool) -> list[Any]:
    return [untag(value) for value in values] if tagged else values


def all_referenced(closure: Closure) -> Iterator[tuple[Referenced, FileStore]]:
    """Yield every path that selected rows hold, with its store, in the order of tables and columns."""
    for (table, column), store in sorted(closure.db.files.items(), key=lambda item: item[0]):
        if table in closure.chosen and column in closure.plan.carried.table(table).by_name:
            for one in referenced(closure, table, column):
                yield one, store


def size_of(store: FileStore, one: Referenced) -> tuple[int, str]:
    """Return a file's bytes and "", or 0 and why it cannot be read."""
    try:
        return store.size(one.path), ""
    except FileStoreError as error:
        return 0, error.message
    except OSError as error:
        return 0, error.strerror or type(error).__name__


def missing_error(missing: list[Referenced]) -> FileStoreError:
    """Return the error that names how many files are missing, and where."""
    first = missing[0]
    count = len(missing)
    return FileStoreError(
        f"{count:,} referenced file{' is' if count == 1 else 's are'} missing or unreadable: {first.problem}",
        where=f"{first.table}.{first.column}",
        hint='pass on_missing_file="skip" to record and leave them out; preview() lists them',
        evidence={"missing": count},
    )

"""Every error that this library raises on purpose, in one tree.

::

    DataTransferError
    ├── UsageError                 a call that cannot be carried out as it was made
    │   ├── UnknownTableError      a table that the database or package does not have
    │   ├── UnknownColumnError     a column that the table does not have
    │   ├── KeyValueError          a key of the wrong shape or type
    │   ├── AlreadyUndoneError     an import that was undone before
    │   └── ConditionError         a condition that the database does not accept
    ├── DatabaseError              the database does not answer, or refuses
    │   └── PrivilegeError         the role may not do what the transfer needs
    ├── SelectionError             the selection contradicts itself or the data
    │   └── OrphanError            rows whose parent does not exist
    ├── ValueLossError             a value that cannot be carried exactly
    ├── FileStoreError             a referenced file is missing, unreadable or outside its store
    ├── PackageError               not a package, not complete or not valid
    │   └── PackageExistsError     the destination is already there
    ├── SchemaMismatchError        package and target do not fit
    ├── ConflictError              the plan holds conflicts that nobody decided
    │   └── UndoConflictError      rows of an import were edited since, or others refer to them or hold their values
    ├── TargetChangedError         the target changed between plan and merge
    │   └── AlreadyImportedError   another process imported the same package meanwhile
    ├── MergeError                 the database refused the merge; all of it was rolled back
    └── Cancelled                  the caller asked to stop

An error says what happened (the message), where (``where``), and what to do (``hint``). It never holds the value of a
row or a password. This module knows nothing of databases and packages.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar


class DataTransferError(Exception):
    """Root of all errors of this library.

    Parameters
    ----------
    message : str
        What happened and why, in one sentence.
    where : str, optional
        The table, column, member or file it happened at.
    hint : str, optional
        What to do about it.
    evidence : mapping, optional
        Facts for programs: counts, names, key hashes; never row values.

    Attributes
    ----------
    code : str
        Stable name of the kind of error, listed in the README.
    exit_code : int
        What the command line exits with.
    retryable : bool
        Whether the same call may succeed later, unchanged.

    Examples
    --------
    >>> print(DataTransferError("the table is locked", where="orders", hint="try again"))
    orders: the table is locked (try again)
    """

    code: ClassVar[str] = "error"
    exit_code: ClassVar[int] = 70
    retryable: ClassVar[bool] = False

    def __init__(
        self, message: str, *, where: str = "", hint: str = "", evidence: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.hint = hint
        self.evidence = dict(evidence or {})

    def __str__(self) -> str:
        text = f"{self.where}: {self.message}" if self.where else self.message
        # of a message of several lines the hint is not a part of the last
        between = "\n" if "\n" in self.message else " "
        return f"{text}{between}({self.hint})" if self.hint else text

    def _repr_html_(self) -> str:
        from datatransfer.display.problems import error_html

        return error_html(self)

    def _render_traceback_(self) -> list[str]:
        """Tell IPython how to show the error when it ends a cell: briefly, with the usual traceback on request."""
        from datatransfer.display.problems import rendered

        return rendered(self)

    def to_dict(self) -> dict[str, Any]:
        """Return the error as plain data, for ``--json``."""
        return {
            "error": self.code,
            "message": self.message,
            "where": self.where,
            "hint": self.hint,
            "retryable": self.retryable,
            "evidence": self.evidence,
        }


class UsageError(DataTransferError):
    """A call that cannot be carried out as it was made."""

    code = "usage"
    exit_code = 2


class UnknownTableError(UsageError):
    """A table that the database or package does not have."""

    code = "unknown-table"


class UnknownColumnError(UsageError):
    """A column that the table does not have."""

    code = "unknown-column"


class KeyValueError(UsageError):
    """A key of the wrong shape or type."""

    code = "key-value"


class AlreadyUndoneError(UsageError):
    """An import that was undone before."""

    code = "already-undone"


class ConditionError(UsageError):
    """A condition that the database does not accept."""

    code = "condition"


class DatabaseError(DataTransferError):
    """The database does not answer, or refuses."""

    code = "database"
    exit_code = 3
    retryable = True


class PrivilegeError(DatabaseError):
    """The role may not do what the transfer needs."""

    code = "privilege"
    retryable = False


class SelectionError(DataTransferError):
    """The selection contradicts itself or the data."""

    code = "selection"
    exit_code = 4


class OrphanError(SelectionError):
    """Rows whose parent does not exist."""

    code = "orphan"


class ValueLossError(DataTransferError):
    """A value that cannot be carried exactly."""

    code = "value-loss"
    exit_code = 4


class FileStoreError(DataTransferError):
    """A referenced file is missing, unreadable or outside its store."""

    code = "file-store"
    exit_code = 4


class PackageError(DataTransferError):
    """Not a package, not complete or not valid."""

    code = "package"
    exit_code = 5


class PackageExistsError(PackageError):
    """The destination is already there."""

    code = "package-exists"


class SchemaMismatchError(DataTransferError):
    """Package and target do not fit."""

    code = "schema-mismatch"
    exit_code = 6


class ConflictError(DataTransferError):
    """The plan holds conflicts that nobody decided."""

    code = "conflict"
    exit_code = 7


class UndoConflictError(ConflictError):
    """Rows of an import were edited since, or others refer to them or hold their values."""

    code = "undo-conflict"


class TargetChangedError(DataTransferError):
    """The target changed between plan and merge."""

    code = "target-changed"
    exit_code = 7
    retryable = True


class AlreadyImportedError(TargetChangedError):
    """Another process imported the same package meanwhile."""

    code = "already-imported"
    retryable = False


class MergeError(DataTransferError):
    """The database refused the merge; all of it was rolled back."""

    code = "merge"
    exit_code = 8


class Cancelled(DataTransferError):
    """The caller asked to stop; nothing was left behind."""

    code = "cancelled"
    exit_code = 130
    retryable = True


@contextmanager
def clearing_up(after: BaseException | None) -> Iterator[None]:
    """Clear up on the way of an error: what fails then becomes a note of that error, and does not take its place.

    Parameters
    ----------
    after : BaseException or None
        The error; with None, what fails is raised.

    Examples
    --------
    >>> first = DatabaseError("the connection was lost")
    >>> with clearing_up(first):
    ...     raise OSError(5, "Input/output error", "stage.sqlite")
    >>> first.__notes__
    ["clearing up failed, too: [Errno 5] Input/output error: 'stage.sqlite'"]
    """
    try:
        yield
    except (DataTransferError, OSError) as second:
        if after is None:
            raise
        after.add_note(f"clearing up failed, too: {second}")


def all_errors() -> list[type[DataTransferError]]:
    """Return the tree, root first, children in the order they are defined."""
    found: list[type[DataTransferError]] = []

    def visit(kind: type[DataTransferError]) -> None:
        found.append(kind)
        for child in kind.__subclasses__():
            visit(child)

    visit(DataTransferError)
    return found

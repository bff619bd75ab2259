"""What an import goes between, a package that was opened and a database, and the numbers that it is told."""

from __future__ import annotations

from datatransfer.database.connection import Database, checked
from datatransfer.database.writers.session import LOCK_SECONDS
from datatransfer.errors import UsageError
from datatransfer.given import instance
from datatransfer.importing.staging import PART_ROWS
from datatransfer.package.package import DataPackage


def check_sides(package: object, target: object) -> None:
    """Refuse what is neither, or the other way round.

    Raises
    ------
    UsageError
    """
    if isinstance(package, Database) and isinstance(target, DataPackage):
        raise UsageError("package and target are the other way round", hint="write PackageImporter(package, target)")
    instance(package, DataPackage, "package", hint="open it first: dt.DataPackage.open(path)")
    checked(target, "target")


def check_numbers(lock_timeout: object, checkpoint_rows: object) -> None:
    """Refuse what is no number of seconds, or no number of rows.

    Raises
    ------
    UsageError
    """
    check_seconds(lock_timeout)
    if not isinstance(checkpoint_rows, int) or checkpoint_rows < 1:
        raise UsageError("checkpoint_rows is a number of rows, 1 or more", hint=f"{PART_ROWS} is the default")


def check_seconds(lock_timeout: object) -> None:
    """Refuse what is no number of seconds.

    Raises
    ------
    UsageError
    """
    if not isinstance(lock_timeout, int | float) or not 0 < lock_timeout <= 1e6:
        raise UsageError("lock_timeout is a positive number of seconds", hint=f"{LOCK_SECONDS:g} is the default")

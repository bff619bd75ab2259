"""The sample as a package of one user and as a target without rows."""

from __future__ import annotations

from pathlib import Path

import datatransfer as dt
from datatransfer.sample import create_schema


def one_user(source: dt.Database, folder: Path) -> dt.DataPackage:
    """Return a package of one user of the sample and what belongs to them."""
    return dt.PackageBuilder(source).add("users", where="id = 1").build(folder / "one.zip", progress=False)


def empty_sample(folder: Path) -> dt.Database:
    """Return a database with the tables of the sample, and no rows."""
    create_schema(f"sqlite:///{folder / 'target.db'}")
    return dt.Database(f"sqlite:///{folder / 'target.db'}")

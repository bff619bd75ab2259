"""Take a coherent part of a database into one package, and bring it into another database.

This module is the public surface: every name that others may rely on, and nothing else. The names are loaded when they
are first used, so that ``import datatransfer`` stays fast and pulls in neither pandas nor pyarrow nor SQLAlchemy.

Examples
--------
>>> import datatransfer as dt
>>> dt.FolderStore.__name__
'FolderStore'
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datatransfer.background.job import Job
    from datatransfer.background.journal import jobs
    from datatransfer.database.connection import Database
    from datatransfer.database.filestores import FileStore, FolderStore, MemoryStore
    from datatransfer.database.models import EntityMixin
    from datatransfer.database.tracking import add_entity_uuids, drop_entity_uuids, track, untrack
    from datatransfer.errors import (
        AlreadyImportedError,
        AlreadyUndoneError,
        Cancelled,
        ConditionError,
        ConflictError,
        DatabaseError,
        DataTransferError,
        FileStoreError,
        KeyValueError,
        MergeError,
        OrphanError,
        PackageError,
        PackageExistsError,
        PrivilegeError,
        SchemaMismatchError,
        SelectionError,
        TargetChangedError,
        UndoConflictError,
        UnknownColumnError,
        UnknownTableError,
        UsageError,
        ValueLossError,
    )
    from datatransfer.events import Cancellation, Progress, Warned
    from datatransfer.exporting.builder import PackageBuilder
    from datatransfer.importing.actions import Newest
    from datatransfer.importing.importer import PackageImporter
    from datatransfer.importing.listing import receipts
    from datatransfer.importing.mapping import Mapping
    from datatransfer.importing.receipts import receipt
    from datatransfer.importing.stages import drop_stage, stages
    from datatransfer.notebook.export_form import ExportForm
    from datatransfer.notebook.import_form import ImportForm
    from datatransfer.package.package import DataPackage
    from datatransfer.progress import Throughput
    from datatransfer.schema.graph import DependencyGraph

__version__ = "0.1.0"

__all__ = [
    "AlreadyImportedError",
    "AlreadyUndoneError",
    "Cancellation",
    "Cancelled",
    "ConditionError",
    "ConflictError",
    "DataPackage",
    "DataTransferError",
    "Database",
    "DatabaseError",
    "DependencyGraph",
    "EntityMixin",
    "ExportForm",
    "FileStore",
    "FileStoreError",
    "FolderStore",
    "ImportForm",
    "Job",
    "KeyValueError",
    "Mapping",
    "MemoryStore",
    "MergeError",
    "Newest",
    "OrphanError",
    "PackageBuilder",
    "PackageError",
    "PackageExistsError",
    "PackageImporter",
    "PrivilegeError",
    "Progress",
    "SchemaMismatchError",
    "SelectionError",
    "TargetChangedError",
    "Throughput",
    "UndoConflictError",
    "UnknownColumnError",
    "UnknownTableError",
    "UsageError",
    "ValueLossError",
    "Warned",
    "__version__",
    "add_entity_uuids",
    "drop_entity_uuids",
    "drop_stage",
    "jobs",
    "receipt",
    "receipts",
    "stages",
    "track",
    "untrack",
]

_ROOMS = {
    "datatransfer.database.connection": ("Database",),
    "datatransfer.database.filestores": ("FileStore", "FolderStore", "MemoryStore"),
    "datatransfer.database.models": ("EntityMixin",),
    "datatransfer.database.tracking": ("add_entity_uuids", "drop_entity_uuids", "track", "untrack"),
    "datatransfer.events": ("Cancellation", "Progress", "Warned"),
    "datatransfer.exporting.builder": ("PackageBuilder",),
    "datatransfer.importing.actions": ("Newest",),
    "datatransfer.importing.importer": ("PackageImporter",),
    "datatransfer.importing.mapping": ("Mapping",),
    "datatransfer.importing.listing": ("receipts",),
    "datatransfer.importing.receipts": ("receipt",),
    "datatransfer.importing.stages": ("drop_stage", "stages"),
    "datatransfer.background.job": ("Job",),
    "datatransfer.background.journal": ("jobs",),
    "datatransfer.notebook.export_form": ("ExportForm",),
    "datatransfer.notebook.import_form": ("ImportForm",),
    "datatransfer.package.package": ("DataPackage",),
    "datatransfer.progress": ("Throughput",),
    "datatransfer.schema.graph": ("DependencyGraph",),
}
_HOME = {name: room for room, names in _ROOMS.items() for name in names}


def __getattr__(name: str) -> Any:
    """Load a public name from its room when it is first used."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOME.get(name, "datatransfer.errors")), name)
    globals()[name] = value
    return value


def load_ipython_extension(shell: Any) -> None:
    """Give a notebook the magic ``%datatransfer``; called by ``%load_ext datatransfer``."""
    import_module("datatransfer.notebook.magics").load(shell)


def __dir__() -> list[str]:
    return list(__all__)

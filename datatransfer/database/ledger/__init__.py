"""What we remember in a target database: its origin, its imports, and what each import did.

Every function works on a SQLAlchemy connection inside the caller's transaction, so that the record of a change commits
or vanishes with the change. It knows no package and decides nothing: states, actions and maps are the importing room's.
"""

from __future__ import annotations

from datatransfer.database.ledger.files import (
    ImportedFile,
    add_file,
    forget_left,
    imported_files,
    left_paths,
    move_files,
    other_paths,
)
from datatransfer.database.ledger.images import (
    add_after_image,
    add_before_image,
    add_key_map,
    after_images,
    before_images,
    key_maps,
)
from datatransfer.database.ledger.imports import (
    ImportRecord,
    State,
    add_checkpoint,
    add_warnings,
    checkpoints,
    last_seq,
    list_imports,
    read_import,
    set_state,
    start_import,
)
from datatransfer.database.ledger.tables import (
    LEDGER_REVISION,
    create_ledger,
    ensure_origin,
    has_ledger,
    now,
    read_origin,
    stamp,
)

__all__ = [
    "LEDGER_REVISION",
    "ImportRecord",
    "ImportedFile",
    "State",
    "add_after_image",
    "add_before_image",
    "add_checkpoint",
    "add_file",
    "add_key_map",
    "add_warnings",
    "after_images",
    "before_images",
    "checkpoints",
    "create_ledger",
    "ensure_origin",
    "forget_left",
    "has_ledger",
    "imported_files",
    "key_maps",
    "last_seq",
    "left_paths",
    "list_imports",
    "move_files",
    "now",
    "other_paths",
    "read_import",
    "read_origin",
    "set_state",
    "stamp",
    "start_import",
]

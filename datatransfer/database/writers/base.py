"""How rows are laid beside a target and brought into it, on any database that SQLAlchemy reaches.

`Writer` is complete on plain SQL; a dialect overrides only what differs or is faster. It knows tables and SQL, nothing
of packages and policies. Each of its parts is a module of its own: `session`, `staging`, `expressions`, `merging` and
`hashes`.
"""

from __future__ import annotations

from datatransfer.database.writers.hashes import RowHashes
from datatransfer.database.writers.merging import MergeStatements
from datatransfer.database.writers.staging import StagingTables


class Writer(StagingTables, MergeStatements, RowHashes):
    """Write access to one target for one import, by one connection.

    Parameters
    ----------
    db : Database
        The target.
    import_id : uuid.UUID
        Names the staging tables.
    """

"""PackageBuilder: from roots and rules to a package, in one snapshot."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from datatransfer.display import shown
from datatransfer.errors import UsageError
from datatransfer.events import Cancellation, Listener
from datatransfer.exporting.build import Build, Encoding, OnMissingFile, Options
from datatransfer.exporting.closure import closed
from datatransfer.exporting.conditions import Condition
from datatransfer.exporting.keys import check_keys, check_uuids
from datatransfer.exporting.looks import builder_html
from datatransfer.exporting.orphans import OnOrphan
from datatransfer.exporting.plan import Direction, Plan, Root, Rule, Rules
from datatransfer.exporting.preview import Selection, preview
from datatransfer.progress import default_listener

if TYPE_CHECKING:
    from datatransfer.database.connection import Database
    from datatransfer.package.package import DataPackage


class PackageBuilder:
    """Collects what to take out of a database, shows it, and writes it into a package.

    Parameters
    ----------
    db : Database
    listener : callable, optional
        Takes progress events and warnings; bars in a terminal or notebook if not given.
    cancellation : Cancellation, optional
        Asked between batches.

    Examples
    --------
    >>> import sqlalchemy as sa
    >>> from datatransfer.database.connection import Database
    >>> db = Database("sqlite://")
    >>> with db.engine.begin() as conn:
    ...     _ = conn.execute(sa.text("CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT)"))
    ...     _ = conn.execute(sa.text("INSERT INTO users VALUES (1, 'Ann'), (2, 'Bob')"))
    >>> PackageBuilder(db).add("users", where="name = :name", params={"name": "Ann"}).preview().total
    1
    >>> db.close()
    """

    def __init__(
        self, db: Database, *, listener: Listener | None = None, cancellation: Cancellation | None = None
    ) -> None:
        self.db = db
        self.cancellation = cancellation or Cancellation()
        self._listener = listener
        self._roots: list[Root] = []
        self._rules = Rules()

    @property
    def roots(self) -> tuple[Root, ...]:
        """What was asked for so far."""
        return tuple(self._roots)

    @shown.as_text
    def __repr__(self) -> str:
        return f"PackageBuilder({self.db.url_shown!r}, {len(self._roots)} roots)"

    @shown.as_html
    def _repr_html_(self) -> str:
        return builder_html(self)

    # --- what to take -----------------------------------------------------------------------------------------------

    def add(
        self,
        table: str,
        *,
        where: Condition | None = None,
        params: Mapping[str, Any] | None = None,
        keys: Any = None,
        uuids: Iterable[uuid.UUID | str] | None = None,
    ) -> PackageBuilder:
        """Ask for rows of a table, with everything that belongs to them; without more, for all of its rows.

        Parameters
        ----------
        table : str
        where : str or SQLAlchemy expression, optional
            A condition in the database's own SQL, with ``:names`` for values; or an expression over its columns.
        params : mapping, optional
            The values of those names.
        keys : list, tuple, DataFrame or Arrow table, optional
            Values of the key; tuples where it has several columns; of a frame the columns named like the key.
        uuids : iterable of UUID or str, optional

        Returns
        -------
        PackageBuilder
            Itself, so that calls can be chained.

        Raises
        ------
        UnknownTableError, KeyValueError, UsageError
        """
        found = self.db.schema.table(table)
        given = [name for name, value in (("where", where), ("keys", keys), ("uuids", uuids)) if value is not None]
        if len(given) > 1:
            raise UsageError(f"{' and '.join(given)} exclude each other", where=table, hint="call add() once for each")
        if params and where is None:
            raise UsageError("params= goes with where=", where=table)
        if isinstance(keys, list | Iterator):  # what the caller does with them later is no business of ours
            keys = list(keys)
        if where is not None:
            root = Root(table, "where", where=where, params=dict(params or {}))
        elif keys is not None:
            check_keys(replace(found), keys)
            root = Root(table, "keys", keys=keys)
        elif uuids is not None:
            root = Root(table, "uuids", uuids=tuple(check_uuids(uuids)))
        else:
            root = Root(table, "all")
        self._roots.append(root)
        return self

    def add_all(self) -> PackageBuilder:
        """Ask for the whole database."""
        self._roots.extend(Root(name, "all") for name in self.db.schema.tables)
        return self

    def follow(
        self,
        foreign_key: str,
        *,
        direction: Direction = "both",
        where: str | None = None,
        params: Mapping[str, Any] | None = None,
        otherwise: Literal["stop", "null"] = "stop",
    ) -> PackageBuilder:
        """Follow a foreign key, which is the default; with a condition, only where that holds.

        Parameters
        ----------
        foreign_key : str
            ``"items.order_id"``.
        direction : {"both", "up", "down"}
            Up: from a row to what it refers to. Down: from a row to what refers to it.
        where : str, optional
            A condition in SQL; the two rows are called ``child`` and ``parent``.
        params : mapping, optional
        otherwise : {"stop", "null"}
            Upward, where the condition does not hold: keep the value, or set it to NULL.
        """
        if otherwise not in ("stop", "null"):
            raise UsageError(f"otherwise= takes no {otherwise!r}", hint='use "stop" or "null"')
        return self._rule(foreign_key, direction, Rule("follow", where, dict(params or {}), otherwise))

    def stop(self, foreign_key: str, *, direction: Direction = "both") -> PackageBuilder:
        """Do not follow a foreign key; upward its value is kept and refers to a row outside the package."""
        return self._rule(foreign_key, direction, Rule("stop"))

    def null(self, foreign_key: str, *, direction: Direction = "up") -> PackageBuilder:
        """Do not follow a foreign key upward, and set it to NULL where its parent is not in the package."""
        return self._rule(foreign_key, direction, Rule("null"))

    def _rule(self, foreign_key: str, direction: Direction, rule: Rule) -> PackageBuilder:
        self._rules.set(self.db.schema.foreign_key(foreign_key), direction, rule)
        return self

    # --- what comes of it -------------------------------------------------------------------------------------------

    def preview(self) -> Selection:
        """Count what a build would carry; nothing is written, neither to the database nor to a file.

        Raises
        ------
        SelectionError
            Nothing was asked for, or a rule leaves out a parent that a row needs.
        ConditionError
            The database does not accept a condition.
        """
        return preview(self.db, self._plan(), self.cancellation.check)

    def build(
        self,
        path: str | Path,
        *,
        progress: Listener | bool | None = None,
        overwrite: bool = False,
        encoding: Encoding = "auto",
        package_id: uuid.UUID | str | None = None,
        created: dt.datetime | None = None,
        on_orphan: OnOrphan = "error",
        on_missing_file: OnMissingFile = "error",
        description: str = "",
    ) -> DataPackage:
        """Write the package.

        Parameters
        ----------
        path : str or Path
            Of the new file.
        progress : callable or bool, optional
            A listener for this build; False for silence; by default the builder's own.
        overwrite : bool
            Whether a file at `path` may be replaced, when the new one is complete.
        encoding : {"auto", "documents", "columns"}
            How rows are stored; ``auto``: documents up to 1,000 rows.
        package_id, created
            Fixed by callers who want the same bytes again.
        on_orphan : {"error", "keep", "null"}
            What to do with references to rows that do not exist.
        on_missing_file : {"error", "skip"}
            ``skip`` records the file as missing.
        description : str
            For people; stored in the metadata.

        Returns
        -------
        DataPackage

        Raises
        ------
        PackageExistsError, SelectionError, OrphanError, FileStoreError, ValueLossError, DatabaseError, Cancelled
            No file is left behind.
        """
        options = Options(
            path=Path(path),
            overwrite=overwrite,
            encoding=_word("encoding", encoding, get_args(Encoding)),
            on_orphan=_word("on_orphan", on_orphan, get_args(OnOrphan)),
            on_missing_file=_word("on_missing_file", on_missing_file, get_args(OnMissingFile)),
            package_id=uuid.uuid4() if package_id is None else uuid.UUID(str(package_id)),
            created=created or dt.datetime.now(dt.UTC),
            description=description,
        )
        _check_destination(options)
        listener = self._listener_for(progress)
        plan = self._plan()
        try:
            # Read before the snapshot: an in-memory database has one connection only.
            revision = self.db.revision()
            with closed(self.db, plan, self.cancellation.check) as closure:
                Build(closure, options, listener, self.cancellation).run(revision)
        finally:
            close = getattr(listener, "close", None)
            if close is not None and listener is not self._listener:
                close()
        from datatransfer.package.package import DataPackage

        return DataPackage.open(options.path)

    def _plan(self) -> Plan:
        plan = Plan(tuple(self._roots), self._rules.copy(), self.db.schema)
        plan.check()
        return plan

    def _listener_for(self, progress: Listener | bool | None) -> Listener:
        from datatransfer.events import silent

        if progress is False:
            return silent
        if progress is None or progress is True:
            return self._listener or default_listener()
        return progress


def _word(name: str, value: Any, known: tuple[str, ...]) -> Any:
    if value not in known:
        raise UsageError(f"{name}= takes no {value!r}", hint=f"use {', '.join(map(repr, known))}")
    return value


def _check_destination(options: Options) -> None:
    """Refuse before any work what the writer would refuse after it."""
    from datatransfer.package.placing import refuse_existing

    if not options.path.name:
        raise UsageError("a package needs a name of its own", where=str(options.path), hint='such as "part.zip"')
    refuse_existing(options.path, overwrite=options.overwrite)
    if not options.path.absolute().parent.is_dir():
        raise UsageError("the folder does not exist", where=str(options.path.parent), hint="make it first")

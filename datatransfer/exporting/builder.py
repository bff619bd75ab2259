"""PackageBuilder: from roots and rules to a package, in one snapshot."""

from __future__ import annotations

import copy
import datetime as dt
import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict, Unpack, get_args

from datatransfer import interrupts
from datatransfer.database.connection import checked
from datatransfer.database.ownplaces import refuse_own_places
from datatransfer.display import shown
from datatransfer.display.plain import counted
from datatransfer.errors import UsageError
from datatransfer.events import Cancellation, Listener
from datatransfer.exporting.build import Build, Encoding, OnMissingFile, Options
from datatransfer.exporting.closure import closed
from datatransfer.exporting.conditions import Condition, check_condition
from datatransfer.exporting.keys import check_keys, check_uuids
from datatransfer.exporting.leaving import Columns, check, with_columns
from datatransfer.exporting.looks import builder_html
from datatransfer.exporting.orphans import OnOrphan
from datatransfer.exporting.plan import Direction, Plan, Root, Rule, Rules
from datatransfer.exporting.preview import Selection, preview
from datatransfer.failpoints import refuse_unknown
from datatransfer.given import instance, path_of, suggestion, uuid_of
from datatransfer.progress import checked_listener, default_listener

if TYPE_CHECKING:
    from datatransfer.background import Job
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
        Asked between batches, and in the midst of statements and files.

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
        self.db = checked(db)
        self.cancellation = cancellation or Cancellation()
        self._listener = checked_listener(listener)
        self._roots: list[Root] = []
        self._rules = Rules()
        self._left_out: Columns = {}

    @property
    def roots(self) -> tuple[Root, ...]:
        """What was asked for so far."""
        return tuple(self._roots)

    @shown.as_text
    def __repr__(self) -> str:
        return f"PackageBuilder({self.db.url_shown!r}, {counted(len(self._roots), 'root')})"

    @shown.as_html
    def _repr_html_(self) -> str:
        return builder_html(self, self._rules, self._left_out)

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
            hint = 'write where="id = :id", params={"id": 5}'
            raise UsageError("params= goes with where=", where=table, hint=hint)
        if where is not None:
            check_condition(found, where, params)
            root = Root(table, "where", where=where, params=dict(params or {}))
        elif keys is not None:
            # taken now: what the caller does with them later is no business of ours
            root = Root(table, "keys", keys=tuple(check_keys(found, keys)))
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
        if where is not None:
            instance(where, str, "where", hint="write a condition in SQL, with child and parent for the two rows")
        values = instance(params or {}, Mapping, "params", hint='give {"name": value}')  # type: ignore[type-abstract]
        return self._rule(foreign_key, direction, Rule("follow", where, dict(values), otherwise))

    def stop(self, foreign_key: str, *, direction: Direction = "both") -> PackageBuilder:
        """Do not follow a foreign key; upward its value is kept and refers to a row outside the package."""
        return self._rule(foreign_key, direction, Rule("stop"))

    def null(self, foreign_key: str, *, direction: Direction = "up") -> PackageBuilder:
        """Do not follow a foreign key upward, and set it to NULL where its parent is not in the package."""
        return self._rule(foreign_key, direction, Rule("null"))

    def leave_out(self, *columns: str) -> PackageBuilder:
        """Do not carry some columns: the package has neither them nor a foreign or unique key that uses them.

        That changes no row of the selection: conditions may use the columns, and foreign keys are followed by them as
        ever. To leave out the parents that only such a foreign key leads to, stop it upward; that is possible although
        every row of the source needs one. `DataPackage.why` cannot tell of rows that only such a foreign key leads to.
        Files whose paths stand in a column that is left out stay behind with it.

        Parameters
        ----------
        *columns : str
            ``"users.password"``.

        Raises
        ------
        UnknownTableError, UnknownColumnError
        UsageError
            The column belongs to a table's key or is its ``entity_uuid``, without which rows cannot be matched; or it
            is the last one.

        Examples
        --------
        ``builder.add_all().leave_out("users.password", "users.token")``
        """
        self._left_out = with_columns(self.db.schema, self._left_out, columns)
        return self

    def _rule(self, foreign_key: str, direction: Direction, rule: Rule) -> PackageBuilder:
        self._rules.set(self.db.schema.foreign_key(foreign_key), direction, rule)
        return self

    # --- what comes of it -------------------------------------------------------------------------------------------

    @interrupts.held()
    def preview(self) -> Selection:
        """Count what a build would carry; nothing is written, neither to the database nor to a file.

        Raises
        ------
        SelectionError
            Nothing was asked for, or a rule leaves out a parent that a row needs.
        ConditionError
            The database does not accept a condition.
        """
        return preview(self.db, self._plan(), self.cancellation)

    @interrupts.held()
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
            Whether a package at `path` may be replaced, when the new one is complete; anything else never is.
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
        options = _options(
            path, overwrite=overwrite, encoding=encoding, package_id=package_id, created=created, on_orphan=on_orphan,
            on_missing_file=on_missing_file, description=description,
        )  # fmt: skip
        return self._build(options, progress)

    def start(
        self, path: str | Path, *, progress: Listener | None = None, **options: Unpack[BuildOptions]
    ) -> Job[DataPackage]:
        """Write the package in a worker thread, and return at once.

        Parameters
        ----------
        path : str or Path
            Of the new file.
        progress : callable, optional
            A listener, called in that thread; `Job.progress` tells the same.
        **options
            As for `build`.

        Returns
        -------
        Job
            Its result is the package. Roots and rules that are added here later do not matter to it.

        Raises
        ------
        UsageError
            The database is in memory, or an option is wrong. All else comes from `Job.result`.
        PackageExistsError
        """
        from datatransfer.background import start

        self.db.check_threads()
        checked = _options(path, **options)
        _check_destination(self.db, checked)
        self._plan()
        own = copy.copy(self)
        own._roots, own._rules = list(self._roots), self._rules.copy()

        def work(listener: Listener, cancellation: Cancellation) -> DataPackage:
            own.cancellation = cancellation
            return own._build(checked, listener)

        what = f"{self.db.url_shown} to {checked.path}"
        facts = {"database": self.db.url_shown, "package": str(checked.path.absolute())}
        return start("export", what, work, facts=facts, listener=progress)

    def _build(self, options: Options, progress: Listener | bool | None) -> DataPackage:
        _check_destination(self.db, options)
        listener = self._listener_for(progress)
        plan = self._plan()
        try:
            # Read before the snapshot: an in-memory database has one connection only.
            revision = self.db.revision()
            with closed(self.db, plan, self.cancellation) as closure:
                Build(closure, options, listener, self.cancellation).run(revision)
        finally:
            close = getattr(listener, "close", None)
            if close is not None and listener is not self._listener:
                close()
        from datatransfer.package.package import DataPackage

        return DataPackage.open(options.path)

    def _plan(self) -> Plan:
        plan = Plan(tuple(self._roots), self._rules.copy(), self.db.schema, self._left_out)
        plan.check()
        check(plan.schema, plan.left_out)  # it may have been read again, and be another one
        return plan

    def _listener_for(self, progress: Listener | bool | None) -> Listener:
        from datatransfer.events import silent

        if progress is False:
            return silent
        if progress is None or progress is True:
            return self._listener or default_listener()
        return checked_listener(progress) or default_listener()


class BuildOptions(TypedDict, total=False):
    """The keyword arguments of `PackageBuilder.build` that say how the package is written."""

    overwrite: bool
    encoding: Encoding
    package_id: uuid.UUID | str | None
    created: dt.datetime | None
    on_orphan: OnOrphan
    on_missing_file: OnMissingFile
    description: str


def _options(path: str | Path, **given: Unpack[BuildOptions]) -> Options:
    refuse_unknown()
    for name in sorted(set(given) - set(BuildOptions.__annotations__)):
        raise UsageError(f"there is no option {name!r}", hint=suggestion(name, sorted(BuildOptions.__annotations__)))
    package_id, created = given.get("package_id"), given.get("created")
    return Options(
        path=path_of(path, "path"),
        overwrite=given.get("overwrite", False),
        encoding=_word("encoding", given.get("encoding", "auto"), get_args(Encoding)),
        on_orphan=_word("on_orphan", given.get("on_orphan", "error"), get_args(OnOrphan)),
        on_missing_file=_word("on_missing_file", given.get("on_missing_file", "error"), get_args(OnMissingFile)),
        package_id=uuid.uuid4() if package_id is None else uuid_of(package_id, "package_id"),
        created=dt.datetime.now(dt.UTC) if created is None else instance(created, dt.datetime, "created"),
        description=instance(given.get("description", ""), str, "description"),
    )


def _word(name: str, value: Any, known: tuple[str, ...]) -> Any:
    if value not in known:
        raise UsageError(f"{name}= takes no {value!r}", hint=f"use {', '.join(map(repr, known))}")
    return value


def _check_destination(db: Database, options: Options) -> None:
    """Refuse before any work what the writer would refuse after it, and what it could not know: the source's places."""
    from datatransfer.package.placing import refuse_existing

    if not options.path.name:
        raise UsageError("a package needs a name of its own", where=str(options.path), hint='such as "part.zip"')
    refuse_own_places(db, options.path)
    refuse_existing(options.path, overwrite=options.overwrite)
    if not options.path.absolute().parent.is_dir():
        raise UsageError("the folder does not exist", where=str(options.path.parent), hint="make it first")

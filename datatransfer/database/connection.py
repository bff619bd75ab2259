"""`Database`: an engine, its reflected schema, its dialect and the stores of the files that its rows refer to.

Knows nothing of packages.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy.pool import SingletonThreadPool, StaticPool

from datatransfer.database.dialects import Dialect, dialect_for
from datatransfer.database.dialects.failures import database_errors, shown_url
from datatransfer.database.engines import make_engine
from datatransfer.database.filestores import FileStore
from datatransfer.database.sqlitefiles import is_missing, refuse_missing, sqlite_path
from datatransfer.display import blocks, shown
from datatransfer.errors import UsageError
from datatransfer.given import instance, kind_of, suggestion, uuid_of
from datatransfer.schema.tables import ForeignKey, Schema, Table

if TYPE_CHECKING:
    import pandas as pd

    from datatransfer.database.rows import DatabaseRows
    from datatransfer.schema.graph import DependencyGraph

_ORIGIN_TABLE = "datatransfer_origin"
_SYSTEM_SCHEMAS = {"information_schema", "pg_catalog", "pg_toast", "mysql", "performance_schema", "sys"}
_DEFAULT_PORTS = {"postgresql": 5432, "mysql": 3306, "mariadb": 3306}


class Database:
    """A relational database that rows are taken from or brought into.

    Parameters
    ----------
    url_or_engine : str, sqlalchemy.URL or sqlalchemy.Engine
        As SQLAlchemy takes it. An engine of the caller's stays the caller's to dispose of.
    schema : str, optional
        The database schema whose tables have bare names; the connection's default one if not given.
    files : mapping of str to FileStore, optional
        Which columns hold paths of files, and where those lie: ``{"attachments.path": FolderStore("uploads")}``.
    origin : uuid.UUID or str, optional
        Which database this is, in the identities of its rows. Without it, the one recorded in the database, else one
        derived from dialect, host, port and database name.

    Raises
    ------
    UsageError
        The URL cannot be read, or names a dialect or driver that is not installed.
    UnknownTableError, UnknownColumnError
        ``files`` names a column that the database does not have.

    Examples
    --------
    >>> import sqlalchemy as sa
    >>> db = Database("sqlite://")
    >>> with db.engine.begin() as conn:
    ...     _ = conn.execute(sa.text("CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT)"))
    >>> db.schema.table("users").key
    ('id',)
    >>> db.close()
    """

    def __init__(
        self,
        url_or_engine: str | sa.URL | sa.Engine,
        *,
        schema: str | None = None,
        files: Mapping[str, FileStore] | None = None,
        origin: uuid.UUID | str | None = None,
    ) -> None:
        self._owns_engine = not isinstance(url_or_engine, sa.Engine)
        self.engine = url_or_engine if isinstance(url_or_engine, sa.Engine) else make_engine(url_or_engine)
        space = schema if schema is None else instance(schema, str, "schema")
        self.dialect: Dialect = dialect_for(self.engine, space)
        self._asked = {"schema": schema, "origin": origin}
        hint = "give a uuid.UUID, or nothing to derive one"
        self._given_origin = None if origin is None else uuid_of(origin, "origin", hint=hint)
        self._random_origin = uuid.uuid4()
        self._schema: Schema | None = None
        self._relations: list[ForeignKey] = []
        self.files: Mapping[tuple[str, str], FileStore] = self._checked_files(files or {})

    @shown.as_text
    def __repr__(self) -> str:
        return f"Database({self.url_shown!r})"

    @shown.as_html
    def _repr_html_(self) -> str:
        """Show what is known already: nothing is asked, so a schema that was not read yet is none."""
        stores = [f"{table}.{column}: {store!r}" for (table, column), store in self.files.items()]
        facts = blocks.facts([
            ("url", self.url_shown), ("dialect", self.dialect.name), ("schema", self.dialect.schema or ""),
            ("origin", self._given_origin or ""), ("files", "; ".join(stores)),
        ])  # fmt: skip
        if self._schema is None:
            return blocks.block("Database", facts, blocks.note("quiet", "not read yet: db.tables, db.graph"))
        rows = [
            (t.name, len(t.columns), ", ".join(t.key) or "none", blocks.names([fk.parent for fk in t.foreign_keys], 6))
            for t in self._schema
        ]
        listed = blocks.table(("table", "columns", "key", "refers to"), rows, nothing="it has no tables")
        return blocks.block("Database", facts, listed, blocks.note("quiet", "rows are counted by db.tables"))

    def __enter__(self) -> Database:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections, if the engine was made here."""
        if self._owns_engine:
            self.engine.dispose()

    @property
    def url_shown(self) -> str:
        """The URL with ``***`` in place of every password."""
        return shown_url(self.engine.url)

    @property
    def code(self) -> str:
        """The call that opens this database again, without passwords.

        Examples
        --------
        >>> Database("sqlite://", origin="00000000-0000-4000-8000-000000000001").code
        "dt.Database('sqlite://', origin='00000000-0000-4000-8000-000000000001')"
        """
        parts = [repr(self.url_shown)]
        parts += [f"{name}={str(value)!r}" for name, value in self._asked.items() if value is not None]
        if self.files:
            stores = ", ".join(f"'{table}.{column}': dt.{store!r}" for (table, column), store in self.files.items())
            parts.append(f"files={{{stores}}}")
        return f"dt.Database({', '.join(parts)})"

    def check_threads(self) -> None:
        """Refuse work in another thread where that would not see this database.

        Raises
        ------
        UsageError
            It is an SQLite database in memory, which belongs to one connection.
        """
        if isinstance(self.engine.pool, StaticPool | SingletonThreadPool):
            raise UsageError(
                "a database in memory cannot be used from another thread", where=self.url_shown,
                hint="use the call that waits, or keep the database in a file",
            )  # fmt: skip

    def connect(self) -> sa.Connection:
        """Return a new connection to a database that is there; one that is not is never made by looking at it.

        Raises
        ------
        DatabaseError
            There is no such file, or the database does not answer.
        """
        refuse_missing(self.engine.url)
        with database_errors(self.engine, "connecting"):
            return self.engine.connect()

    # --- schema -------------------------------------------------------------------------------------------------

    @property
    def schema(self) -> Schema:
        """All tables with their keys and relations, read once; see `refresh`."""
        return self.refresh() if self._schema is None else self._schema

    def refresh(self, *, lock_timeout: float | None = None) -> Schema:
        """Read the schema again, after tables were created or changed.

        Parameters
        ----------
        lock_timeout : float, optional
            Seconds to wait for who changes a table just now (PostgreSQL; others do not wait), without end if not given.

        Raises
        ------
        DatabaseError
            The database does not answer, or not in that time.
        """
        self._schema = None
        self._schema = self._with_relations(self._reflect(lock_timeout))
        return self._schema

    def read_schema(self, lock_timeout: float) -> Schema:
        """Return the schema; a first look waits no longer than this for who changes a table just now."""
        return self.refresh(lock_timeout=lock_timeout) if self._schema is None else self._schema

    def _reflect(self, lock_timeout: float | None = None) -> Schema:
        with database_errors(self.engine, "reading the schema"), self.connect() as conn:
            if lock_timeout is not None:
                self.dialect.limit_waits(conn, lock_timeout)
            self._refuse_unknown_schema(conn)
            return self.dialect.reflect(conn)

    def _refuse_unknown_schema(self, conn: sa.Connection) -> None:
        if (wanted := self.dialect.schema) is None:
            return
        known = sa.inspect(conn).get_schema_names()
        # Only PostgreSQL tells names by case wherever it runs.
        same = str if self.dialect.name == "postgresql" else str.lower
        if same(wanted) not in map(same, known):
            hint = suggestion(wanted, [name for name in known if name not in _SYSTEM_SCHEMAS])
            raise UsageError(f"there is no schema {wanted!r}", where=self.url_shown, hint=hint)

    def _with_relations(self, schema: Schema) -> Schema:
        tables = dict(schema.tables)
        for fk in self._relations:
            if (child := tables.get(fk.table)) is not None and fk.parent in tables:
                tables[fk.table] = replace(child, foreign_keys=(*child.foreign_keys, fk))
        return Schema(tables, schema.left_out)

    def relate(self, child: str, parent: str) -> None:
        """Declare a relation that the database itself does not.

        Parameters
        ----------
        child, parent : str
            ``"table.column"``, or ``"table.(a, b)"`` for several columns.

        Raises
        ------
        UsageError
            The two sides differ in length, the parent is not unique, or the relation is there already.
        UnknownTableError, UnknownColumnError

        Examples
        --------
        >>> import sqlalchemy as sa
        >>> db = Database("sqlite://")
        >>> with db.engine.begin() as conn:
        ...     _ = conn.execute(sa.text("CREATE TABLE customers (code TEXT PRIMARY KEY)"))
        ...     _ = conn.execute(sa.text("CREATE TABLE orders (id INTEGER PRIMARY KEY, customer_code TEXT)"))
        >>> db.relate("orders.customer_code", "customers.code")
        >>> db.schema.foreign_key("orders.customer_code").declared
        False
        >>> db.close()
        """
        table, columns = self.schema.split(child)
        other, other_columns = self.schema.split(parent)
        self._refuse_ambiguous(other, other_columns, parent)
        if len(columns) != len(other_columns):
            hint = 'write "table.(a, b)" with as many columns on both sides'
            raise UsageError("the two sides of a relation have different numbers of columns", where=child, hint=hint)
        fk = ForeignKey(table.name, columns, other.name, other_columns, declared=False, enforced=False)
        same = [f for f in table.foreign_keys if (f.columns, f.parent, f.parent_columns) == (columns, *_side(fk))]
        if same:
            problem = f"{child!r} refers to {parent!r} already"
            raise UsageError(problem, where=table.name, hint="it is followed without being declared again")
        self._relations.append(fk)
        self._schema = self._with_relations_of(fk)

    def _refuse_ambiguous(self, table: Table, columns: tuple[str, ...], parent: str) -> None:
        """Raise if several rows could be the parent of one; what no constraint says is looked up."""
        if any(set(unique) <= set(columns) for unique in (table.key, *table.uniques) if unique):
            return
        names = [self.dialect.quote(name) for name in columns]
        given = " AND ".join(f"{name} IS NOT NULL" for name in names)
        twice = f"SELECT 1 AS one FROM {self.dialect.from_sql(table)} WHERE {given} GROUP BY {', '.join(names)}"
        sql = f"SELECT count(*) FROM ({twice} HAVING count(*) > 1) q"
        with database_errors(self.engine, "looking for parents", where=table.name), self.connect() as conn:
            if self.dialect.execute(conn, sql).scalar_one():
                raise UsageError(
                    f"{parent!r} is not unique: several rows could be the parent of one", where=table.name,
                    hint="relate to the key, or to columns whose values differ",
                )  # fmt: skip

    def _with_relations_of(self, fk: ForeignKey) -> Schema:
        tables = dict(self.schema.tables)
        child = tables[fk.table]
        tables[fk.table] = replace(child, foreign_keys=(*child.foreign_keys, fk))
        return Schema(tables, self.schema.left_out)

    def open_rows(self) -> DatabaseRows:
        """Return all rows in one snapshot, for ``with``: what `DataPackage.diff` compares a package with."""
        from datatransfer.database.rows import DatabaseRows

        return DatabaseRows(self, identities=True)

    @property
    def graph(self) -> DependencyGraph:
        """Which table depends on which."""
        from datatransfer.schema.graph import DependencyGraph

        return DependencyGraph(self.schema)

    # --- facts --------------------------------------------------------------------------------------------------

    def count(self, table: str) -> int:
        """Return how many rows a table has, counted now."""
        found = self.schema.table(table)
        with database_errors(self.engine, "counting rows", where=table), self.connect() as conn:
            sql = f"SELECT count(*) FROM {self.dialect.from_sql(found)} t"
            return int(self.dialect.execute(conn, sql).scalar_one())

    @property
    def tables(self) -> pd.DataFrame:
        """One row a table: rows, columns, key, key_kind, references, referenced_by, tracked."""
        import pandas as pd

        rows = [
            {
                "table": table.name,
                "rows": self.count(table.name),
                "columns": len(table.columns),
                "key": ", ".join(table.key),
                "key_kind": table.key_kind,
                "references": ", ".join(dict.fromkeys(fk.parent for fk in table.foreign_keys)),
                "referenced_by": ", ".join(dict.fromkeys(fk.table for fk in self.schema.children_of(table.name))),
                "tracked": table.tracked,
            }
            for table in self.schema
        ]
        names = ["table", "rows", "columns", "key", "key_kind", "references", "referenced_by", "tracked"]
        return pd.DataFrame(rows, columns=names)

    @property
    def left_out(self) -> pd.DataFrame:
        """One row for each thing that is not a table to carry: name, kind, reason."""
        import pandas as pd

        rows = [(item.name, item.kind, item.reason) for item in self.schema.left_out]
        return pd.DataFrame(rows, columns=["name", "kind", "reason"])

    def revision(self) -> str | None:
        """Return the Alembic revision that the database is at, None if it knows none."""
        rows = self._read_if_there("alembic_version", "version_num")
        return ",".join(sorted(rows)) or None

    @property
    def origin(self) -> uuid.UUID:
        """Which database this is, in the identities of its rows."""
        if self._given_origin is None:
            recorded = self._read_if_there(_ORIGIN_TABLE, "origin")
            self._given_origin = uuid.UUID(recorded[0]) if recorded else self._derived_origin()
        return self._given_origin

    def _derived_origin(self) -> uuid.UUID:
        url = self.engine.url
        backend = url.get_backend_name()
        if backend == "sqlite":
            path = sqlite_path(url)
            if path is None:
                return self._random_origin
            return uuid.uuid5(uuid.NAMESPACE_URL, f"sqlite:///{path.resolve()}")
        name = "mariadb" if backend == "mysql" else backend
        host = url.host or url.query.get("host") or "localhost"
        port = url.port or _DEFAULT_PORTS.get(backend, 0)
        return uuid.uuid5(uuid.NAMESPACE_URL, f"{name}://{str(host).lower()}:{port}/{url.database or ''}")

    def _read_if_there(self, table: str, column: str) -> list[str]:
        """Return a column of a table that may not exist, without an error that would end a transaction."""
        if is_missing(self.engine.url):
            return []
        with database_errors(self.engine, "reading", where=table), self.engine.connect() as conn:
            space = self.dialect.schema
            if not sa.inspect(conn).has_table(table, schema=space):
                return []
            found = sa.table(table, sa.column(column), schema=space)
            return [str(value) for value in conn.execute(sa.select(found.c[column])).scalars()]

    # --- files --------------------------------------------------------------------------------------------------

    def _checked_files(self, files: Mapping[str, FileStore]) -> dict[tuple[str, str], FileStore]:
        checked = {}
        hint = 'write files={"table.column": dt.FolderStore("folder")}'
        for dotted, store in instance(files, Mapping, "files", hint=hint).items():  # type: ignore[type-abstract]
            table, columns = self.schema.split(dotted)
            if len(columns) != 1:
                raise UsageError("the path of a file stands in one column", where=dotted, hint=hint)
            if isinstance(store, type) or not isinstance(store, FileStore):
                raise UsageError(f"a store of files is needed, not {kind_of(store)}", where=dotted, hint=hint)
            checked[table.name, columns[0]] = store
        return checked


def _side(fk: ForeignKey) -> tuple[str, tuple[str, ...]]:
    return fk.parent, fk.parent_columns


def checked(db: object, name: str = "db") -> Database:
    """Return a database that was given as one.

    Raises
    ------
    UsageError
        It is something else, as the URL of one.
    """
    return instance(db, Database, name, hint="open it first: dt.Database(url)")

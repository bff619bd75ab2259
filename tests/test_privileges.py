"""Roles that may not do what a transfer needs: said before rows move, with the table, the privilege and the cure."""

from __future__ import annotations

import os
import secrets
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

import datatransfer as dt
from tests.support.children import Call
from tests.support.digest import assert_equal, exact_digest
from tests.support.scenes import leftovers
from tests.support.servers import Databases
from tests.support.shop import make_shop
from tests.support.transfer import export_all

Role = Callable[..., str]
STAGE = "CREATE, DROP, ALTER, INDEX, SELECT, INSERT, UPDATE, DELETE"


@pytest.fixture
def shop(databases: Databases, tmp_path: Path) -> dt.DataPackage:
    """Return a package of three customers and their orders."""
    source = databases.create("sqlite")
    make_shop(source, "s", 3)
    return export_all(source, tmp_path / "all.zip")


@pytest.fixture
def role(databases: Databases) -> Iterator[Role]:
    """Return a function that makes a role with these grants in a database, and returns the URL for it."""
    made: list[tuple[str, str]] = []

    def make(url: str, *grants: str) -> str:
        name = f"dt_role_{os.getpid()}_{secrets.token_hex(3)}"
        parsed = sa.make_url(url)
        engine = sa.create_engine(url, poolclass=sa.pool.NullPool, isolation_level="AUTOCOMMIT")
        account = f"'{name}'@'%%'" if parsed.get_backend_name() == "mysql" else f'"{name}"'
        made.append((url, account))
        with engine.connect() as connection:
            if parsed.get_backend_name() == "mysql":
                connection.exec_driver_sql(f"CREATE USER {account} IDENTIFIED BY 'secret'")
            else:
                connection.exec_driver_sql(f"CREATE ROLE {account} LOGIN PASSWORD 'secret'")
            for grant in grants:
                connection.exec_driver_sql(f"GRANT {grant} TO {account}")
        return parsed.set(username=name, password="secret").render_as_string(hide_password=False)

    yield make
    for url, account in made:
        engine = sa.create_engine(url, poolclass=sa.pool.NullPool, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            if sa.make_url(url).get_backend_name() == "postgresql":
                connection.exec_driver_sql(f"DROP OWNED BY {account} CASCADE")
                connection.exec_driver_sql(f"DROP ROLE {account}")
            else:
                connection.exec_driver_sql(f"DROP USER {account}")


def _run(url: str, *statements: str) -> None:
    engine = sa.create_engine(url, poolclass=sa.pool.NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


def _imported(databases: Databases, shop: dt.DataPackage) -> str:
    """Return a database of PostgreSQL into which its owner has imported the shop already."""
    owner = databases.create("postgresql")
    make_shop(owner, "own", 2)
    with dt.Database(owner) as db:
        dt.PackageImporter(shop, db).run()
    return owner


def _refused(package: dt.DataPackage, url: str, owner: str, **policies: str) -> dt.PrivilegeError:
    """Import as a role; fail unless it is refused with a typed error, nothing is changed and nothing left."""
    before = exact_digest(owner)
    with dt.Database(url) as db:
        with pytest.raises(dt.PrivilegeError) as caught:
            dt.PackageImporter(package, db).run(**policies)  # type: ignore[arg-type]
        assert not caught.value.retryable
    assert_equal(before, exact_digest(owner))
    assert leftovers(owner) == []
    return caught.value


# --- PostgreSQL -----------------------------------------------------------------------------------------------------

SCHEMA = "USAGE, CREATE ON SCHEMA public"
SEQUENCES = "SELECT, UPDATE ON ALL SEQUENCES IN SCHEMA public"
TABLES = "SELECT, INSERT, UPDATE ON customers, orders"


def test_a_role_with_what_is_needed_and_no_more_imports_and_updates(
    databases: Databases, shop: dt.DataPackage, role: Role
) -> None:
    owner = databases.create("postgresql")
    make_shop(owner, "own", 2)
    with dt.Database(role(owner, SCHEMA, SEQUENCES, TABLES)) as db:
        assert dt.PackageImporter(shop, db).check().ok
        assert dt.PackageImporter(shop, db).run().total("insert") == 6
        _run(owner, "UPDATE orders SET note = 'other' WHERE note = 's1'")
        assert dt.PackageImporter(shop, db).run(on_match="update").total("update") == 1


def test_a_role_that_may_only_read_a_table_that_is_not_written_imports(
    databases: Databases, shop: dt.DataPackage, role: Role
) -> None:
    owner = _imported(databases, shop)
    _run(owner, "DELETE FROM orders WHERE note = 's1'")
    grants = ("SELECT ON customers", "SELECT, INSERT ON orders", "SELECT, UPDATE ON SEQUENCE orders_id_seq")
    ledger = "SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public"
    with dt.Database(role(owner, SCHEMA, ledger, *grants)) as db:
        _run(owner, f'REVOKE INSERT, UPDATE, DELETE ON customers FROM "{sa.make_url(str(db.engine.url)).username}"')
        assert dt.PackageImporter(shop, db).run().total("insert") == 1


@pytest.mark.parametrize(
    ("grants", "where", "privilege", "cure"),
    [
        (("USAGE ON SCHEMA public", SEQUENCES, TABLES), "schema public", "CREATE", 'GRANT CREATE ON SCHEMA "public"'),
        ((SCHEMA, SEQUENCES, "SELECT, INSERT ON customers"), "orders", "SELECT", 'GRANT SELECT ON "public"."orders"'),
        ((SCHEMA, SEQUENCES, "SELECT ON orders", "SELECT, INSERT ON customers"), "orders", "INSERT",
         'GRANT INSERT ON "public"."orders"'),
        ((SCHEMA, TABLES), "customers.id, orders.id", "SELECT, UPDATE of the sequence", "GRANT SELECT, UPDATE ON SEQ"),
    ],
    ids=["create", "select", "insert", "sequence"],
)  # fmt: skip
@pytest.mark.parametrize("rows", [0, 2])
def test_postgresql_names_what_a_role_lacks(
    databases: Databases, shop: dt.DataPackage, role: Role, grants: tuple[str, ...], where: str, privilege: str,
    cure: str, rows: int,
) -> None:  # fmt: skip
    owner = databases.create("postgresql")
    make_shop(owner, "own", rows or 1)
    if not rows:
        _run(owner, "TRUNCATE customers, orders")
    _run(owner, "REVOKE ALL ON SCHEMA public FROM PUBLIC")
    url = role(owner, *grants)
    error = _refused(shop, url, owner)
    if rows and privilege.endswith("sequence"):  # it is asked for when keys are set aside
        assert (error.where, "GRANT SELECT, UPDATE ON SEQUENCE" in error.hint) == ("customers_id_seq", True)
        return
    assert error.where == where
    assert privilege in error.message
    assert cure in error.hint
    if rows == 0:  # nothing has to be staged to know it
        with dt.Database(url) as db:
            report = dt.PackageImporter(shop, db).check()
            assert [f.code for f in report.errors] == ["privilege"] * len(where.split(", "))


def test_an_update_that_a_role_may_not_make_is_refused_with_the_plan(
    databases: Databases, shop: dt.DataPackage, role: Role
) -> None:
    owner = _imported(databases, shop)
    _run(owner, "UPDATE orders SET note = 'other' WHERE note = 's1'")
    ledger = "SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA public"
    url = role(owner, SCHEMA, SEQUENCES, ledger)
    _run(owner, f'REVOKE UPDATE ON orders FROM "{sa.make_url(url).username}"')
    error = _refused(shop, url, owner, on_match="update")
    assert (error.where, error.message) == ("orders", "the role lacks UPDATE")
    with dt.Database(url) as db:
        importer = dt.PackageImporter(shop, db)
        plan = importer.plan()  # skips it
        plan.decide("orders", [2], "update")
        with pytest.raises(dt.PrivilegeError, match="lacks UPDATE"):
            dt.PackageImporter(shop, db).run(on_match="update")
        with pytest.raises(dt.PrivilegeError, match="lacks UPDATE"):
            importer.run(plan)
        _run(owner, f'GRANT ALL ON ALL TABLES IN SCHEMA public TO "{sa.make_url(url).username}"')
        assert importer.run(plan).total("update") == 1


@pytest.mark.parametrize(("dialect", "where"), [("postgresql", "orders"), ("mariadb", "database {name}")])
def test_an_undo_that_a_role_may_not_make_is_refused_before_anything_is_taken_back(
    databases: Databases, shop: dt.DataPackage, role: Role, dialect: str, where: str
) -> None:
    owner = databases.create(dialect)
    make_shop(owner, "own", 2)
    with dt.Database(owner) as db:
        receipt = dt.PackageImporter(shop, db).run()
    name = sa.make_url(owner).database
    if dialect == "mariadb":
        url = role(owner, f"{STAGE.removesuffix(', DELETE')} ON `{name}`.*")
    else:
        url = role(owner, SCHEMA, SEQUENCES, "SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public")
        _run(owner, f'REVOKE DELETE ON orders FROM "{sa.make_url(url).username}"')
    before = exact_digest(owner)
    with dt.Database(url) as db, pytest.raises(dt.PrivilegeError, match="lacks DELETE") as caught:
        dt.receipt(db, receipt.import_id).undo()
    assert caught.value.where == where.format(name=name)
    assert "nothing was changed; GRANT" in caught.value.hint
    assert_equal(before, exact_digest(owner))
    assert leftovers(owner) == []
    with dt.Database(owner) as db:
        dt.receipt(db, receipt.import_id).undo()
        assert db.count("orders") == 2


def test_our_own_tables_are_among_what_is_looked_at(databases: Databases, shop: dt.DataPackage, role: Role) -> None:
    owner = _imported(databases, shop)
    _run(owner, "DELETE FROM orders WHERE note = 's1'")
    error = _refused(shop, role(owner, SCHEMA, SEQUENCES, TABLES), owner)
    assert error.where == "datatransfer_imports"
    assert "GRANT SELECT ON datatransfer_imports" in error.hint


POLICY = (
    "ALTER TABLE orders ENABLE ROW LEVEL SECURITY",
    "CREATE POLICY hiding ON orders USING (note <> 's1') WITH CHECK (true)",
)


def test_a_target_whose_rows_are_hidden_is_refused_before_staging(
    databases: Databases, shop: dt.DataPackage, role: Role
) -> None:
    owner = databases.create("postgresql")
    make_shop(owner, "own", 2)
    _run(owner, *POLICY)
    error = _refused(shop, role(owner, SCHEMA, SEQUENCES, TABLES), owner)
    assert error.where == "orders"
    assert "row level security hides some" in error.message
    assert "BYPASSRLS" in error.hint


def test_an_export_whose_rows_are_hidden_is_refused_and_says_so(
    databases: Databases, tmp_path: Path, role: Role
) -> None:
    owner, path = databases.create("postgresql"), tmp_path / "made" / "some.zip"
    make_shop(owner, "s", 3)
    _run(owner, *POLICY)
    path.parent.mkdir()
    with dt.Database(role(owner, "SELECT ON customers, orders")) as db:
        with pytest.raises(dt.PrivilegeError, match=r"^orders: row-level security.*BYPASSRLS"):
            dt.PackageBuilder(db).add_all().build(path, progress=False)
        with pytest.raises(dt.PrivilegeError, match="row-level security"):
            dt.PackageBuilder(db).add_all().preview()
    assert list(path.parent.iterdir()) == []


def test_an_export_without_a_right_to_read_names_the_table_and_the_grant(
    databases: Databases, tmp_path: Path, role: Role
) -> None:
    owner, path = databases.create("postgresql"), tmp_path / "made" / "some.zip"
    make_shop(owner, "s", 3)
    path.parent.mkdir()
    with dt.Database(role(owner, "SELECT ON customers")) as db:
        with pytest.raises(dt.PrivilegeError, match=r"^orders: .*GRANT SELECT ON orders TO"):
            dt.PackageBuilder(db).add_all().build(path, progress=False)
    assert list(path.parent.iterdir()) == []


# --- MariaDB --------------------------------------------------------------------------------------------------------


def test_an_account_with_what_is_needed_imports_into_mariadb(
    databases: Databases, shop: dt.DataPackage, role: Role
) -> None:
    owner = databases.create("mariadb")
    make_shop(owner, "own", 2)
    with dt.Database(role(owner, f"{STAGE} ON `{sa.make_url(owner).database}`.*")) as db:
        assert dt.PackageImporter(shop, db).run().total("insert") == 6


@pytest.mark.parametrize("lacks", ["CREATE", "DROP", "INSERT", "UPDATE", "SELECT"])
def test_mariadb_names_what_an_account_lacks(
    databases: Databases, shop: dt.DataPackage, role: Role, lacks: str
) -> None:
    owner = databases.create("mariadb")
    make_shop(owner, "own", 2)
    name = sa.make_url(owner).database
    rest = ", ".join(right for right in STAGE.split(", ") if right != lacks)
    error = _refused(shop, role(owner, f"{rest} ON `{name}`.*"), owner)
    if lacks == "SELECT":  # nothing can be looked at, our own tables first
        assert (error.where, "SELECT" in error.hint) == ("datatransfer_key_maps", True)
        return
    assert error.where == f"database {name}"
    assert error.message == f"the role lacks {lacks}"
    assert f"GRANT {STAGE} ON `{name}`.* TO" in error.hint


def test_rights_on_tables_are_looked_at_through_a_role_too(
    databases: Databases, shop: dt.DataPackage, role: Role
) -> None:
    owner = databases.create("mariadb")
    make_shop(owner, "own", 2)
    name = sa.make_url(owner).database
    url = role(owner, f"INSERT ON `{name}`.customers", f"DELETE ON `{name}`.orders")
    account, group = f"'{sa.make_url(url).username}'@'%%'", f"dt_group_{secrets.token_hex(3)}"
    _run(owner, f"CREATE ROLE {group}", f"GRANT CREATE, DROP, ALTER, INDEX, SELECT ON `{name}`.* TO {group}",
         f"GRANT {group} TO {account}", f"SET DEFAULT ROLE {group} FOR {account}")  # fmt: skip
    try:
        error = _refused(shop, url, owner)
    finally:
        _run(owner, f"DROP ROLE {group}")
    assert error.where  # the first statement that is denied names its table
    assert any(word in error.message for word in ("may not", "lacks", "denied"))


# --- SQLite ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def anybody() -> Iterator[Path]:
    """Return a folder that another user may enter."""
    folder = Path(tempfile.mkdtemp(prefix="dt-anybody-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.skipif(os.getuid() != 0, reason="optional: only root can become another user")
@pytest.mark.parametrize("locked", ["file", "folder"])
def test_a_sqlite_file_that_may_not_be_written_is_refused_before_staging(
    databases: Databases, shop: dt.DataPackage, anybody: Path, locked: str
) -> None:
    target, inner = databases.create("sqlite"), anybody / "inner"
    make_shop(target, "own", 2)
    inner.mkdir()
    file, package, said = inner / "shop.db", anybody / "all.zip", anybody / "said"
    shutil.copyfile(str(sa.make_url(target).database), file)
    shutil.copyfile(shop.path, package)
    inner.chmod(0o777 if locked == "file" else 0o755)
    file.chmod(0o444 if locked == "file" else 0o666)
    package.chmod(0o644)
    said.touch(0o666)
    said.chmod(0o666)
    before = exact_digest(f"sqlite:///{file}")
    told = {"DATATRANSFER_TEST_USER": "65534", "DATATRANSFER_TEST_REHEARSAL": target}
    call = Call("import", str(package), f"sqlite:///{file}", environment=told, said=str(said))
    assert call.run() == 1
    last = said.read_text().strip().splitlines()[-1]
    assert last.startswith(f"datatransfer.errors.PrivilegeError: {file if locked == 'file' else inner}: ")
    assert f"make the {locked} writable" in last
    assert_equal(before, exact_digest(f"sqlite:///{file}"))
    assert [path.name for path in inner.iterdir()] == ["shop.db"]


def test_a_sqlite_database_that_is_opened_to_be_read_is_refused(databases: Databases, shop: dt.DataPackage) -> None:
    target = databases.create("sqlite")
    make_shop(target, "own", 2)
    path = sa.make_url(target).database
    with dt.Database(f"sqlite:///file:{path}?mode=ro&uri=true") as db:
        with pytest.raises(dt.PrivilegeError, match="mode=ro"):
            dt.PackageImporter(shop, db).run()
    with closing(sqlite3.connect(str(path))) as raw:
        assert raw.execute("SELECT count(*) FROM orders").fetchone() == (2,)
    assert leftovers(target) == []

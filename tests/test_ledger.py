"""The ledger keeps what imports did, inside the caller's transaction, on every database."""

from __future__ import annotations

import datetime as dt
import random
import threading
import uuid
from collections.abc import Callable, Iterator

import pyarrow as pa
import pytest
import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from sqlalchemy.pool import NullPool

from datatransfer.database import chunks, ledger, models
from datatransfer.errors import DatabaseError, TargetChangedError, UsageError
from tests.support.servers import Databases, Server

DIGEST = "ab" * 32
ORIGIN = uuid.UUID("11111111-2222-4333-8444-555555555555")


@pytest.fixture(scope="module", params=["sqlite", "postgresql", "mariadb"])
def shared(
    request: pytest.FixtureRequest, servers: Callable[[str], Server], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[sa.Engine]:
    """One database of each dialect for the whole module: making one takes longer than most tests here."""
    made = Databases(tmp_path_factory.mktemp("ledger"), servers)
    engine = sa.create_engine(made.create(request.param), poolclass=NullPool)
    with engine.begin() as conn:
        ledger.create_ledger(conn)
    yield engine
    engine.dispose()
    made.drop_all()


@pytest.fixture
def engine(shared: sa.Engine) -> sa.Engine:
    with shared.begin() as conn:
        for table in reversed(models.METADATA.sorted_tables):
            if table is not models.version:
                conn.execute(table.delete())
    return shared


@pytest.fixture
def here(databases: Databases) -> Iterator[sa.Connection]:
    """A connection to an empty SQLite file."""
    with sa.create_engine(databases.create("sqlite"), poolclass=NullPool).begin() as conn:
        yield conn


def start(conn: sa.Connection, **more: object) -> ledger.ImportRecord:
    given = {"package_id": uuid.uuid4(), "package_digest": DIGEST, "origin": ORIGIN, **more}
    return ledger.start_import(conn, **given)  # type: ignore[arg-type]


def some_keys(start: int, count: int) -> pa.Table:
    numbers = range(start, start + count)
    return pa.table({"s.id": numbers, "t.id": [n + 1000 for n in numbers], "action": ["insert"] * count})


def test_a_database_without_a_ledger_says_so_and_lists_no_imports(here: sa.Connection) -> None:
    assert not ledger.has_ledger(here)
    assert ledger.read_origin(here) is None
    assert ledger.list_imports(here) == []


def test_a_ledger_that_was_made_half_is_completed(here: sa.Connection) -> None:
    models.imports.create(here)
    ledger.create_ledger(here)
    assert set(sa.inspect(here).get_table_names()) == {table.name for table in models.metadata_in(None).sorted_tables}
    assert ledger.list_imports(here) == []


def test_every_table_but_the_last_is_too_little_for_a_ledger(here: sa.Connection) -> None:
    for table in models.metadata_in(None).sorted_tables:
        assert not ledger.has_ledger(here), table.name
        assert ledger.read_origin(here) is None
        table.create(here)
    assert ledger.has_ledger(here)


def test_creating_it_twice_changes_nothing(engine: sa.Engine) -> None:
    with engine.begin() as conn:
        before = sorted(sa.inspect(conn).get_table_names())
        ledger.create_ledger(conn)
        assert sorted(sa.inspect(conn).get_table_names()) == before
        assert conn.execute(sa.select(sa.func.count()).select_from(models.version)).scalar_one() == 1
    assert all(name.startswith(models.PREFIX) for name in before)


def test_the_tables_can_live_in_another_schema(databases: Databases) -> None:
    engine = sa.create_engine(databases.create("postgresql"), poolclass=NullPool)
    with engine.begin() as conn:
        conn.exec_driver_sql("CREATE SCHEMA aside")
        ledger.create_ledger(conn, "aside")
        assert ledger.has_ledger(conn, "aside")
        assert not ledger.has_ledger(conn)
        record = start(conn, schema="aside")
        ledger.add_key_map(conn, record.import_id, "t", some_keys(0, 3), origin=ORIGIN, schema="aside")
        assert len(list(ledger.key_maps(conn, import_id=record.import_id, schema="aside"))) == 1


def test_the_origin_is_recorded_once_and_stays(engine: sa.Engine) -> None:
    with engine.begin() as conn:
        assert ledger.ensure_origin(conn, ORIGIN) == ORIGIN
    with engine.begin() as conn:
        assert ledger.ensure_origin(conn, uuid.uuid4()) == ORIGIN
        assert ledger.read_origin(conn) == ORIGIN


def test_an_import_is_read_as_it_was_written(engine: sa.Engine) -> None:
    options = {"on_match": "skip", "match_on": {"usérs": ["e-mail"]}}
    with engine.begin() as conn:
        made = start(conn, options=options, session="host:42", claim="x")
    with engine.begin() as conn:
        assert ledger.list_imports(conn) == [made]
        assert ledger.read_import(conn, made.import_id).options == options
        assert made.created.tzinfo is dt.UTC
        assert ledger.list_imports(conn, package_digest="cd" * 32) == []
        assert ledger.list_imports(conn, package_digest=DIGEST, state="staging") == [made]


def test_imports_are_ordered_by_number_not_by_clock(engine: sa.Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(dt.datetime(2026, 1, day, tzinfo=dt.UTC) for day in (3, 2, 1))
    monkeypatch.setattr(ledger.tables, "_now", lambda: next(clock))
    with engine.begin() as conn:
        made = [start(conn) for _ in range(3)]
        assert [record.seq for record in made] == [1, 2, 3]
        assert ledger.list_imports(conn) == made


def test_states_follow_each_other_and_nothing_else(engine: sa.Engine) -> None:
    with engine.begin() as conn:
        made = start(conn, claim="one")
        with pytest.raises(TargetChangedError, match="is staging and cannot become undone"):
            ledger.set_state(conn, made.import_id, "undone")
        ledger.set_state(conn, made.import_id, "merged", counts={"t": {"insert": 3}}, warnings=[{"code": "w"}])
        with pytest.raises(TargetChangedError, match="is merged and cannot become merged"):
            ledger.set_state(conn, made.import_id, "merged")
        found = ledger.read_import(conn, made.import_id)
        assert (found.state, found.counts, found.warnings) == ("merged", {"t": {"insert": 3}}, ({"code": "w"},))
        assert found.finished is not None
        assert found.undone_at is None
        ledger.set_state(conn, made.import_id, "undone")
        found = ledger.read_import(conn, made.import_id)
        assert (found.state, found.claim, found.undone_at is not None) == ("undone", None, True)


def test_an_unknown_import_or_state_is_a_usage_error(engine: sa.Engine) -> None:
    with engine.begin() as conn:
        with pytest.raises(UsageError, match="no such import"):
            ledger.read_import(conn, uuid.uuid4())
        with pytest.raises(UsageError, match="no such import"):
            ledger.set_state(conn, uuid.uuid4(), "merged")
        with pytest.raises(UsageError, match="no import can be moved"):
            ledger.set_state(conn, uuid.uuid4(), "staging")


def test_a_claim_is_held_by_one_import_until_it_ends(engine: sa.Engine) -> None:
    with engine.begin() as conn:
        first = start(conn, claim="package 1")
        start(conn)
        start(conn)
    with pytest.raises(DatabaseError, match="recording the import"), engine.begin() as conn:
        start(conn, claim="package 1")
    with engine.begin() as conn:
        ledger.set_state(conn, first.import_id, "dropped")
        start(conn, claim="package 1")


def test_of_two_processes_that_finish_an_import_one_is_told(engine: sa.Engine) -> None:
    if engine.dialect.name == "sqlite":
        pytest.skip("optional: SQLite has one writer at a time")
    with engine.begin() as conn:
        made = start(conn)
    told: list[str] = []
    with engine.begin() as conn:
        ledger.set_state(conn, made.import_id, "merged")

        def other() -> None:
            try:
                with engine.begin() as second:
                    ledger.set_state(second, made.import_id, "merged")
            except TargetChangedError as error:
                told.append(error.code)

        thread = threading.Thread(target=other)
        thread.start()
        thread.join(0.3)
        assert thread.is_alive(), "the second waits for the first"
    thread.join(10)
    assert told == ["target-changed"]


def test_a_part_is_recorded_once(engine: sa.Engine) -> None:
    with engine.begin() as conn:
        made = start(conn)
        ledger.add_checkpoint(conn, made.import_id, "orders", 0, 10)
        ledger.add_checkpoint(conn, made.import_id, "Orders", 0, 11)
        ledger.add_checkpoint(conn, made.import_id, "orders", 1, 2**40)
        found = ledger.checkpoints(conn, made.import_id)
        assert found == {("orders", 0): 10, ("Orders", 0): 11, ("orders", 1): 2**40}
    with pytest.raises(DatabaseError, match="staged part"), engine.begin() as conn:
        ledger.add_checkpoint(conn, made.import_id, "orders", 0, 10)


def test_what_is_rolled_back_was_never_recorded(engine: sa.Engine) -> None:
    with engine.begin() as conn:
        made = start(conn)
    with engine.connect() as conn:
        ledger.add_key_map(conn, made.import_id, "t", some_keys(0, 10), origin=ORIGIN)
        ledger.set_state(conn, made.import_id, "merged")
        conn.rollback()
        assert list(ledger.key_maps(conn, import_id=made.import_id)) == []
        assert ledger.read_import(conn, made.import_id).state == "staging"


def test_key_maps_come_newest_first_and_only_from_merged_imports(engine: sa.Engine) -> None:
    with engine.begin() as conn:
        made = [start(conn) for _ in range(3)]
        for n, record in enumerate(made):
            ledger.add_key_map(conn, record.import_id, "b", some_keys(n * 10, 4), origin=ORIGIN)
            ledger.add_key_map(conn, record.import_id, "a", some_keys(n * 10, 4), origin=uuid.UUID(int=n))
        for record in made[:2]:
            ledger.set_state(conn, record.import_id, "merged")
        found = list(ledger.key_maps(conn, table="b"))
        assert [import_id for import_id, _, _ in found] == [made[1].import_id, made[0].import_id]
        assert [keys["s.id"][0].as_py() for _, _, keys in found] == [10, 0]
        assert [table for _, table, _ in ledger.key_maps(conn)] == ["a", "b", "a", "b"]
        assert len(list(ledger.key_maps(conn, table="a", origin=uuid.UUID(int=0)))) == 1
        assert len(list(ledger.key_maps(conn, import_id=made[2].import_id))) == 2


def test_every_value_comes_back_from_a_before_image(engine: sa.Engine) -> None:
    rows = pa.table(
        {
            "id": pa.array([-(2**63), 2**63 - 1, None], pa.int64()),
            "u": pa.array([2**64 - 1, 0, None], pa.uint64()),
            "f": pa.array([float("inf"), -0.0, None], pa.float64()),
            "t": pa.array(["", "ä\0 \\'\"", None], pa.string()),
            "b": pa.array([b"", bytes(range(256)), None], pa.binary()),
            "w": pa.array([0, 1, None], pa.timestamp("us", "UTC")),
            "dotted.name": pa.array([True, False, None], pa.bool_()),
        }
    )
    with engine.begin() as conn:
        made = start(conn)
        ledger.add_before_image(conn, made.import_id, "main.t", rows)
        ledger.add_before_image(conn, made.import_id, "main.t", rows.slice(1, 1))
    with engine.begin() as conn:
        found = list(ledger.before_images(conn, made.import_id))
        assert [(table, data.equals(rows.slice(n, len(data)))) for n, (table, data) in enumerate(found)] == [
            ("main.t", True),
            ("main.t", True),
        ]
        assert list(ledger.before_images(conn, made.import_id, table="other")) == []


def test_a_chunk_larger_than_a_packet_is_cut_and_joined(engine: sa.Engine) -> None:
    large = random.Random(0).randbytes(2 * chunks.PIECE_BYTES + 17)
    # Bytes that a driver has to escape one by one.
    escaped = b"\0'\\\"" * (chunks.PIECE_BYTES // 4)
    rows = pa.table({"id": [1, 2], "data": pa.array([large, escaped], pa.binary())})
    with engine.begin() as conn:
        made = start(conn)
        ledger.add_before_image(conn, made.import_id, "t", rows)
        ledger.add_before_image(conn, made.import_id, "t", rows.slice(0, 1))
        ledger.add_before_image(conn, made.import_id, "u", rows.slice(1, 1))
    with engine.begin() as conn:
        stored = sa.select(models.before_images.c.rows).order_by(models.before_images.c.chunk)
        assert conn.execute(stored.where(models.before_images.c.table_name == "t")).scalars().all() == [
            2,
            0,
            0,
            1,
            0,
            0,
        ]
        found = list(ledger.before_images(conn, made.import_id))
    assert [table for table, _ in found] == ["t", "t", "u"]
    assert pa.concat_tables([data for _, data in found]).equals(
        pa.concat_tables([rows, rows.slice(0, 1), rows.slice(1)])
    )


def test_a_map_of_a_million_dense_keys_takes_kilobytes() -> None:
    numbers = pa.array(range(1_000_000))
    keys = pa.table({"s.id": numbers, "t.id": numbers, "action": pa.array(["insert"]).take(pa.array([0] * 1_000_000))})
    data = chunks.encode(keys)
    assert len(data) < 16_384
    assert chunks.decode(data).equals(keys)


def test_files_are_listed_in_the_order_they_were_recorded(engine: sa.Engine) -> None:
    files = [
        ledger.ImportedFile("attachments", "path", f"übung/{n}.txt", "00" * 32, 2**33, "written") for n in range(3)
    ]
    with engine.begin() as conn:
        made = start(conn)
        ledger.add_file(conn, made.import_id, files[:2])
        ledger.add_file(conn, made.import_id, [])
        ledger.add_file(conn, made.import_id, files[2:])
        assert ledger.imported_files(conn, made.import_id) == files


def test_a_database_error_is_typed_and_shows_no_value(here: sa.Connection) -> None:
    with pytest.raises(DatabaseError) as caught:
        ledger.start_import(here, package_id="S3CR3T", package_digest=DIGEST, origin=ORIGIN)
    assert "S3CR3T" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_the_mixin_gives_a_model_its_two_columns(here: sa.Connection) -> None:
    class Base(DeclarativeBase):
        pass

    class Thing(models.EntityMixin, Base):
        __tablename__ = "things"
        id: Mapped[int] = mapped_column(primary_key=True)

    Base.metadata.create_all(here)
    with Session(here) as session:
        session.add_all([Thing(), Thing()])
        session.flush()
        found = session.scalars(sa.select(Thing)).all()
    assert len({thing.entity_uuid for thing in found}) == 2
    assert all(thing.imported_from_uuid is None for thing in found)
    columns = {column["name"]: column for column in sa.inspect(here).get_columns("things")}
    assert not columns["entity_uuid"]["nullable"]
    assert columns["imported_from_uuid"]["nullable"]
    assert [found["column_names"] for found in sa.inspect(here).get_unique_constraints("things")] == [["entity_uuid"]]
    assert [found["column_names"] for found in sa.inspect(here).get_indexes("things")] == [["imported_from_uuid"]]

"""A plan carried out: refused with the reason, merged, and told by its receipt, also where only the answer was lost."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from datatransfer import interrupts
from datatransfer.database import ledger
from datatransfer.display.plain import counted
from datatransfer.errors import (
    ConflictError,
    DatabaseError,
    DataTransferError,
    PrivilegeError,
    SchemaMismatchError,
    TargetChangedError,
    UsageError,
    ValueLossError,
)
from datatransfer.events import Cancellation, Listener, Warned
from datatransfer.importing import stages
from datatransfer.importing.actions import Action, Identity
from datatransfer.importing.conflicts import Settling, label_of_clash, settling, ways_out
from datatransfer.importing.merge import Merge
from datatransfer.importing.receipts import Receipt, receipt
from datatransfer.importing.recording import counts_of, key_maps_of
from datatransfer.importing.redefined import refuse_redefined
from datatransfer.importing.renaming import renamable
from datatransfer.importing.rights import refuse_lacking
from datatransfer.importing.rivals import refuse_rivals, said

if TYPE_CHECKING:
    import uuid

    from datatransfer.database.connection import Database
    from datatransfer.importing.backup import Backup
    from datatransfer.importing.fingerprint import Fingerprint
    from datatransfer.importing.plan import ImportPlan
    from datatransfer.package.package import DataPackage


def carry_out(plan: ImportPlan, listener: Listener, cancellation: Cancellation, backup: Backup | None) -> Receipt:
    """Merge what a plan says, and let go of its stage; see `PackageImporter.run` for what is raised."""
    plan.begin()
    try:
        with told_of_rivals(plan.package, plan.target, plan.seen, plan.policies.identity):
            done = _merged(plan, listener, cancellation, backup)
    except BaseException as error:
        plan.discard(error)
        raise
    try:
        plan.discard()
    except DataTransferError as error:  # it is committed: what is left over does no harm
        left = f"its stage could not be removed, see datatransfer.drop_stage: {error}"
        return replace(done, warnings=[*done.warnings, left])
    return done


@contextmanager
def or_discarded(plan: ImportPlan) -> Iterator[None]:
    """Discard a plan after any error."""
    try:
        yield
    except BaseException as error:
        plan.discard(error)
        raise


def refuse_unfit(plan: ImportPlan) -> None:
    """Refuse a plan that was handed over and cannot be carried out; what can be settled leaves it as it was.

    Raises
    ------
    TargetChangedError
        Its tables are not defined any more as they were; it is discarded, as after every other error.
    ConflictError, PrivilegeError
        It is kept: entities may be decided and privileges given, and it can be handed over again.
    """
    with or_discarded(plan):
        refuse_redefined(plan.writer, [table.fit.target for table in plan.plans.values()])
    try:
        _refuse_conflicts(plan, "see plan.conflicts and plan.decide", "plan again with")
        refuse_lacking(plan)
    except (ConflictError, PrivilegeError):
        raise
    except BaseException as error:
        plan.discard(error)
        raise


def refuse_changed(plan: ImportPlan, bound: Fingerprint | None) -> None:
    """Discard a plan that was made anew, unless it is the one that somebody has looked at.

    Parameters
    ----------
    plan : ImportPlan
    bound : Fingerprint, optional
        Of that one, if there was one.

    Raises
    ------
    TargetChangedError
    """
    with or_discarded(plan):
        if bound is not None and plan.fingerprint != bound.whole:
            raise TargetChangedError(
                "rows or columns that the interrupted plan touches have changed since it was made",
                where=", ".join(plan.bound_to.differing(bound)) or plan.target.url_shown,
                hint="nothing was changed, and the stage is gone; plan again",
            )  # fmt: skip


@contextmanager
def run_again() -> Iterator[None]:
    """Advise, where no plan was handed over, to run the import again, not to plan again."""
    try:
        yield
    except TargetChangedError as error:
        error.hint = error.hint.replace("plan again", "run the import again")
        raise


@contextmanager
def without_mapping() -> Iterator[None]:
    """Say, where an import is resumed and does not fit, that resuming takes no mapping, and what helps."""
    try:
        yield
    except (SchemaMismatchError, ValueLossError) as error:
        anew = "drop its stage, see dt.stages(db), and import anew with such a mapping"
        error.hint = f"{error.hint}; resume takes no mapping: repair the target and resume again, or {anew}"
        raise


def last_seq(target: Database) -> int:
    """Return the number of the latest import into a target."""
    with target.connect() as conn:
        return ledger.last_seq(conn)


@contextmanager
def told_of_rivals(package: DataPackage, target: Database, seen: int, identity: str) -> Iterator[None]:
    """Say that another import was merged meanwhile, where that may be why something does not fit."""
    try:
        yield
    except (DatabaseError, UsageError):
        raise
    except DataTransferError:
        digest, tables = package.metadata.manifest_sha256, list(package.schema.tables)
        with target.connect() as conn:
            refuse_rivals(conn, seen, digest, tables, again=identity == Identity.COPY)
        raise


def _merged(plan: ImportPlan, listener: Listener, cancellation: Cancellation, backup: Backup | None) -> Receipt:
    _refuse_conflicts(plan, "see importer.plan(…).conflicts", "say")
    merge = Merge(plan, listener, cancellation, backup)
    writes = any(p.counts.get(Action.INSERT) or p.counts.get(Action.UPDATE) for p in plan.plans.values())
    if not writes and not merge.keep_to_lost_files():
        return _nothing_to_write(plan)
    refuse_lacking(plan)  # once more: since it was made, entities may have been decided
    with plan.writer.stoppable(cancellation):
        _ = plan.fingerprint  # computed before anything is locked
        if not plan.writer.transactional_ddl:  # making our tables would commit the merge half way
            with plan.writer.one_at_a_time():
                ledger.create_ledger(plan.writer.conn)
    try:
        merge.run()
    except DatabaseError as error:
        if not plan.writer.unanswered:
            raise
        if not stages.was_committed(plan.target, plan.writer):
            merge.take_back(error)
            raise
        plan.writer.committed = True
    interrupts.tell(f"the import is done: receipt {plan.writer.import_id}")
    for warning in merge.warnings:
        listener(Warned("import", warning))
    return receipt(plan.target, plan.writer.import_id)


def _nothing_to_write(plan: ImportPlan) -> Receipt:
    metadata = plan.package.metadata
    maps = {table.fit.target.name: list(key_maps_of(plan, table)) for table in plan.plans.values()}
    counts, digest = counts_of(plan), metadata.manifest_sha256
    earlier = ledger.list_imports(plan.writer.conn, state="merged", package_digest=digest)
    notes = [f"the package was imported before{said(earlier[-1])}"] if earlier else []
    return Receipt(
        plan.target, plan.writer.import_id, str(metadata.package_id), counts, notes, recorded=False, maps=maps,
        renamed=plan.policies.mapping.rename_tables,
    )  # fmt: skip


def _refuse_conflicts(plan: ImportPlan, see: str, say: str) -> None:
    if not plan.conflict_count:
        return
    tables = {n: p.counts[Action.CONFLICT] for n, p in plan.plans.items() if p.counts.get(Action.CONFLICT)}
    settlings = settlings_of(plan)
    reasons = sorted({reason for _, reason, _ in settlings})
    raise ConflictError(
        f"{counted(plan.conflict_count, 'entity is', 'entities are')} in conflict: {'; '.join(reasons[:5])}",
        where=", ".join(tables),
        hint=ways_out({reason: each for (_, reason, _), each in settlings.items()}, see, say),
        evidence={"tables": tables},
    )


def settlings_of(plan: ImportPlan) -> dict[tuple[str, str, str], Settling]:
    """Return what settles the conflicts of a plan, by their table, reason, and how they were matched."""
    frame = plan.conflicts.head(1000)
    kinds = dict.fromkeys(zip(frame["table"], frame["reason"], frame["matched_by"], strict=True))
    found = {}
    for table, reason, how in kinds:
        text = renamable(plan.plans[table], label_of_clash(reason, how))
        on_match = plan.policies.match_rule(table)
        found[table, reason, how] = settling(reason, how, renamable=text, on_match=on_match)
    return found


def finished(package: DataPackage, target: Database, import_id: uuid.UUID | None) -> Receipt:
    """Return the receipt of an import that had ended before anybody could say so.

    Raises
    ------
    UsageError
        There is none, of this package and with that id.
    """
    with target.connect() as conn:
        records = ledger.list_imports(conn, package_digest=package.metadata.manifest_sha256)
    mine = [r for r in records if r.state == "merged" and str(import_id or r.import_id) == r.import_id]
    if not mine:
        where, hint = str(package.path), "run() starts one"
        raise UsageError("there is no interrupted import of this package", where=where, hint=hint)
    return receipt(target, mine[-1].import_id)

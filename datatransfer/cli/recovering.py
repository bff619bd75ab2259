"""The commands for imports that did not end well, or should not have been: resume, stages, undo."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from datatransfer import interrupts
from datatransfer.cli.looking import text_of
from datatransfer.cli.output import Output, records
from datatransfer.cli.sources import database
from datatransfer.cli.transfers import importer, tell_receipt
from datatransfer.display.plain import counted
from datatransfer.errors import UndoConflictError
from datatransfer.events import Warned

if TYPE_CHECKING:
    from datatransfer.importing.receipts import Receipt


def resume(options: argparse.Namespace, out: Output) -> int:
    """Go on with an import that was interrupted."""
    with database(options.target, options) as target, interrupts.held():
        receipt = importer(options, target, out).resume(options.import_id, backup=options.backup)
        return tell_receipt(receipt, options.package, target, out)


def stages(options: argparse.Namespace, out: Output) -> int:
    """List the imports that were begun and are not finished, or drop what one of them left."""
    from datatransfer.importing.stages import drop_stage, stages

    with database(options.url, options) as target:
        for import_id in options.drop:
            drop_stage(target, import_id)
        listed = records(stages(target))
        document = {"database": target.url_shown, "dropped": options.drop, "stages": listed}
    dropped = [f"dropped {import_id}" for import_id in options.drop]
    out.result(document, "\n".join([*dropped, text_of(listed, nothing="no import was left unfinished")]))
    return 0


def undo(options: argparse.Namespace, out: Output) -> int:
    """Take back what an import wrote, or only say what that would find."""
    from datatransfer.importing.receipts import receipt

    with database(options.url, options) as target, interrupts.held():
        wanted = receipt(target, options.import_id)
        if options.check:
            return _check_undo(wanted, out)
        undone = wanted.undo(keep_edited=options.keep_edited, backup=options.backup, listener=out.listener)
        for warning in undone.warnings:
            out.warn(Warned("undo", warning))
        tables = records(undone.summary)
        document = {"import_id": str(undone.import_id), "undo_of": undone.undo_of, "tables": tables}
    out.result(document, f"{text_of(tables, nothing='there was nothing to undo')}\n\nundone, as {undone.import_id}")
    return 0


def _check_undo(wanted: Receipt, out: Output) -> int:
    report = wanted.check_undo()
    rows = records(report.to_frame())
    tables = records(report.summary)
    for warning in report.warnings:
        out.warn(Warned("undo", warning))
    document = {"import_id": report.import_id, "ok": report.ok, "tables": tables, "rows": rows}
    listed = f"\n\n{counted(len(rows), 'row')} not simply put back:\n{text_of(rows)}" if rows else ""
    out.result(document, f"{text_of(tables)}{listed}\n\nnothing was changed")
    return 0 if report.ok else UndoConflictError.exit_code

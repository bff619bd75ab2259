"""The commands for imports that did not end well, or should not have been: resume, stages."""

from __future__ import annotations

import argparse

from datatransfer.cli.looking import text_of
from datatransfer.cli.output import Output, records
from datatransfer.cli.sources import database
from datatransfer.cli.transfers import importer, tell_receipt


def resume(options: argparse.Namespace, out: Output) -> int:
    """Go on with an import that was interrupted."""
    with database(options.target, options) as target:
        receipt = importer(options, target, out).resume(options.import_id)
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

"""An import or an undo in a worker thread, and what the journal of such jobs says of imports that were resumed."""

from __future__ import annotations

import copy
import uuid
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datatransfer import background
from datatransfer.background.journal import note_resumed
from datatransfer.database import ledger
from datatransfer.errors import UsageError
from datatransfer.events import Cancellation, Listener

if TYPE_CHECKING:
    from datatransfer.background import Job
    from datatransfer.importing.importer import PackageImporter
    from datatransfer.importing.plan import ImportPlan
    from datatransfer.importing.receipts import Receipt
    from datatransfer.importing.stages import Session


def start(
    importer: PackageImporter,
    plan: ImportPlan | None,
    progress: Listener | None,
    resume: bool | str | uuid.UUID,
    options: Mapping[str, Any],
) -> Job[Receipt]:
    """Start what `PackageImporter.start` describes."""
    importer.target.check_threads()
    if plan is not None and resume is not False:
        raise UsageError("a plan and resume= exclude each other", hint="resuming plans anew, as it was begun")
    own = copy.copy(importer)

    def work(listener: Listener, cancellation: Cancellation) -> Receipt:
        own.listener, own.cancellation = listener, cancellation
        if resume is False:
            return own.run(plan, **options)
        return own.resume(None if resume is True else resume, **options)

    path, url = Path(importer.package.path).absolute(), importer.target.url_shown
    code = f"dt.PackageImporter(dt.DataPackage.open({str(path)!r}), {importer.target.code}).resume()"
    facts = {**_facts(importer), **({} if resume is False else {"resumes": str(resume)})}
    return background.start("import", f"{path} to {url}", work, code=code, facts=facts, listener=progress)


def start_undo(receipt: Receipt, progress: Listener | None, options: Mapping[str, Any]) -> Job[Receipt]:
    """Start what `Receipt.start_undo` describes."""
    receipt.target.check_threads()

    def work(listener: Listener, cancellation: Cancellation) -> Receipt:
        return receipt.undo(listener=listener, cancellation=cancellation, **options)

    url, wanted = receipt.target.url_shown, str(receipt.import_id)
    code = f"dt.receipt({receipt.target.code}, {wanted!r}).undo()"
    facts = {"database": url, "import": wanted}
    return background.start("undo", f"import {wanted} in {url}", work, code=code, facts=facts, listener=progress)


def resumed(importer: PackageImporter, session: Session | None, done: Receipt) -> Receipt:
    """Note that an import which jobs had left came to its end, so that `datatransfer.jobs` does not list it as left.

    Parameters
    ----------
    importer : PackageImporter
    session : Session, optional
        Of the import; None if it had ended before anybody could say so.
    done : Receipt
    """
    begun = session.created if session else ledger.now().isoformat()
    try:
        note_resumed(_facts(importer), begun, f"resumed, and done: receipt {done.import_id}")
    except OSError as error:  # it is committed
        left = f"the journal of jobs cannot be written ({type(error).__name__})"
        return replace(done, warnings=[*done.warnings, left])
    return done


def _facts(importer: PackageImporter) -> dict[str, str]:
    """Return by what the journal tells imports of this package into this target."""
    return {"database": importer.target.url_shown, "package": str(Path(importer.package.path).absolute())}

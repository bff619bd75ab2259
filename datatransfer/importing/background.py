"""An import in a worker thread."""

from __future__ import annotations

import copy
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datatransfer import background
from datatransfer.errors import UsageError
from datatransfer.events import Cancellation, Listener

if TYPE_CHECKING:
    from datatransfer.background import Job
    from datatransfer.importing.importer import PackageImporter
    from datatransfer.importing.plan import ImportPlan
    from datatransfer.importing.receipts import Receipt


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
    facts = {"database": url, "package": str(path)}
    return background.start("import", f"{path} to {url}", work, code=code, facts=facts, listener=progress)

"""Why the next step of an import cannot be taken yet, in words for a person."""

from __future__ import annotations

from typing import TYPE_CHECKING

from datatransfer.display.blocks import plural

if TYPE_CHECKING:
    from datatransfer.notebook.import_wizard import ImportWizard


def blocked(wizard: ImportWizard) -> str:
    """Return why, empty if it can be taken."""
    if wizard.step == "package":
        return _by_package(wizard)
    if wizard.step == "plan":
        return _by_plan(wizard)
    if wizard.step == "run" and wizard.receipt is None:
        return "the import is not done"
    return "there is nothing after the last step" if wizard.step == "receipt" else ""


def _by_package(wizard: ImportWizard) -> str:
    if wizard.package is None or wizard.report is None:
        return "choose another package, this one cannot be read" if wizard.unreadable else "choose a package"
    return "" if wizard.report.ok else "the package is damaged"


def _by_plan(wizard: ImportWizard) -> str:
    if wizard.differences.is_outdated:
        return "the schemas are being compared"
    if wizard.unsettled:
        return f"{plural(len(wizard.unsettled), 'finding')} about the schemas must be settled"
    plan = wizard.plan
    if wizard.is_settling:
        return "the plan is being made" if plan is None else "what was decided is being carried out"
    if plan is None:
        return "the plan is not made"
    return f"{plural(plan.conflict_count, 'conflict')} must be decided" if plan.conflict_count else ""

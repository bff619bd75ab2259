"""The calls that repeat what was chosen in the form of an import."""

from __future__ import annotations

from typing import TYPE_CHECKING

from datatransfer.notebook import writing

if TYPE_CHECKING:
    from datatransfer.notebook.import_wizard import ImportWizard


def import_code(wizard: ImportWizard) -> str:
    """Return the calls that repeat an import, as far as it is put together."""
    keys = [key for _, keys, _ in wizard.decisions for key in keys]
    lines = [*writing.imports(keys), "import datatransfer as dt", "", *writing.opened("target", wizard.target.code)]
    if wizard.package is None:
        return "\n".join(lines)
    lines += [
        writing.call("package = dt.DataPackage.open", str(wizard.package.path)), "assert package.verify().ok", "",
        "importer = dt.PackageImporter(package, target)",
    ]  # fmt: skip
    if wizard.resumed:  # policies and decisions are those of the call that was interrupted
        lines.append(f"receipt = importer.resume({wizard.resumed!r})")
        return "\n".join(lines)
    lines.append(writing.call("plan = importer.plan", **wizard.options()))
    lines += writing.decided(wizard.decisions)
    lines.append("receipt = importer.run(plan)")
    return "\n".join(lines)

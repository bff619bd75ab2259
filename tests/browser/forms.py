"""What a person does with a form, in words; and a walk through each of the two, for tests and pictures alike."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from tests.browser.page import Lab

if TYPE_CHECKING:
    from playwright.sync_api import Locator

MOST_TABS = 60
# long names hold spaces without width, where they may be broken
VALUES = """(select, names) => names.map((name) => [...select.options].map((option) => option.value).find((value) => {
  const told = value.replaceAll("\u200b", ""); return told === name || told.startsWith(`${name}: `); }))"""
OFFERED = f"([select, names]) => ({VALUES})(select, names).every(Boolean)"
FOCUSED = """() => { const on = document.activeElement;
  return (on.labels?.[0]?.innerText || on.ariaLabel || on.innerText || on.tagName).trim(); }"""
USABLE = """(name) => [...document.querySelectorAll(".jp-OutputArea :is(button, input, select)")].some((control) =>
  control.offsetParent && !control.disabled && (control.labels?.[0]?.innerText || control.innerText).trim() === name)"""


class FormPage:
    """A form below a cell.

    Parameters
    ----------
    lab : Lab
    cell : int
        Which shows the form as its result, and has run.
    """

    def __init__(self, lab: Lab, cell: int) -> None:
        self.lab = lab
        self.cell = cell
        self.area = lab.output(cell)
        self.button("Show code").wait_for()

    def button(self, name: str) -> Locator:
        """Return the button of this name that can be seen."""
        return self.area.get_by_role("button", name=name, exact=True).locator("visible=true").first

    def control(self, label: str) -> Locator:
        """Return the control with this label."""
        return self.area.get_by_label(label, exact=True)

    def click(self, name: str) -> None:
        """Click on a button as soon as it can be."""
        self.button(name).click()

    def write(self, label: str, text: str) -> None:
        """Write into a line and leave it."""
        self.control(label).fill(text)
        self.control(label).press("Enter")

    def choose(self, label: str, *options: str) -> None:
        """Choose from a list; of an option that says what it means, the word before that is enough."""
        control = self.control(label)
        if label == "Tables":  # they are listed anew when they are counted
            control.locator("option[value$=rows], option[value$=row]").first.wait_for(state="attached")
        self.lab.page.wait_for_function(OFFERED, arg=[control.element_handle(), list(options)])
        control.select_option(value=control.evaluate(VALUES, list(options)))

    def see(self, text: str) -> None:
        """Wait until this text can be seen."""
        self.area.get_by_text(text).locator("visible=true").first.wait_for()

    def at(self, step: str) -> None:
        """Wait until this step is the current one."""
        self.area.locator("[aria-current=step]", has_text=step).wait_for()

    def reach(self, name: str) -> None:
        """Press Tab until what has this label, or reads so, has the focus."""
        seen = []
        for _ in range(MOST_TABS):
            self.lab.page.keyboard.press("Tab")
            seen.append(str(self.lab.page.evaluate(FOCUSED)))
            if seen[-1] == name:
                return
        raise AssertionError(f"{name} cannot be reached by keys, only {seen}")

    def key(self, name: str, key: str = "Enter") -> None:
        """Go to a control by keys, as soon as it can be used, and press a key there."""
        self.lab.page.wait_for_function(USABLE, arg=name)
        self.reach(name)
        self.lab.page.keyboard.press(key)

    @property
    def text(self) -> str:
        """All that can be read."""
        return self.area.inner_text()


def walk_export(form: FormPage, tables: list[str], path: str, *, where: str = "") -> Iterator[str]:
    """Go through an export and yield the name of each view, while it is shown."""
    yield "export-1"
    form.choose("Tables", *tables)
    if where:
        form.choose("Only some rows of", tables[0])
        form.write("where", where)
    form.see("rows asked for")
    yield "export-1-chosen"
    form.click("Next")
    form.see("nothing has been written")
    yield "export-2"
    for number, title in enumerate(("Graph", "Rules at foreign keys", "Leave columns out"), start=1):
        form.click(f"▸ {title}")
        yield f"export-2-fold-{number}"
    form.click("Next")
    form.at("Where to")
    yield "export-3"
    form.write("New file", path)
    form.click("Show code")
    yield "export-3-code"
    form.click("Show code")
    form.click("Export")
    form.see("written:")
    yield "export-5"


def walk_import(form: FormPage, path: str) -> Iterator[str]:
    """Go through an import and an undo, and yield the name of each view, while it is shown."""
    yield "import-1"
    form.write("Package", path)
    form.see("verified: complete and valid")
    yield "import-1-verified"
    form.click("Next")
    form.at("What is inside")
    yield "import-2"
    form.click("Next")
    form.see("Nothing in the target has changed yet")
    yield "import-3"
    form.click("Import")
    form.see("the import is done")
    yield "import-5"
    form.control("Undo takes back what this import wrote").check()
    form.click("Undo")
    form.see("the import was taken back")
    yield "import-5-undone"

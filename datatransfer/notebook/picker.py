"""PathPicker: a file or a new name chosen in the folders of the machine that the kernel runs on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import ipywidgets as w

from datatransfer.display import blocks
from datatransfer.notebook import parts

_MOST = 500
UPLOAD_BYTES = 8_000_000
"""`FileUpload` loses larger files without a word, so they are refused; JupyterLab's own file browser takes them."""


class PathPicker(w.VBox):
    """A line for the path, and a list of the folder that it leads to.

    Parameters
    ----------
    label : str
    on_pick : callable
        Told of every path that is picked or written; of an empty text where what is written names no file.
    folder : path
        Where to begin.
    upload : bool
        Whether small files may be sent from the browser.
    hint : str
        What stands in the line while it is empty.
    """

    def __init__(
        self,
        label: str,
        on_pick: Callable[[str], object],
        *,
        folder: str | Path = ".",
        upload: bool = False,
        hint: str = "a path on the machine of the kernel",
    ) -> None:
        self._on_pick = on_pick
        self._entries: dict[str, Path] = {}
        self._listing = False
        self.folder = Path(folder).expanduser().absolute()
        self.path = parts.text(label, hint=hint, on_change=self._written)
        self.list = w.Select(
            description="In this folder", rows=8, style={"description_width": "initial"}, layout=parts.full()
        )
        self.said = parts.html()
        self.list.observe(self._listed, names="value")
        # buttons, as the arrow keys choose every entry that they pass
        self.into = parts.button("Open folder", self._go_into, tip="list the folder that is chosen")
        self.up = parts.button("Folder above", self._go_up, tip="list the folder that holds this one")
        again = parts.button("List again", self.look, tip="show what has come into the folder since")
        children: list[w.Widget] = [self.path, self.said, self.list, parts.row(self.into, self.up, again)]
        if upload:
            children.append(self._upload_row())
        super().__init__(tuple(children), layout=parts.full())
        self.look()

    @property
    def value(self) -> str:
        """The path that is picked."""
        return str(self.path.value)

    def clear(self) -> None:
        """Pick nothing, and list the folder as it is now."""
        self.path.value = ""
        self.look()

    def look(self, folder: Path | None = None) -> None:
        """List a folder, sub-folders first."""
        self.folder = (folder or self.folder).absolute()
        try:
            found = [entry for entry in self.folder.iterdir() if not entry.name.startswith(".")]
            folders = sorted((e for e in found if e.is_dir()), key=lambda e: e.name.lower())
            files = sorted((e for e in found if e.is_file() and e.suffix == ".zip"), key=lambda e: e.name.lower())
            none = "" if folders or files else ", which holds neither folders nor packages"
            self.said.value = parts.words(f"Folder: {self.folder}{none}")
        except OSError as error:
            folders, files = [], []
            self.said.value = parts.mark("bad", f"{self.folder}: it cannot be read ({type(error).__name__})")
        self._entries = {f"{blocks.visible(entry.name)}/": entry for entry in folders[:_MOST]}
        self._entries |= {f"{blocks.visible(e.name)}  ({blocks.size(_bytes(e))})": e for e in files[:_MOST]}
        more = len(folders) + len(files) - len(self._entries)
        if more > 0:
            self.said.value += parts.words(f"and {more:,} more, which can be written above")
        self._choose_none(list(self._entries))
        self.up.disabled = self.folder == self.folder.parent

    def _choose_none(self, options: list[str] | None = None) -> None:
        self._listing = True  # new options choose the first of them for a moment, which nobody asked for
        try:
            if options is not None:
                self.list.options = options
            self.list.value = None
        finally:
            self._listing = False
        self.into.disabled = True

    @property
    def _chosen(self) -> Path | None:
        return self._entries.get(str(self.list.value))

    def _listed(self, _change: dict[str, object]) -> None:
        if self._listing:
            return
        entry = self._chosen
        is_folder = entry is not None and entry.is_dir() and not _is_package(entry)
        self.into.disabled = not is_folder
        if entry is not None and not is_folder:
            self.path.value = str(entry)

    def _go_into(self) -> None:
        if (entry := self._chosen) is not None:
            self.look(entry)

    def _go_up(self) -> None:
        self.look(self.folder.parent)

    def _written(self, path: str) -> None:
        if self._chosen is None or str(self._chosen) != path:
            self._choose_none()  # what is written is another one; the list tells only of what changes in it
        where = Path(path).expanduser() if path else None
        if where is not None and self.folder != Path.cwd():
            where = self.folder / where  # what is written is meant as a name in the folder that is shown
        if where is not None and where.is_dir() and not _is_package(where):
            self.look(where)
            where = None
        self._on_pick("" if where is None else str(where))

    def _upload_row(self) -> w.Widget:
        self.upload = w.FileUpload(description="Send a small file", accept=".zip", multiple=False)
        self.upload.layout.width = "auto"
        self.upload.observe(self._uploaded, names="value")
        limit = parts.html(
            parts.words(f"up to {blocks.size(UPLOAD_BYTES)}; larger ones with JupyterLab's own file browser")
        )
        return parts.row(self.upload, limit)

    def _uploaded(self, change: dict[str, object]) -> None:
        sent = change["new"]
        if not isinstance(sent, tuple) or not sent:
            return
        content, name = bytes(sent[0]["content"]), Path(str(sent[0]["name"])).name
        if len(content) > UPLOAD_BYTES or len(content) != sent[0]["size"]:
            self.said.value = parts.mark("bad", f"{name}: too large to send this way")
            return
        path = self.folder / name
        if path.exists():
            self.said.value = parts.mark("bad", f"{path}: there is a file of that name already")
            return
        path.write_bytes(content)
        self.look()
        self.path.value = str(path)


def _is_package(folder: Path) -> bool:
    """Whether a folder is a package, which may be one too."""
    return (folder / "metadata.json").is_file() and (folder / "manifest.json").is_file()


def _bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0

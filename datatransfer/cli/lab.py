"""``datatransfer lab``: a copy of the tutorial notebooks in a folder of one's own, opened in JupyterLab.

Files that are in the folder stay as they are, so the command can be given again and again: what was edited or run is
not lost. Knows neither databases nor packages.
"""

from __future__ import annotations

import argparse
import sys
from importlib.util import find_spec
from pathlib import Path

from datatransfer.cli.output import Output
from datatransfer.display.plain import counted, visible
from datatransfer.errors import UsageError


def lab(options: argparse.Namespace, out: Output) -> int:
    """Copy the notebooks, and open them in JupyterLab unless told not to."""
    if options.start and find_spec("jupyterlab") is None:
        raise UsageError(
            "JupyterLab is not installed beside datatransfer, so the notebooks cannot be opened with it",
            hint="pip install 'datatransfer[lab]'; or --no-start, and open the copies with what you have",
        )
    folder = Path(options.folder).expanduser().absolute()
    told = lay_out(folder)
    out.result({"folder": str(folder), **told, "started": options.start}, _text(folder, told))
    if not options.start:
        return 0
    _trust([folder / name for name in told["notebooks"] if name not in told["kept"]])
    return _start(folder, told["notebooks"][0], options.jupyter)


def notebooks_folder() -> Path:
    """Return where the tutorial notebooks lie: in the installed package, else beside it in a source tree."""
    import datatransfer

    package = Path(datatransfer.__file__).parent
    installed = package / "_notebooks"
    return installed if installed.is_dir() else package.parent / "notebooks"


def lay_out(folder: Path) -> dict[str, list[str]]:
    """Copy the notebooks that the folder does not have.

    Parameters
    ----------
    folder : Path
        Made if it does not exist.

    Returns
    -------
    dict
        Names: all ``notebooks``, those ``copied`` now, and those ``kept`` because the folder's differ.

    Raises
    ------
    UsageError
        The folder cannot be made or written.
    """
    told: dict[str, list[str]] = {"notebooks": [], "copied": [], "kept": []}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path in sorted(notebooks_folder().glob("*.ipynb")):
            told["notebooks"].append(path.name)
            outcome = _copy(path.read_bytes(), folder / path.name)
            if outcome:
                told[outcome].append(path.name)
    except OSError as error:
        raise UsageError(
            f"the notebooks cannot be copied there: {error.strerror or type(error).__name__}",
            where=str(folder), hint="name another folder with --folder",
        ) from error  # fmt: skip
    return told


def _copy(content: bytes, target: Path) -> str:
    try:
        with target.open("xb") as file:  # never over a file that is there, also one that appears this moment
            file.write(content)
    except FileExistsError:
        return "" if target.is_file() and target.read_bytes() == content else "kept"
    return "copied"


def _trust(copies: list[Path]) -> None:
    """Sign notebooks that are as they were shipped: of others JupyterLab shows neither the pictures nor the styles."""
    from nbformat import read
    from nbformat.sign import NotebookNotary

    notary = NotebookNotary()  # type: ignore[no-untyped-call]
    try:
        for path in copies:
            notary.sign(read(path, as_version=4))  # type: ignore[no-untyped-call]
    finally:
        notary.store.close()


def _text(folder: Path, told: dict[str, list[str]]) -> str:
    there = len(told["notebooks"]) - len(told["copied"])
    lines = [f"{visible(str(folder))}: {counted(len(told['copied']), 'notebook')} copied, {there} there already"]
    if told["kept"]:
        lines.append(f"kept as you left them: {', '.join(told['kept'])}; delete one to get it anew")
    return "\n".join(lines)


def _start(folder: Path, first: str, options: list[str]) -> int:
    from jupyterlab.labapp import LabApp

    sys.stdout.flush()  # before JupyterLab begins to speak
    # in this process, so that Ctrl-C and signals are JupyterLab's to answer
    LabApp.launch_instance([f"--ServerApp.root_dir={folder}", f"--LabApp.default_url=/lab/tree/{first}", *options])
    return 0

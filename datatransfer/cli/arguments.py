"""What can be typed: every command, its options, and an example of each.

Says which function a command runs, by name only, so that ``--help`` loads neither databases nor packages.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

from datatransfer.cli.parser import Parser
from datatransfer.cli.roots import add_roots

ON_MATCH = ("skip", "update", "newest:COLUMN", "error")
ON_CLASH = ("error", "reuse", "rename")
ON_ORPHAN = ("error", "keep", "null")
ENCODINGS = ("auto", "documents", "columns")


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    from datatransfer import __version__

    parser = Parser(
        prog="datatransfer",
        description="Take a coherent part of a database into one package, and bring it into another database.",
        epilog="Try it now, nothing is needed:\n  datatransfer demo",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"datatransfer {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    looking = (_demo, _tables, _export, _inspect, _verify, _diff, _check)
    for add in (*looking, _plan, _import, _resume, _stages, _receipts, _undo, _track, _lab):
        add(commands)
    return parser


def _run(name: str) -> Callable[..., int]:
    module, _, function = name.rpartition(".")

    def run(*arguments: Any) -> int:
        return int(getattr(import_module(f"datatransfer.cli.{module}"), function)(*arguments))

    return run


def _command(commands: Any, name: str, function: str, about: str, *examples: str) -> argparse.ArgumentParser:
    lines = "\n".join(f"  {example}" for example in examples)
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=about,
        description=f"{about[0].upper()}{about[1:]}.",
        epilog=f"{'example' if len(examples) == 1 else 'examples'}:\n{lines}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
    parser.add_argument("--quiet", action="store_true", help="neither progress bars nor warnings")
    parser.set_defaults(run=_run(function))
    return parser


def _demo(commands: Any) -> None:
    parser = _command(
        commands, "demo", "demo.demo",
        "watch rows and files travel between two sample databases, in a temporary folder",
        "datatransfer demo",
        "datatransfer demo --keep ./demo      # keeps the databases and the package, to play with",
    )  # fmt: skip
    parser.add_argument("--keep", metavar="DIR", help="make everything in this new folder, and keep it")


def _tables(commands: Any) -> None:
    parser = _command(
        commands, "tables", "looking.tables", "list the tables of a database, with rows, keys and references",
        "datatransfer tables sqlite:///shop.db",
        "datatransfer tables postgresql+psycopg://me@localhost/shop --schema sales --json",
    )  # fmt: skip
    _database(parser, "url")


def _export(commands: Any) -> None:
    parser = _command(
        commands, "export", "transfers.export", "write rows, what they depend on, and their files into a package",
        "datatransfer export sqlite:///shop.db all.zip --all",
        "datatransfer export sqlite:///shop.db all.zip --all --leave-out users.password",
        'datatransfer export sqlite:///shop.db open.zip --table orders --where "placed >= :day" --param day=2026-01-01',
        "datatransfer export sqlite:///shop.db c42.zip --key customers=42 --stop audit.order_id \\",
        "    --files attachments.path=uploads/",
    )  # fmt: skip
    _database(parser, "url")
    parser.add_argument("package", metavar="PACKAGE", help="the file to write; a name without .zip makes a folder")
    add_roots(parser)
    rules = parser.add_argument_group(
        "rules",
        "which foreign keys to go along; default: all. Up is from a row to what it refers to, down is the other way",
    )
    for word, about in (
        ("follow", "go along this foreign key (the default)"),
        ("stop", "do not go along this foreign key"),
        ("null", "leave out what this foreign key refers to, and set it to NULL"),
    ):
        rules.add_argument(f"--{word}", action="append", default=[], metavar="TABLE.COLUMN[:up|:down]", help=about)
    parser.add_argument(
        "--leave-out", action="append", default=[], metavar="TABLE.COLUMN",
        help="do not carry this column; again for more columns",
    )  # fmt: skip
    _policy(parser, "--on-orphan", ON_ORPHAN, "rows whose parent does not exist")
    _policy(parser, "--on-missing-file", ("error", "skip"), "referenced files that are missing or unreadable")
    _policy(parser, "--encoding", ENCODINGS, "one JSON document a row, or columns (Parquet)")
    parser.add_argument("--overwrite", action="store_true", help="replace the package if it exists")
    parser.add_argument("--preview", action="store_true", help="count and warn; write nothing")


def _inspect(commands: Any) -> None:
    parser = _command(
        commands, "inspect", "looking.inspect", "look inside a package without importing it",
        "datatransfer inspect open.zip",
        "datatransfer inspect open.zip --table orders --head 5",
    )  # fmt: skip
    parser.add_argument("package", metavar="PACKAGE")
    parser.add_argument("--table", metavar="TABLE", help="show rows of this table")
    parser.add_argument("--head", type=_positive, default=10, metavar="N", help="how many rows (default 10)")


def _verify(commands: Any) -> None:
    parser = _command(
        commands, "verify", "looking.verify", "check a package wholly; exits with 5 if there are findings",
        "datatransfer verify open.zip",
    )  # fmt: skip
    parser.add_argument("package", metavar="PACKAGE")


def _diff(commands: Any) -> None:
    parser = _command(
        commands, "diff", "looking.diff", "compare packages or databases; exits with 1 if they differ",
        "datatransfer diff monday.zip tuesday.zip",
        "datatransfer diff open.zip sqlite:///copy.db",
    )  # fmt: skip
    parser.add_argument("first", metavar="PACKAGE|URL")
    parser.add_argument("second", metavar="PACKAGE|URL", help="of a database, only the package's rows are compared")
    _database_options(parser)


def _plan(commands: Any) -> None:
    parser = _command(
        commands, "plan", "transfers.plan", "say what an import would do, and write nothing; exits with 7 on conflicts",
        "datatransfer plan open.zip sqlite:///copy.db --on-match update --match-on users=email",
    )  # fmt: skip
    _import_options(parser)
    parser.add_argument("--save-decisions", metavar="FILE", help="write what was decided, for import --decisions")


def _import(commands: Any) -> None:
    parser = _command(
        commands, "import", "transfers.import_", "bring a package into a database, all of it or nothing",
        "datatransfer import open.zip sqlite:///copy.db",
        "datatransfer import open.zip sqlite:///copy.db --files attachments.path=copies/ --on-match update",
    )  # fmt: skip
    _import_options(parser)
    _backup(parser)


def _import_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("package", metavar="PACKAGE")
    _database(parser, "target", "TARGET_URL")
    _by_table(parser, "--on-match", ON_MATCH, "rows that are there already")
    _by_table(parser, "--on-clash", ON_CLASH, "a unique key that another row holds")
    _policy(parser, "--identity", ("keep", "copy"), "keep the UUIDs, or give fresh ones")
    _policy(parser, "--on-orphan", ON_ORPHAN, "rows whose parent is neither in package nor target")
    _policy(parser, "--triggers", ("suspend", "fire"), "the target's triggers during the import")
    parser.add_argument(
        "--match-on", action="append", default=[], metavar="TABLE=COLUMN[,COLUMN]",
        help="columns that tell that two rows are the same thing; again for more tables",
    )  # fmt: skip
    parser.add_argument(
        "--decisions", metavar="FILE", help="what was decided for single entities, as plan.save(file) writes it"
    )
    parser.add_argument(
        "--decide", action="append", default=[], metavar="TABLE=KEY=WORD",
        help="insert | update | skip | reuse | rename for one entity of the package; a key of several columns as a "
        "JSON list; again for more",
    )  # fmt: skip
    _mapping_options(parser)


def _mapping_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("differences", "where package and target differ; each may be given again")
    for option, shape, about in (
        ("rename", "TABLE.COLUMN=COLUMN", "a column of the package is called otherwise in the target"),
        ("rename-table", "TABLE=TABLE", "a table of the package is called otherwise in the target"),
        ("drop", "TABLE.COLUMN", "leave a column of the package out"),
        ("drop-table", "TABLE", "leave a table of the package out"),
        ("default", "TABLE.COLUMN=VALUE", "for rows that have no value of their own; =text, or :=JSON"),
        ("cast", "TABLE.COLUMN=KIND", "let values change as they become of another kind, e.g. integer, or shorter"),
    ):
        group.add_argument(f"--{option}", action="append", default=[], metavar=shape, help=about)
    group.add_argument("--mapping", metavar="FILE", help="all of these, as --save-mapping wrote them")
    group.add_argument("--save-mapping", metavar="FILE", help="write them into a file, to be used again")
    group.add_argument("--migrations", metavar="DIR", help="the application's Alembic scripts: tell which is newer")


def _check(commands: Any) -> None:
    parser = _command(
        commands, "check", "transfers.check", "say whether a package fits a database; exits with 6 if it does not",
        "datatransfer check open.zip sqlite:///copy.db",
        "datatransfer check open.zip sqlite:///copy.db --rename orders.placed=placed_at --save-mapping shop.json",
    )  # fmt: skip
    parser.add_argument("package", metavar="PACKAGE")
    _database(parser, "target", "TARGET_URL")
    _mapping_options(parser)


def _backup(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--backup", metavar="PACKAGE", help="first write the rows that will change into this package")


def _resume(commands: Any) -> None:
    parser = _command(
        commands, "resume", "recovering.resume", "go on with an import that was interrupted, with its own options",
        "datatransfer resume open.zip sqlite:///copy.db",
    )  # fmt: skip
    parser.add_argument("package", metavar="PACKAGE")
    _database(parser, "target", "TARGET_URL")
    parser.add_argument("--import-id", metavar="ID", help="which one, see stages; default: the latest of the package")
    _backup(parser)


def _stages(commands: Any) -> None:
    parser = _command(
        commands, "stages", "recovering.stages", "list the imports that were begun and are not finished",
        "datatransfer stages sqlite:///copy.db",
        "datatransfer stages sqlite:///copy.db --drop 6d1c8f4e-...",
    )  # fmt: skip
    _database(parser, "url")
    parser.add_argument("--drop", action="append", default=[], metavar="ID", help="remove what this import left behind")


def _receipts(commands: Any) -> None:
    parser = _command(
        commands, "receipts", "looking.receipts", "list the imports into a database, or show one",
        "datatransfer receipts sqlite:///copy.db",
        "datatransfer receipts sqlite:///copy.db 6d1c8f4e-...",
    )  # fmt: skip
    _database(parser, "url")
    parser.add_argument("import_id", metavar="IMPORT_ID", nargs="?")


def _undo(commands: Any) -> None:
    parser = _command(
        commands, "undo", "recovering.undo", "take back what an import wrote; exits with 7 where rows changed since",
        "datatransfer undo sqlite:///copy.db 6d1c8f4e-... --check",
        "datatransfer undo sqlite:///copy.db 6d1c8f4e-... --files attachments.path=copies/",
    )  # fmt: skip
    _database(parser, "url")
    parser.add_argument("import_id", metavar="IMPORT_ID", help="of an import or an undo, see receipts")
    parser.add_argument("--check", action="store_true", help="say what an undo would find; change nothing")
    parser.add_argument(
        "--keep-edited", action="store_true", help="leave rows that were edited since, or that others refer to"
    )
    _backup(parser)


def _track(commands: Any) -> None:
    parser = _command(
        commands, "track", "transfers.track", "give tables an entity_uuid column, so that rows keep their identity",
        "datatransfer track sqlite:///shop.db customers orders",
        "datatransfer track sqlite:///shop.db          # every table that has a key",
    )  # fmt: skip
    _database(parser, "url")
    parser.add_argument("tables", metavar="TABLE", nargs="*")


def _lab(commands: Any) -> None:
    parser = _command(
        commands, "lab", "lab.lab", "copy the tutorial notebooks into a folder of your own and open them in JupyterLab",
        "datatransfer lab",
        "datatransfer lab --folder ~/lessons --no-start",
        "datatransfer lab -- --no-browser --port 8890      # options of JupyterLab",
    )  # fmt: skip
    parser.add_argument(
        "--folder", metavar="DIR", default="datatransfer-notebooks",
        help="default ./datatransfer-notebooks; what is there already stays as it is",
    )  # fmt: skip
    parser.add_argument("--no-start", dest="start", action="store_false", help="only copy them")
    parser.add_argument("jupyter", metavar="OPTION", nargs="*", help="after --: options of JupyterLab")


def _policy(parser: argparse.ArgumentParser, option: str, words: Sequence[str], about: str) -> None:
    choices = " | ".join([f"{words[0]} (default)", *words[1:]])
    parser.add_argument(option, choices=words, default=words[0], metavar="WORD", help=f"{about}: {choices}")


def _by_table(parser: argparse.ArgumentParser, option: str, words: Sequence[str], about: str) -> None:
    choices = " | ".join([f"{words[0]} (default)", *words[1:]])
    about = f"{about}: {choices}; TABLE=WORD for one table, again for more"

    def word_of(text: str) -> tuple[str, str]:
        table, _, word = text.rpartition("=")
        if word not in words and not (word.startswith("newest:") and "newest:COLUMN" in words):
            raise argparse.ArgumentTypeError(f"{word!r} is not one of {', '.join(words)}")
        return table or "*", word

    parser.add_argument(option, action="append", type=word_of, default=[], metavar="[TABLE=]WORD", help=about)


def _database(parser: argparse.ArgumentParser, name: str, shown: str = "URL") -> None:
    parser.add_argument(name, metavar=shown, help="an SQLAlchemy URL, or env:NAME to read it from the environment")
    _database_options(parser)


def _database_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("database")
    group.add_argument("--schema", metavar="NAME", help="the database's schema, if not its default one")
    group.add_argument(
        "--files", action="append", default=[], metavar="TABLE.COLUMN=DIR",
        help="a column that holds paths of files in this folder; again for more columns",
    )  # fmt: skip


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return number

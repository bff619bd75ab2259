"""A parser of options that leaves it to others how to say what is wrong: to a person, or as JSON."""

from __future__ import annotations

import argparse
from typing import NoReturn

from datatransfer.cli.output import without_passwords


class WrongOptions(Exception):
    """What was typed is no command; the text holds no password, also of an address in the wrong place."""

    def __init__(self, parser: argparse.ArgumentParser, message: str) -> None:
        super().__init__(without_passwords(message))
        self._parser = parser
        self.command = parser.prog

    def exit(self) -> NoReturn:
        """Say it to a person, with how the command is used, and exit with 2."""
        argparse.ArgumentParser.error(self._parser, str(self))


class Parser(argparse.ArgumentParser):
    """A parser that leaves it to others how to say what is wrong."""

    def error(self, message: str) -> NoReturn:
        """Raise what is wrong."""
        raise WrongOptions(self, message)

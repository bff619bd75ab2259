"""From a database to a package: which rows, with what reason, in what order."""

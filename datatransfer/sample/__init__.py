"""A small data catalogue to try everything on: users, datasets with versions, folders, tags and files.

Examples
--------
>>> import tempfile
>>> from datatransfer.sample import sample_database
>>> with sample_database(tempfile.mkdtemp()) as db:
...     db.count("datasets")
24
"""

from datatransfer.sample.catalogue import FILES, create_sample, create_schema, sample_database

__all__ = ["FILES", "create_sample", "create_schema", "sample_database"]

"""Transfers in a worker thread, with a journal on disk.

A job runs any callable that takes a listener and a cancellation; it knows neither databases nor packages. Who starts
one returns at once and may look at `Job.progress`, cancel it, wait for it, or await it.
"""

from datatransfer.background.job import Job, start
from datatransfer.background.journal import jobs

__all__ = ["Job", "jobs", "start"]

"""Speed and memory, measured against other tools in the same run: ``python -m tests.benchmarks``."""

"""Long runs with many made-up cases: ``python -m tests.campaign``."""

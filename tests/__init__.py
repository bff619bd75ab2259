"""Tests, benchmarks and campaigns of datatransfer."""

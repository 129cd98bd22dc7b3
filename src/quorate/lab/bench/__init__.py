"""Benchmarks of local clusters: in alternation, pair by pair, with every process's share of the processor."""

from quorate.lab.bench.run import BenchOptions, BenchResult, run_bench

__all__ = ["BenchOptions", "BenchResult", "run_bench"]

"""Benchmarks: what this implementation saves, against plain renderings of what was published.

``python -m bench`` (``make bench``) measures both sides in one process on the same inputs, checks
that they give the same numbers and prints ratios. A benchmark is a function in one of these modules
that yields figures; its name stands in ``bench.__main__.BENCHMARKS``.
"""

"""Parity: our methods against tensors recorded from the original implementations.

``python -m tests.parity <folder>`` (``make parity GOLDEN=<folder>``) runs every recording it finds.
It belongs to the tests, not to the methods: nothing that edits a clip needs it.
"""

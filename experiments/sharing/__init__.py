"""Sharing: an experiment's cells in packs that DVC carries, and the union of two stores."""

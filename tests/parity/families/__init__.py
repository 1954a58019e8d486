"""One module per family of recordings; a new family is a new file.

A module names the original repositories in ``REPOSITORIES`` and gives, in ``cases(recording)``, the
recording's cases: names and functions that yield comparisons. Either may raise ``CannotRun``.
"""

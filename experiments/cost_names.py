"""The cost figures of a cell, as its run record and the tidy table name them."""

SECONDS = (
    "seconds_load",
    "seconds_warmup",
    "seconds_invert",
    "seconds_edit",
    "seconds_decode",
)
COUNTS = (
    "inversion_evaluations",
    "network_evaluations",
    "peak_memory_mb",
    "peak_reserved_mb",
    "energy_j",
)
COSTS = (*SECONDS, "seconds_per_frame", *COUNTS)

"""The cost figures of a cell, as its run record and the tidy table name them."""

SECONDS = (
    "seconds_load",
    "seconds_warmup",
    "seconds_tune",
    "seconds_invert",
    "seconds_edit",
    "seconds_decode",
)
COUNTS = (
    "tuning_evaluations",
    "inversion_evaluations",
    "network_evaluations",
    "peak_memory_mb",
    "peak_reserved_mb",
    "energy_j",
)
#: Of methods alone whose network is tuned on the clip.
TUNING = ("seconds_tune", "tuning_evaluations")
COSTS = (*SECONDS, "seconds_per_frame", *COUNTS)

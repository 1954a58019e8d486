"""Networks with published weights, behind the metrics. Importing one loads no torch."""

"""Networks behind the metrics, one file each."""

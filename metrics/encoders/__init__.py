"""The networks behind the metrics, one file each."""

"""Score stored images by the metrics of a suite."""

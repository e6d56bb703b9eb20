"""The metrics: encoders that look at pictures, and the statistics that turn what they see into numbers."""

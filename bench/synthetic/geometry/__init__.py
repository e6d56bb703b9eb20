"""The blend-shape head model, the script that builds it, and array functions."""

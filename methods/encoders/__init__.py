"""Image encoders that methods condition on."""

"""Head geometry."""

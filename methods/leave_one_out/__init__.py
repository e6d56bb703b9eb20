"""The leave-one-out aggregator: what several photographs of a person say together."""

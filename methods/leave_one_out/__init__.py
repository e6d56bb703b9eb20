"""The leave-one-out aggregator: one person's tokens from several photographs."""

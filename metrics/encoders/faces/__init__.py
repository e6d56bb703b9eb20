"""Face detectors and face embeddings."""

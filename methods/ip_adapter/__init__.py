"""IP-Adapter and IP-Adapter-FaceID."""

"""Code shared by all encoders: inference mode, caching, weight files, ONNX sessions."""

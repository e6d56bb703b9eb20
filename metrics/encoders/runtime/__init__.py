"""What all encoders share: inference mode, caching, weight files, ONNX sessions."""

"""Networks to PyTorch and ONNX, and back."""

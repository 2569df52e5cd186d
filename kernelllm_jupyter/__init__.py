"""PyTorch module in, proven Triton kernel out, inside the notebook."""

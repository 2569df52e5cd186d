"""Compiling for a GPU, present or not: what is refused, and what the kernels take of it."""

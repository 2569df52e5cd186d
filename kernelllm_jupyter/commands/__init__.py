"""The larger commands of ``kernelllm``, one module each; ``cli`` names them all."""

"""``python -m kernelllm_jupyter`` is the ``kernelllm`` command, and this is how both begin."""

import sys

__all__ = ["main"]


def main() -> int:
    """Run the command. An interrupt ends it in one line also while it is being imported."""
    try:
        from kernelllm_jupyter.cli import main as command

        return command()
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())

"""``python -m kernelllm_jupyter`` is the ``kernelllm`` command."""

import sys

from kernelllm_jupyter.cli import main

sys.exit(main())

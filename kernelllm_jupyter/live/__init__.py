"""What a notebook's live objects give a problem: source, weights, inputs of real calls.

:func:`~kernelllm_jupyter.live.capture.capture` keeps the arguments of calls; ``problem.py`` makes a
problem of a module instance. Nothing here changes a live object, or runs one.
"""

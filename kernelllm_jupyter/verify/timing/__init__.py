"""How long a candidate takes: clocks, turns, statistics and limits. See docs/timing.md."""

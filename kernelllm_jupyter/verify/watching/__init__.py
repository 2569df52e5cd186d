"""What a candidate's code does besides returning a result, seen in its own process."""

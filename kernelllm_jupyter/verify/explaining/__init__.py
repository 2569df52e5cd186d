"""Wrong results and exceptions in words that a person can act on."""

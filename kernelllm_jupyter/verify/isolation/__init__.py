"""What a child process gives up before generated code runs in it. Imports no torch."""

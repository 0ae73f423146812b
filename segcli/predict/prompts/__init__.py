"""Prompts that a user gives: on the command line, or in files, one reader for each kind."""

"""Suite files: parsing, prompts, built-in suites."""

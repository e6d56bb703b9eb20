"""The harness: suites in, generations and comparison tables out."""

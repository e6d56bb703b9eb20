"""Where groups are generated: this process, worker processes, Ray."""

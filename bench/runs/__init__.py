"""What a run consists of on disk: plan, cells, tables, fingerprints."""

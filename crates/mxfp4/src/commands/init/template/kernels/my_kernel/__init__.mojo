"""Custom operations for MAX graphs: `op` registers them, `arithmetic` is what they compute."""

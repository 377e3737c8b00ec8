"""What the paper says: its curves, how far ours are from them, its claims and their verdicts."""

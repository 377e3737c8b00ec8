"""Training: stacks of replicas, pilots, checkpoints, evaluation, and the same on a GPU."""

"""What every room stands on: errors, whole files, streams of random numbers, provenance, words."""

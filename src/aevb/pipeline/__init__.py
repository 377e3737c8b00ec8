"""What Snakemake calls, and a person at a terminal."""

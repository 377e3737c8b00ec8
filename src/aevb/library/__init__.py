"""The public library: what `import aevb` offers to a person, see docs/library.md."""

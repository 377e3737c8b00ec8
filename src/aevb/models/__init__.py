"""Encoders and decoders, their densities, and the fast path of both."""

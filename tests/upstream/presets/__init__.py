"""Presets: each provider as its vendor documents it, replayed over HTTP on loopback."""

"""The authorization server: one endpoint a module. `validator` is the seam to DOT."""

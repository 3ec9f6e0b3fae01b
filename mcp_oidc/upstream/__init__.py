"""The relying party: users log in at the team's identity provider, and tools get its tokens."""

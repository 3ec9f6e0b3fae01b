"""The protected resource: access tokens are accepted here, in front of MCP endpoints of whatever framework.

Nothing is imported here, so that `resource.remote` can be used in a process without Django.
"""

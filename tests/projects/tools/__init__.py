"""An app with tools of django-mcp-server."""

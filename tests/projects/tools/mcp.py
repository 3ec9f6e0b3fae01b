"""The tools of docs/protect/django-mcp-server.md, where django-mcp-server looks for them."""

from tests.resource.doc_pages import run_block

Tools = run_block("protect/django-mcp-server.md", 1)["Tools"]

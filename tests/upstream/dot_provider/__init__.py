"""django-oauth-toolkit as an identity provider: plain, with its own pages, in a process and a database of its own.

`python -m tests.upstream.dot_provider` serves what the environment says, see `tests.upstream.provider_configuration`.
"""

"""An identity provider made with Authlib and Flask: ES256, client assertions, and its own idea of everything else.

`python -m tests.upstream.authlib_provider` serves what the environment says, see
`tests.upstream.provider_configuration`.
"""

"""The pages and endpoints of the provider, and the process that serves them."""

from __future__ import annotations

import logging
import time
from typing import Any

from authlib.integrations.flask_oauth2 import current_token
from authlib.oauth2 import OAuth2Error
from flask import Flask, Response, jsonify, redirect, request, session
from werkzeug.serving import make_server as make_http_server

from tests.upstream.authlib_provider.records import User
from tests.upstream.authlib_provider.server import (
    ALGORITHM,
    CONFIGURATION,
    ISSUER,
    KEYS,
    claims_of,
    make_server,
    protector,
)
from tests.upstream.provider_configuration import PASSWORD, USERS

LOGIN_PAGE = (
    '<form method="post"><input name="username"><input name="password" type="password"><button>Log in</button></form>'
)
APPROVAL_PAGE = '<form method="post"><button name="allow" value="yes">Allow</button><button>Cancel</button></form>'
LOGOUT_PAGE = '<form method="post"><button name="allow" value="yes">Log out</button></form>'

app = Flask(__name__)
app.secret_key = "a third site"
server = make_server(app)


@app.get("/.well-known/openid-configuration")
def discovery() -> Response:
    return jsonify(
        {
            "issuer": ISSUER,
            "authorization_endpoint": f"{ISSUER}/authorize",
            "token_endpoint": f"{ISSUER}/token",
            "userinfo_endpoint": f"{ISSUER}/userinfo",
            "end_session_endpoint": f"{ISSUER}/logout",
            "jwks_uri": f"{ISSUER}/jwks",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": [ALGORITHM],
            # Not all that it takes, so that the rest has to be set by hand.
            "token_endpoint_auth_methods_supported": ["client_secret_post", "none"],
            "authorization_response_iss_parameter_supported": True,
        }
    )


@app.get("/jwks")
def jwks() -> Response:
    return jsonify({"keys": [{**key.as_dict(private=False), "kid": key.thumbprint()} for key in KEYS]})


@app.route("/authorize", methods=["GET", "POST"])
def authorize() -> Any:
    if "user" not in session:
        return log_in()
    user = User(session["user"])
    try:
        grant = server.get_consent_grant(end_user=user)
    except OAuth2Error as error:
        return server.handle_error_response(request, error)
    if grant.client.party.needs_approval and request.method == "GET":
        return APPROVAL_PAGE
    is_allowed = not grant.client.party.needs_approval or "allow" in request.form
    return server.create_authorization_response(grant_user=user if is_allowed else None, grant=grant)


def log_in() -> Any:
    if request.form.get("username") in USERS and request.form.get("password") == PASSWORD:
        session["user"], session["auth_time"] = request.form["username"], int(time.time())
        return redirect(request.url)
    return LOGIN_PAGE


@app.post("/token")
def token() -> Any:
    return server.create_token_response()


@app.get("/userinfo")
@protector("openid")
def userinfo() -> Any:
    return jsonify(claims_of(User(current_token.user)))


@app.route("/logout", methods=["GET", "POST"])
def logout() -> Any:
    try:
        asked = server.validate_endpoint_request("end_session")
    except OAuth2Error as error:
        return server.handle_error_response(request, error)
    if request.method == "GET":
        return LOGOUT_PAGE
    return server.create_endpoint_response("end_session", asked) or "Logged out"


if __name__ == "__main__":
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    make_http_server("127.0.0.1", CONFIGURATION.port, app, threaded=True).serve_forever()

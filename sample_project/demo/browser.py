"""The user's part of the tour: a browser that logs in at the demo's identity provider and answers the consent page."""

from __future__ import annotations

import re
from urllib.parse import parse_qs, urljoin, urlsplit

import requests

REDIRECTS = (301, 302, 303, 307, 308)
MAX_HOPS = 20


class DemoBrowser:
    """Follows redirects, keeps cookies, and presses the buttons of pages that it knows. `user` is who logs in."""

    def __init__(self, user: str) -> None:
        self.user = user
        self.session = requests.Session()

    def authorize(self, url: str, redirect_uri: str) -> dict[str, str]:
        """Walk from the authorization URL to the client's redirect URI, and return the parameters that arrive there."""
        response = self.session.get(url, allow_redirects=False, timeout=20)
        for _ in range(MAX_HOPS):
            if response.status_code in REDIRECTS:
                target = urljoin(response.url, response.headers["Location"])
                if target.startswith(redirect_uri):
                    return {name: values[0] for name, values in parse_qs(urlsplit(target).query).items()}
                response = self.session.get(target, allow_redirects=False, timeout=20)
            else:
                response = self._press(response)
        raise RuntimeError("The login went round in circles.")

    def answer(self, page: str) -> dict[str, str]:
        """What to send for a page: the user's name at the identity provider, Allow at the consent page."""
        return {"decision": "allow"} if 'name="decision"' in page else {"sub": self.user}

    def _press(self, response: requests.Response) -> requests.Response:
        if response.status_code != 200:
            raise RuntimeError(f"{urlsplit(response.url).path} answered {response.status_code}.")
        fields = {**dict(_INPUT.findall(response.text)), **self.answer(response.text)}
        action = _ACTION.search(response.text)
        target = urljoin(response.url, action[1]) if action else response.url
        return self.session.post(
            target, data=fields, headers={"Referer": response.url}, allow_redirects=False, timeout=20
        )


_INPUT = re.compile(r'<input(?: type="hidden")? name="([^"]+)" value="([^"]*)">')
_ACTION = re.compile(r'<form[^>]* action="([^"]+)"')

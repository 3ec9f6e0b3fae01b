"""The doctor: looks at a deployment from outside and from inside, and says what is wrong and what mends it.

`manage.py mcp_oidc_doctor` is its voice. It changes nothing: what it sends is refused by a server that is well.
"""

from mcp_oidc.doctor.examination import Report, examine

__all__ = ["Report", "examine"]

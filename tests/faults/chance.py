"""How often tests repeat what happens by chance: as often as was promised, or as a build has time for.

FAULTS_ROUNDS=1000 python -m pytest --long tests/faults/test_races.py
"""

from __future__ import annotations

import os
import random

# For delays and choices: nothing of it is a secret.
chance = random.Random()  # noqa: S311


def repeats(name: str, promised: int, *, kind: str) -> int:
    """How often on a database of this kind: a tenth of what was promised will do on all but PostgreSQL.

    FAULTS_<name> in the environment says otherwise for all of them.
    """
    return int(os.environ.get(f"FAULTS_{name}", promised if kind == "postgresql" else promised // 10))

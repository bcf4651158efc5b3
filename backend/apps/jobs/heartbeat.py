"""Proof of life: a file that a turning loop writes and the health check takes away.

No clocks are compared: the check deletes the file, and only a loop that turns writes it
again. See healthcheck.sh.
"""

from django.conf import settings

SECONDS = 2.0


def touch() -> None:
    """Say that the loop of this process turned."""
    (settings.RUNTIME_DIR / "heartbeat").touch()

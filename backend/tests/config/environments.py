"""A sound environment to spoil one variable of, and programs that read one."""

import os
import subprocess
import sys
from collections.abc import Mapping

from tests.processes import BACKEND

SOUND = {
    "DJANGO_SETTINGS_MODULE": "config.settings.production",
    "SECRET_KEY": "7b8e4c1f0a9d46e2b3c5d7f9a1e3c5d7-9f2c4e6a8b0d1f3e5c7a9b1d3f5e7c9a",
    "ALLOWED_HOSTS": "eatfit24.example",
    "PUBLIC_URL": "https://eatfit24.example",
    "POSTGRES_PASSWORD": "5e884898da28047151d0e56f8dc62927",
    "CELERY_BROKER_URL": "redis://redis:6379/1",
    "CELERY_RESULT_BACKEND": "redis://redis:6379/2",
    "TELEGRAM_BOT_TOKEN": "123456:AA-sound_token",
}
"""Production's, with nothing that is not required."""


def run_python(
    *arguments: str, environment: Mapping[str, str] = SOUND
) -> "subprocess.CompletedProcess[str]":
    """Run this Python in backend/ with `environment` and nothing else."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=BACKEND,
        env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8", **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

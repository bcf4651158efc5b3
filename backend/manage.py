#!/usr/bin/env python
"""Django's command line."""

import sys

from django.core.exceptions import ImproperlyConfigured
from django.core.management import execute_from_command_line

from config import require_settings_module

if __name__ == "__main__":
    try:
        require_settings_module()
    except ImproperlyConfigured as error:
        sys.exit(str(error))
    execute_from_command_line(sys.argv)

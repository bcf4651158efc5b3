"""Found before the package of this name, which gives Celery's command line an interactive prompt:
8 MiB in each process, for something that nobody opens in a container."""

import click


def register_repl(group: click.Group) -> None:
    """Celery calls it when its commands are defined."""

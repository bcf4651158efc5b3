"""Every test runs on a real PostgreSQL and a real Redis, both from wheels."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import django
import pytest
from hypothesis import settings as hypothesis_settings

from sandbox.embedded import Postgres, Redis

pytest_plugins = ["tests.processes", "tests.http"]

_servers: list[Postgres | Redis] = []
_data = pytest.StashKey[Path]()
_redis = pytest.StashKey[Redis]()
_postgres = pytest.StashKey[Postgres]()


# An ordinary run tries the same examples each time; a long one looks for new ones.
hypothesis_settings.register_profile(
    "ci", deadline=None, derandomize=True, database=None, max_examples=50
)
hypothesis_settings.register_profile("long", deadline=None, print_blob=True, max_examples=2000)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="the long forms: see scripts/test.sh")


def pytest_configure(config: pytest.Config) -> None:
    hypothesis_settings.load_profile("long" if config.getoption("long") else "ci")
    if getattr(config.option, "numprocesses", None) and not hasattr(config, "workerinput"):
        return  # only distributes tests to workers, each of which has servers of its own
    data = config.stash[_data] = Path(tempfile.mkdtemp(prefix="eatfit24-tests-"))
    postgres = config.stash[_postgres] = Postgres(data / "postgres", durable=False)
    _servers.append(postgres)
    redis = config.stash[_redis] = Redis(data / "redis")
    _servers.append(redis)
    os.environ.update(
        DJANGO_SETTINGS_MODULE="config.settings.test",
        SECRET_KEY="tests-only-" + "0123456789abcdef" * 4,
        ALLOWED_HOSTS="testserver,eatfit24.example",
        PUBLIC_URL="https://eatfit24.example",
        POSTGRES_HOST=postgres.host,
        POSTGRES_USER="postgres",
        POSTGRES_OWNER="postgres",
        POSTGRES_PASSWORD="not-asked-for-on-this-socket",
        CELERY_BROKER_URL=redis.url(0),
        CELERY_RESULT_BACKEND=redis.url(1),
        TELEGRAM_BOT_TOKEN="123456:tests-only",
        TELEGRAM_API_URL="http://127.0.0.1:9/telegram",  # nobody is there
        RUNTIME_DIR=str(data),
        PHOTO_DIR=str(data / "photos"),
    )
    django.setup()
    from django.conf import settings

    # Here, unlike in the processes that tests start, a pool would hold on to the test database.
    del settings.DATABASES["default"]["OPTIONS"]["pool"]


def pytest_unconfigure(config: pytest.Config) -> None:
    for server in reversed(_servers):
        server.stop()
    _servers.clear()
    if _data in config.stash:
        shutil.rmtree(config.stash[_data], ignore_errors=True)


@pytest.fixture(scope="session")
def long(pytestconfig: pytest.Config) -> bool:
    """Whether this run has time: for tests that have a longer form."""
    return bool(pytestconfig.getoption("long"))


@pytest.fixture(scope="session")
def redis_server(pytestconfig: pytest.Config) -> Redis:
    return pytestconfig.stash[_redis]


@pytest.fixture(scope="session")
def postgres_server(pytestconfig: pytest.Config) -> Postgres:
    return pytestconfig.stash[_postgres]


@pytest.fixture(scope="session")
def foods(django_db_setup: None, django_db_blocker: pytest.FixtureRequest) -> None:
    """The whole food table, once a session. Tests that truncate run after those that read it."""
    from apps.nutrition.foods import load_foods

    with django_db_blocker.unblock():  # type: ignore[attr-defined]
        load_foods()


@pytest.fixture(autouse=True)
def _empty_redis(redis_server: Redis) -> Iterator[None]:
    import redis

    yield
    if redis_server.process.poll() is None:
        redis.Redis(port=redis_server.port).flushall()

"""What all settings share. Values come through the contract, never from os.environ."""

import os
import sys
from datetime import timedelta
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from config import contract
from config.logs import logging_config

try:
    env = contract.load(os.environ)
except contract.ContractError as error:
    raise ImproperlyConfigured(str(error)) from None

BASE_DIR = Path(__file__).resolve().parents[2]
RELEASE = env.string("RELEASE")
RUNTIME_DIR = Path(env.string("RUNTIME_DIR"))

# Cookies are the console's alone: everybody else shows a token.
SESSION_COOKIE_PATH = CSRF_COOKIE_PATH = "/console/"
SESSION_COOKIE_AGE = 12 * 3600
SESSION_EXPIRE_AT_BROWSER_CLOSE = True

SECRET_KEY = env.string("SECRET_KEY")
SECRET_KEY_FALLBACKS = env.strings("SECRET_KEY_FALLBACKS")
DEBUG = env.flag("DEBUG")
PUBLIC_URL = env.string("PUBLIC_URL")
# Loopback names let checks inside a container ask the server directly; no browser
# elsewhere can reach us under them.
ALLOWED_HOSTS = [*env.strings("ALLOWED_HOSTS"), "localhost", "127.0.0.1"]
CSRF_TRUSTED_ORIGINS = [PUBLIC_URL]
ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
AUTH_USER_MODEL = "accounts.User"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.staticfiles",
    "apps.jobs",
    "apps.accounts",
    "apps.messaging",
    "apps.nutrition",
    "apps.billing",
    "apps.ai",
    "apps.bot",
    "apps.webapp",
    "apps.operations",
]

# The console is served by the backend alone, and would cost every worker its memory.
if Path(sys.argv[0]).name != "celery" and Path(sys.argv[0]).parent.name != "celery":
    INSTALLED_APPS += [
        "django.contrib.admin.apps.SimpleAdminConfig",
        "django.contrib.sessions",
        "django.contrib.messages",
    ]

MIDDLEWARE = [
    "apps.operations.middleware.RequestMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

# The API's documentation comes from the library's own files, not from a CDN. It is not an
# installed app, since that would bring it, and pydantic, into the memory of every worker.
NINJA = Path(str(distribution("django-ninja").locate_file("ninja")))
STATICFILES_DIRS = [NINJA / "static"]

TEMPLATES: list[dict[str, Any]] = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [NINJA / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

DATABASES: dict[str, dict[str, Any]] = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": env.string("POSTGRES_HOST"),
        "PORT": env.integer("POSTGRES_PORT"),
        "NAME": env.string("POSTGRES_DB"),
        "USER": env.string("POSTGRES_USER"),
        "PASSWORD": env.string("POSTGRES_PASSWORD"),
        # The pool checks a connection before it lends it, so a restarted PostgreSQL fails
        # no request and no job; it replaces CONN_MAX_AGE, which Celery does not heed.
        "CONN_MAX_AGE": 0,
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": {
            "pool": {
                "min_size": 0,
                "max_size": env.integer("POSTGRES_POOL_SIZE"),
                "max_idle": 60,
                "timeout": 3,
                # An attempt that began while PostgreSQL was away must not outlast its absence.
                "reconnect_timeout": 3,
            },
            "connect_timeout": 3,
            "application_name": f"eatfit24-{RELEASE}",
            # A lost network shows within half a minute, not after TCP's own two hours.
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 3,
            "tcp_user_timeout": 15_000,
            "options": "-c statement_timeout=20s -c idle_in_transaction_session_timeout=60s",
        },
    }
}
DATABASE_OWNER = env.string("POSTGRES_OWNER")
MIGRATION_TIMEOUTS = {"statement_timeout": "30min"}

CELERY_BROKER_URL = env.string("CELERY_BROKER_URL")
CELERY_RESULT_BACKEND = env.string("CELERY_RESULT_BACKEND")
CELERY_WORKER_POOL = env.string("CELERY_WORKER_POOL")
CELERY_WORKER_CONCURRENCY = env.integer("CELERY_WORKER_CONCURRENCY")
CELERY_TASK_TIME_LIMIT = env.optional_integer("CELERY_TASK_TIME_LIMIT")
CELERY_WORKER_MAX_MEMORY_MB = env.optional_integer("CELERY_WORKER_MAX_MEMORY_MB")
CELERY_WORKER_MAX_TASKS = env.optional_integer("CELERY_WORKER_MAX_TASKS")
MEMORY_ALARM_MB = env.optional_integer("MEMORY_ALARM_MB")

# Storage and processing are UTC; this zone is for display and calendars.
USE_TZ = True
TIME_ZONE = "Europe/Moscow"
USE_I18N = True
LANGUAGE_CODE = "ru"
LANGUAGES = [("ru", "Русский"), ("en", "English")]
LOCALE_PATHS = [BASE_DIR / "locale"]

STATIC_URL = "/static/"
STATIC_ROOT = (RUNTIME_DIR if env.flag("RUN_COLLECTSTATIC") else BASE_DIR) / "staticfiles"
PHOTO_STORAGES: dict[str, dict[str, Any]] = {
    "local": {
        "BACKEND": "django.core.files.storage.FileSystemStorage",
        "OPTIONS": {"location": env.string("PHOTO_DIR")},
    },
    "s3": {
        "BACKEND": "apps.ai.s3.S3Storage",
        "OPTIONS": {
            "endpoint_url": env.optional_string("S3_ENDPOINT_URL"),
            "region_name": env.string("S3_REGION"),
            "bucket_name": env.optional_string("S3_BUCKET"),
            "access_key": env.optional_string("S3_ACCESS_KEY"),
            "secret_key": env.optional_string("S3_SECRET_KEY"),
        },
    },
}
PHOTO_STORAGE = env.string("PHOTO_STORAGE")
PHOTO_ACCEL = env.flag("PHOTO_ACCEL") and PHOTO_STORAGE == "local"
PHOTO_RETENTION = timedelta(days=env.integer("PHOTO_RETENTION_DAYS"))
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "photos": PHOTO_STORAGES[PHOTO_STORAGE],
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}
WEB_THREADS = env.integer("GUNICORN_THREADS")
# Pictures in a request go to unnamed files as they come in; there is no other upload.
FILE_UPLOAD_HANDLERS = ["apps.ai.uploads.PictureUpload"]
DATA_UPLOAD_MAX_NUMBER_FILES = 4
DATA_UPLOAD_MAX_NUMBER_FIELDS = 10

LOG_LEVEL = env.string("LOG_LEVEL")
LOGGING = logging_config(level=LOG_LEVEL, json=True, release=RELEASE)

TELEGRAM_BOT_TOKEN = env.string("TELEGRAM_BOT_TOKEN") if env.given("TELEGRAM_BOT_TOKEN") else ""
TELEGRAM_API_URL = env.string("TELEGRAM_API_URL").rstrip("/")
TELEGRAM_BOT_API_SECRET = (
    env.string("TELEGRAM_BOT_API_SECRET") if env.given("TELEGRAM_BOT_API_SECRET") else ""
)
TELEGRAM_BOT_TOKEN_FALLBACKS = env.strings("TELEGRAM_BOT_TOKEN_FALLBACKS")
TELEGRAM_BOT_API_SECRET_FALLBACKS = env.strings("TELEGRAM_BOT_API_SECRET_FALLBACKS")
ADMIN_CHAT_IDS = [int(chat_id) for chat_id in env.strings("ADMIN_CHAT_IDS")]
TELEGRAM_LOGIN_MAX_AGE = 3600
PROXY_NETWORKS = env.strings("PROXY_NETWORKS")
# So many at once, and as many again within so many seconds (apps.accounts.limits). Logins are
# counted by address, which a mobile operator gives to many people at a time.
RATE_LIMITS = {"login": (60, 60), "write": (60, 60)}
ACCESS_TOKEN_LIFETIME = 3600
REFRESH_TOKEN_LIFETIME = 30 * 24 * 3600
DEVELOPMENT_LOGIN = False

AI_PROVIDER = env.string("AI_PROVIDER")
AI_MODEL = env.string("AI_MODEL")
AI_FALLBACK_MODEL = env.string("AI_FALLBACK_MODEL") if env.given("AI_FALLBACK_MODEL") else ""
AI_DAILY_LIMIT_USD = env.integer("AI_DAILY_LIMIT_USD")
AI_TIMEOUT_SECONDS = env.integer("AI_TIMEOUT_SECONDS")
OPENROUTER_URL = env.string("OPENROUTER_BASE_URL").rstrip("/")
AI_URL, AI_KEY = OPENROUTER_URL, ""
if env.given("AI_PROXY_URL"):
    AI_URL, AI_KEY = env.string("AI_PROXY_URL"), env.string("AI_PROXY_SECRET")
elif env.given("OPENROUTER_API_KEY"):
    AI_KEY = env.string("OPENROUTER_API_KEY")
AI_URL = AI_URL.rstrip("/")

YOOKASSA_SHOP_ID = env.string("YOOKASSA_SHOP_ID") if env.given("YOOKASSA_SHOP_ID") else ""
YOOKASSA_SECRET_KEY = env.string("YOOKASSA_SECRET_KEY") if env.given("YOOKASSA_SECRET_KEY") else ""
# A live shop is paid with money alone.
YOOKASSA_LIVE = YOOKASSA_SECRET_KEY.startswith("live_")
YOOKASSA_API_URL = env.string("YOOKASSA_API_URL")
YOOKASSA_NOTIFICATION_NETWORKS = env.strings("YOOKASSA_NOTIFICATION_NETWORKS")
RECEIPT_VAT_CODE = env.optional_integer("RECEIPT_VAT_CODE")

"""The table of the contract: every variable that any part of the system reads."""

from collections.abc import Callable
from dataclasses import dataclass

from config.kinds import (
    DATABASE_NAME,
    DIRECTORY,
    PORT,
    Value,
    address,
    chat_ids,
    choice,
    flag,
    hosts,
    http_address,
    http_origin,
    integer,
    names,
    networks,
    redis_url,
    string,
)

ROLES = ("web", "worker", "beat")
PRODUCTION = "config.settings.production"
SETTINGS = (PRODUCTION, "config.settings.local", "config.settings.test")


@dataclass(frozen=True, kw_only=True)
class Variable:
    """A line of the contract. `roles` are those that read it; none: only Compose does.

    What only the operator's scripts read has the role "scripts"; no process gets it.
    """

    name: str
    parse: Callable[[str], Value]
    meaning: str
    default: str = ""
    required: bool = False
    secret: bool = False
    roles: tuple[str, ...] = ROLES


COMPOSE: tuple[str, ...] = ()
SCRIPTS = ("scripts",)
WEB = ("web",)
WORKER = ("worker",)
PAYING = ("web", "worker")
WEB_AND_WORKER = (*WEB, *WORKER)

PROCESS_VARIABLES = (
    Variable(
        name="COMPOSE_PROJECT_NAME",
        parse=string(r"[a-z0-9][a-z0-9_-]*", "takes lower-case letters, digits, - and _"),
        default="eatfit24",
        roles=COMPOSE,
        meaning="Prefix of containers, networks and volumes.",
    ),
    Variable(
        name="IMAGE_REPOSITORY",
        parse=string(r"[a-z0-9][a-z0-9._/:-]*", "takes a name such as registry.example/eatfit24"),
        roles=COMPOSE,
        meaning="Where images are pulled from; unset: they are built here, as PROJECT-backend.",
    ),
    Variable(
        name="PUBLIC_PORT",
        parse=PORT,
        default="3000",
        roles=COMPOSE,
        meaning="Port of the frontend for people.",
    ),
    Variable(
        name="PUBLIC_ADDRESS",
        parse=address,
        roles=COMPOSE,
        meaning="Its one address: 127.0.0.1 for a proxy on this server; unset: every one.",
    ),
    Variable(
        name="CHECK_PORT",
        parse=PORT,
        default="8000",
        roles=COMPOSE,
        meaning="Port of the frontend for checks, on loopback alone.",
    ),
    Variable(
        name="TLS_DIR",
        parse=string(r"\S+", "takes a path without spaces"),
        default="./.state/tls",
        roles=COMPOSE,
        meaning="Holds fullchain.pem and privkey.pem for uid 101; with them PUBLIC_PORT is TLS.",
    ),
    Variable(
        name="TRUSTED_PROXIES",
        parse=networks,
        roles=COMPOSE,
        meaning="Networks of proxies before the frontend; only their X-Forwarded-For is believed.",
    ),
    Variable(
        name="DEV_DATABASE_PORT",
        parse=PORT,
        default="5432",
        roles=COMPOSE,
        meaning="compose.dev.yml: port of PostgreSQL on loopback.",
    ),
    Variable(
        name="DEV_DEBUGGER_PORT",
        parse=PORT,
        default="5678",
        roles=COMPOSE,
        meaning="compose.dev.yml: port of the debugger on loopback.",
    ),
    Variable(
        name="RELEASE",
        parse=string(r"[A-Za-z0-9._-]{1,64}", "takes a commit or a version, or dev"),
        default="dev",
        meaning="The release that runs: a tag of the image. Rewritten by deploys alone.",
    ),
    Variable(
        name="DJANGO_SETTINGS_MODULE",
        parse=choice(*SETTINGS),
        required=True,
        meaning="Which settings to run under.",
    ),
    Variable(
        name="SECRET_KEY",
        parse=string(),
        required=True,
        secret=True,
        meaning="Signs tokens and sessions.",
    ),
    Variable(
        name="SECRET_KEY_FALLBACKS",
        parse=names,
        secret=True,
        meaning="Earlier keys that are still believed, separated by commas.",
    ),
    Variable(
        name="DEBUG",
        parse=flag,
        default="0",
        meaning="Django's debug pages. Refused in production.",
    ),
    Variable(
        name="ALLOWED_HOSTS",
        parse=hosts,
        required=True,
        meaning="Host names that are served, separated by commas.",
    ),
    Variable(
        name="PUBLIC_URL",
        parse=http_origin,
        required=True,
        meaning="Where people reach the service.",
    ),
    Variable(
        name="LOG_LEVEL",
        parse=choice("DEBUG", "INFO", "WARNING", "ERROR"),
        default="INFO",
        meaning="The least important event that is logged.",
    ),
    Variable(
        name="RUNTIME_DIR",
        parse=DIRECTORY,
        default="/tmp",
        meaning="Writable directory in memory for heartbeats and process ids, one a process.",
    ),
    Variable(
        name="POSTGRES_HOST",
        parse=string(),
        default="db",
        meaning="Host of PostgreSQL, or the directory of its socket.",
    ),
    Variable(name="POSTGRES_PORT", parse=PORT, default="5432", meaning="Port of PostgreSQL."),
    Variable(
        name="POSTGRES_DB", parse=DATABASE_NAME, default="eatfit24", meaning="Name of the database."
    ),
    Variable(
        name="POSTGRES_USER",
        parse=DATABASE_NAME,
        default="eatfit24_a",
        meaning="Login role of the application; owns nothing.",
    ),
    Variable(
        name="POSTGRES_PASSWORD",
        parse=string(),
        required=True,
        secret=True,
        meaning="Password of the login role.",
    ),
    Variable(
        name="POSTGRES_FIRST_PASSWORD",
        parse=string(),
        secret=True,
        roles=COMPOSE,
        meaning="What the database was made with, once POSTGRES_PASSWORD is another one; void. "
        "It leaves the database's container as it is. Written by rotations.",
    ),
    Variable(
        name="POSTGRES_OWNER",
        parse=DATABASE_NAME,
        default="eatfit24_owner",
        meaning="Role that owns the tables; migrations run as it; it cannot log in.",
    ),
    Variable(
        name="POSTGRES_POOL_SIZE",
        parse=integer(1, 100),
        default="8",
        meaning="Most database connections of one process.",
    ),
    Variable(
        name="STARTUP_WAIT_SECONDS",
        parse=integer(1, 3600),
        default="120",
        meaning="How long a start waits for the database and its schema before it gives up.",
    ),
    Variable(
        name="RUN_MIGRATIONS",
        parse=flag,
        default="0",
        roles=WEB,
        meaning="Apply committed migrations and load the food table before the start.",
    ),
    Variable(
        name="MIGRATIONS_STRICT",
        parse=flag,
        default="1",
        roles=WEB,
        meaning="A failed migration stops the start (1) or is logged (0).",
    ),
    Variable(
        name="RUN_COLLECTSTATIC",
        parse=flag,
        default="0",
        roles=WEB,
        meaning="Collect static files again at the start, into RUNTIME_DIR.",
    ),
    Variable(
        name="CELERY_BROKER_URL",
        parse=redis_url,
        required=True,
        meaning="Redis database of the queues.",
    ),
    Variable(
        name="CELERY_RESULT_BACKEND",
        parse=redis_url,
        required=True,
        meaning="Redis database of results that were asked for.",
    ),
    Variable(
        name="CELERY_WORKER_POOL",
        parse=choice("threads", "prefork"),
        default="threads",
        roles=WORKER,
        meaning="How a worker runs its jobs.",
    ),
    Variable(
        name="CELERY_WORKER_CONCURRENCY",
        parse=integer(1, 64),
        default="16",
        roles=WORKER,
        meaning="Jobs that a worker runs at once.",
    ),
    Variable(
        name="CELERY_WORKER_AUTOSCALER",
        parse=flag,
        default="0",
        roles=WORKER,
        meaning="prefork: between _MIN and _MAX processes, as needed.",
    ),
    Variable(
        name="CELERY_WORKER_AUTOSCALER_MIN",
        parse=integer(1, 64),
        roles=WORKER,
        meaning="prefork: fewest processes.",
    ),
    Variable(
        name="CELERY_WORKER_AUTOSCALER_MAX",
        parse=integer(1, 64),
        roles=WORKER,
        meaning="prefork: most processes.",
    ),
    Variable(
        name="CELERY_TASK_TIME_LIMIT",
        parse=integer(10, 230),
        roles=WORKER,
        meaning="prefork: seconds after which a job's process is killed; below the lease.",
    ),
    Variable(
        name="CELERY_WORKER_MAX_MEMORY_MB",
        parse=integer(64, 4096),
        roles=WORKER,
        meaning="prefork: a process that took more is replaced after its job.",
    ),
    Variable(
        name="CELERY_WORKER_MAX_TASKS",
        parse=integer(1, 1_000_000),
        roles=WORKER,
        meaning="prefork: a process is replaced after so many jobs.",
    ),
    Variable(
        name="MEMORY_ALARM_MB",
        parse=integer(64, 4096),
        roles=WORKER,
        meaning="A worker that has grown past it ends its jobs, takes no more, and starts again.",
    ),
    Variable(
        name="WEB_CONCURRENCY",
        parse=integer(1, 64),
        roles=WEB,
        meaning="Gunicorn workers; at most 4 are started.",
    ),
    Variable(
        name="GUNICORN_WORKERS",
        parse=integer(1, 64),
        default="2",
        roles=WEB,
        meaning="Gunicorn workers where WEB_CONCURRENCY is unset; at most 4 are started.",
    ),
    Variable(
        name="GUNICORN_THREADS",
        parse=integer(1, 32),
        default="4",
        roles=WEB,
        meaning="Requests that one Gunicorn worker serves at once.",
    ),
    Variable(
        name="GUNICORN_BIND",
        parse=string(r"\S+:\d{1,5}", "takes an address and a port such as 0.0.0.0:8000"),
        default="0.0.0.0:8000",
        roles=WEB,
        meaning="Where Gunicorn listens.",
    ),
    Variable(
        name="PROXY_NETWORKS",
        parse=networks,
        default="127.0.0.0/8,::1/128,10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,fc00::/7",
        roles=WEB,
        meaning="Networks of the proxy in front, whose X-Forwarded-For and -Proto are believed.",
    ),
    Variable(
        name="DEBUGPY_PORT",
        parse=PORT,
        roles=WEB,
        meaning="Development: where a debugger may attach. Refused in production.",
    ),
    Variable(
        name="TELEGRAM_BOT_TOKEN",
        parse=string(r"\d+:[A-Za-z0-9_-]+", "takes a token as BotFather gives it: 123456:ABC-def"),
        required=True,
        secret=True,
        roles=WEB_AND_WORKER,
        meaning="The bot's token; it proves who logs in, and sends messages.",
    ),
    Variable(
        name="TELEGRAM_BOT_TOKEN_FALLBACKS",
        parse=names,
        secret=True,
        roles=WEB,
        meaning="Earlier tokens that still prove who logs in, separated by commas.",
    ),
    Variable(
        name="TELEGRAM_API_URL",
        parse=http_address,
        default="https://api.telegram.org",
        roles=WEB_AND_WORKER,
        meaning="Telegram's Bot API, or a server of one's own that speaks it.",
    ),
    Variable(
        name="TELEGRAM_BOT_API_SECRET",
        parse=string(r"[A-Za-z0-9_-]{16,256}", "takes 16 to 256 letters, digits, _ and -"),
        secret=True,
        roles=WEB,
        meaning="What Telegram says at the bot's webhook; while unset, it lets nobody in.",
    ),
    Variable(
        name="TELEGRAM_BOT_API_SECRET_FALLBACKS",
        parse=names,
        secret=True,
        roles=WEB,
        meaning="What Telegram said there before and is still let in with, separated by commas.",
    ),
    Variable(
        name="ADMIN_CHAT_IDS",
        parse=chat_ids,
        roles=WEB_AND_WORKER,
        meaning="Telegram chats that are told what an operator must know, separated by commas.",
    ),
    Variable(
        name="YOOKASSA_SHOP_ID",
        parse=string(r"\d{1,20}", "takes the digits of a shop's id"),
        roles=PAYING,
        meaning="The shop that is paid. Without it nothing can be bought.",
    ),
    Variable(
        name="YOOKASSA_SECRET_KEY",
        parse=string(),
        secret=True,
        roles=PAYING,
        meaning="The shop's secret key.",
    ),
    Variable(
        name="YOOKASSA_API_URL",
        parse=http_address,
        default="https://api.yookassa.ru/v3",
        roles=PAYING,
        meaning="YooKassa's API, or what stands in for it.",
    ),
    Variable(
        name="PHOTO_STORAGE",
        parse=choice("local", "s3"),
        default="local",
        roles=WEB_AND_WORKER,
        meaning="Where photos are kept. local: PHOTO_DIR. s3: a bucket, by the S3_ variables.",
    ),
    Variable(
        name="PHOTO_DIR",
        parse=DIRECTORY,
        default="/srv/photos",
        roles=WEB_AND_WORKER,
        meaning="local: the directory of photos, shared by the backend and the workers.",
    ),
    Variable(
        name="PHOTO_ACCEL",
        parse=flag,
        default="0",
        roles=WEB,
        meaning="local: nginx in front serves the files of PHOTO_DIR, by X-Accel-Redirect.",
    ),
    Variable(
        name="PHOTO_RETENTION_DAYS",
        parse=integer(1, 3650),
        default="90",
        roles=WEB_AND_WORKER,
        meaning="Days after which a photo is deleted; what was recognised stays.",
    ),
    Variable(
        name="S3_ENDPOINT_URL",
        parse=http_address,
        roles=WEB_AND_WORKER,
        meaning="s3: the storage's address.",
    ),
    Variable(
        name="S3_REGION",
        parse=string(r"[a-z0-9-]+", "takes a region such as ru-central1"),
        default="us-east-1",
        roles=WEB_AND_WORKER,
        meaning="s3: the region that requests are signed for.",
    ),
    Variable(
        name="S3_BUCKET",
        parse=string(
            r"[a-z0-9.-]{3,63}", "takes a name of 3 to 63 lower-case letters, digits, . and -"
        ),
        roles=WEB_AND_WORKER,
        meaning="s3: the bucket, which nobody else may read.",
    ),
    Variable(
        name="S3_ACCESS_KEY",
        parse=string(r"[!-~]+", "takes a key without spaces"),
        roles=WEB_AND_WORKER,
        meaning="s3: the id of the key.",
    ),
    Variable(
        name="S3_SECRET_KEY",
        parse=string(r"[!-~]+", "takes a key without spaces"),
        secret=True,
        roles=WEB_AND_WORKER,
        meaning="s3: the key itself.",
    ),
    Variable(
        name="YOOKASSA_NOTIFICATION_NETWORKS",
        parse=networks,
        default=(
            "77.75.153.0/25,77.75.154.128/25,77.75.156.11/32,77.75.156.35/32,"
            "185.71.76.0/27,185.71.77.0/27,2a02:5180::/32"
        ),
        roles=WEB,
        meaning="Where YooKassa sends its notifications from; others are refused.",
    ),
    Variable(
        name="RECEIPT_VAT_CODE",
        parse=integer(1, 12),
        roles=PAYING,
        meaning="Send fiscal receipts (54-FZ) with this VAT code of YooKassa's; unset: none.",
    ),
    Variable(
        name="AI_PROVIDER",
        parse=choice("local", "openrouter"),
        default="local",
        meaning="Who recognises meals. local: text alone, against the food table. "
        "openrouter: a model that sees, at OpenRouter or behind AI_PROXY_URL.",
    ),
    Variable(
        name="AI_MODEL",
        parse=string(),
        default="google/gemini-2.5-flash",
        meaning="openrouter: the model that is asked.",
    ),
    Variable(
        name="AI_FALLBACK_MODEL",
        parse=string(),
        roles=WORKER,
        meaning="openrouter: the model that is asked where the first one fails.",
    ),
    Variable(
        name="AI_DAILY_LIMIT_USD",
        parse=integer(0, 100_000),
        default="10",
        meaning="Dollars that models may cost in a day (UTC), for all users together.",
    ),
    Variable(
        name="AI_TIMEOUT_SECONDS",
        parse=integer(1, 55),
        default="45",
        roles=WORKER,
        meaning="The longest that one try of a recognition waits for models, all in all.",
    ),
    Variable(
        name="OPENROUTER_BASE_URL",
        parse=http_address,
        default="https://openrouter.ai/api/v1",
        roles=WORKER,
        meaning="OpenRouter, or another API that speaks the same.",
    ),
    Variable(
        name="OPENROUTER_API_KEY",
        parse=string(r"[!-~]+", "takes a key without spaces"),
        secret=True,
        roles=WORKER,
        meaning="The key of OpenRouter.",
    ),
    Variable(
        name="AI_PROXY_URL",
        parse=http_address,
        roles=WORKER,
        meaning="The deployment's own proxy, which holds the key; asked instead of OpenRouter.",
    ),
    Variable(
        name="AI_PROXY_SECRET",
        parse=string(r"[!-~]+", "takes a secret without spaces"),
        secret=True,
        roles=WORKER,
        meaning="What the proxy wants to hear, as a bearer token.",
    ),
)

OPERATORS_VARIABLES = (
    Variable(
        name="BACKUP_DIR",
        parse=string(r"\S+", "takes a path without spaces"),
        default="backups",
        roles=SCRIPTS,
        meaning="Where backups are kept; relative to the project's directory, or absolute.",
    ),
    Variable(
        name="BACKUP_AGE_RECIPIENT",
        parse=string(r"age1[0-9a-z]{58}", "takes a public key as age-keygen prints it: age1…"),
        roles=SCRIPTS,
        meaning="Public key that backups are encrypted for; unset: they are not encrypted.",
    ),
    Variable(
        name="BACKUP_AGE_IDENTITY",
        parse=string(r"/\S+", "takes an absolute path"),
        roles=SCRIPTS,
        meaning="File with the key that decrypts backups, for restores and rehearsals.",
    ),
    Variable(
        name="BACKUP_KEEP_DAYS",
        parse=integer(1, 366),
        default="7",
        roles=SCRIPTS,
        meaning="Daily backups that are kept, and how far back any point in time can be restored.",
    ),
    Variable(
        name="BACKUP_KEEP_WEEKS",
        parse=integer(0, 520),
        default="5",
        roles=SCRIPTS,
        meaning="Weekly backups that are kept.",
    ),
    Variable(
        name="BACKUP_KEEP_MONTHS",
        parse=integer(0, 120),
        default="12",
        roles=SCRIPTS,
        meaning="Monthly backups that are kept.",
    ),
    Variable(
        name="BACKUP_S3_BUCKET",
        parse=string(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", "takes the name of a bucket"),
        roles=SCRIPTS,
        meaning="Bucket of S3-compatible storage that backups are copied to; unset: none.",
    ),
    Variable(
        name="BACKUP_S3_ENDPOINT",
        parse=http_origin,
        roles=SCRIPTS,
        meaning="Address of that storage.",
    ),
    Variable(
        name="BACKUP_S3_REGION",
        parse=string(r"[a-z0-9-]+", "takes the name of a region"),
        default="us-east-1",
        roles=SCRIPTS,
        meaning="Its region.",
    ),
    Variable(
        name="BACKUP_S3_ACCESS_KEY",
        parse=string(),
        secret=True,
        roles=SCRIPTS,
        meaning="Its access key, allowed to add and, for what is past its keeping, to delete.",
    ),
    Variable(
        name="BACKUP_S3_SECRET_KEY",
        parse=string(),
        secret=True,
        roles=SCRIPTS,
        meaning="Its secret key.",
    ),
)

VARIABLES = (*PROCESS_VARIABLES, *OPERATORS_VARIABLES)
BY_NAME = {variable.name: variable for variable in VARIABLES}
PREFIXES = tuple(sorted({name.split("_")[0] + "_" for name in BY_NAME if "_" in name}))

"""The HTTP API, version 1: which app serves which part."""

from django.conf import settings
from ninja import NinjaAPI

from apps.accounts.api import development_router
from apps.accounts.api import router as accounts
from apps.ai.api import router as ai
from apps.nutrition.api import router as nutrition
from apps.operations.api import router as operations
from config import problems

api = NinjaAPI(
    title="EatFit24",
    version="1",
    description="A meal goes in, the diary counts it.",
    urls_namespace="api-v1",
    parser=problems.JsonParser(),
)
problems.install(api)
api.add_router("/auth", accounts, tags=["accounts"])
if settings.DEVELOPMENT_LOGIN:
    api.add_router("/auth", development_router, tags=["development"])
api.add_router("/recognitions", ai, tags=["recognitions"])
api.add_router("/diary", nutrition, tags=["diary"])
api.add_router("/health", operations, tags=["operations"])

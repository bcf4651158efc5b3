"""Foods, the diary, targets and statistics over HTTP."""

from apps.nutrition.api.diary import router as diary
from apps.nutrition.api.foods import router as foods
from apps.nutrition.api.targets import router as targets
from apps.nutrition.api.targets import statistics_router as statistics

__all__ = ["diary", "foods", "statistics", "targets"]

"""What changes foods, the diary and targets; nothing else writes them.

Whoever names what is not there, or is another's, gets the model's `DoesNotExist`.
"""

from apps.nutrition.services.diary import Portion, create_meal

__all__ = ["Portion", "create_meal"]

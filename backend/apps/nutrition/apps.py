from django.apps import AppConfig


class NutritionConfig(AppConfig):
    name = "apps.nutrition"

    def ready(self) -> None:
        from apps.accounts.personal_data import register
        from apps.accounts.services import on_profile_change
        from apps.nutrition.personal_data import NUTRITION
        from apps.nutrition.services.targets import follow_body

        register(NUTRITION)
        on_profile_change(follow_body)

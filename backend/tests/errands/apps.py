from django.apps import AppConfig


class ErrandsConfig(AppConfig):
    name = "tests.errands"

    def ready(self) -> None:
        from apps.accounts.personal_data import register
        from tests.errands.belongings import BELONGINGS

        register(BELONGINGS)

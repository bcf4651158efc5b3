"""PostgreSQL, where a test that commits may empty the tables after itself.

The ledger's triggers refuse that. A replica's session does not fire them; being one takes a
superuser, which the tests' role is and no role of production.
"""

from typing import Any

from django.db.backends.postgresql import base, operations


class DatabaseOperations(operations.DatabaseOperations):
    def sql_flush(self, *args: Any, **options: Any) -> list[str]:
        statements = super().sql_flush(*args, **options)
        if not statements:
            return []
        return [
            "SET session_replication_role = replica",
            *statements,
            "SET session_replication_role = DEFAULT",
        ]


class DatabaseWrapper(base.DatabaseWrapper):
    ops_class = DatabaseOperations

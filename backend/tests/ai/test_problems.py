"""Whatever goes wrong, users are told what, in their language, and what they can do."""

import ast
import re
from collections.abc import Iterator

import pytest
from django.test import Client
from django.utils import translation

from apps.ai import pictures
from apps.ai.models import Recognition
from apps.ai.problems import REMARKS, TROUBLES
from apps.jobs.services import CANCELED
from tests.ai.asking import asked, look
from tests.processes import BACKEND

RAISED = {"Refused", "BadPicture", "Permanent", "Temporary", "NotYet", "Unavailable"}
FROM_ELSEWHERE = {"worker_lost", "internal_error", CANCELED, *pictures.CODES}
NIGHTLY = {"more_to_remove"}
"""Of a routine, so nobody waits for it."""


def codes_raised() -> Iterator[str]:
    """Every code that this app can end a recognition or refuse a request with."""
    for path in sorted((BACKEND / "apps/ai").glob("*.py")):
        if path.name == "decoding.py":
            continue  # a program of its own, whose answers pictures.py reads
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(call, ast.Call) and getattr(call.func, "id", "") in RAISED:
                code = call.args[0]
                if isinstance(code, ast.Constant):
                    yield str(code.value)
                else:  # a code is passed on, from another of these
                    assert re.fullmatch(r"(\w+\.)?code", ast.unparse(code)), path


def test_every_code_has_its_line_and_every_line_its_code() -> None:
    found = {*codes_raised()} - NIGHTLY | FROM_ELSEWHERE
    assert len(found) > 15
    assert found == set(TROUBLES)


def test_every_outcome_has_its_remark() -> None:
    assert set(REMARKS) == set(Recognition.Outcome.values)


@pytest.mark.parametrize("code", TROUBLES)
def test_a_trouble_is_told_in_both_languages(code: str) -> None:
    trouble = TROUBLES[code]
    for text in (trouble.title, trouble.detail):
        with translation.override("en"):
            english = str(text)
        with translation.override("ru"):
            russian = str(text)
        assert english.isascii()
        assert not russian.isascii()
    assert trouble.retryable or trouble.retry_after is None
    # Either the same again helps, or something else does, or there is nothing to be done.
    assert ("retry" in trouble.actions or "wait" in trouble.actions) >= trouble.retryable


@pytest.mark.django_db
@pytest.mark.parametrize("code", [*TROUBLES, "of_another_release"])
def test_a_failure_says_what_can_be_done(eater: Client, code: str) -> None:
    pk = asked(eater)
    Recognition.objects.update(status="failed", error_code=code)
    error = look(eater, pk).json()["error"]
    trouble = TROUBLES.get(code, TROUBLES["internal_error"])
    assert error == {
        "code": code,
        "title": str(trouble.title),
        "detail": str(trouble.detail),
        "actions": list(trouble.actions),
        "retryable": trouble.retryable,
        "retry_after": trouble.retry_after,
    }

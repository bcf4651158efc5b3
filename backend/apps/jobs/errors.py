"""How work can end otherwise than well. Whoever does a job raises one of these."""

from datetime import timedelta


class JobError(Exception):
    """`code` is stable and for programs; the text is for operators."""

    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(detail or code)
        self.code = code


class Permanent(JobError):
    """Another try would end the same."""


class Temporary(JobError):
    """Another try makes sense, no sooner than `after`."""

    def __init__(self, code: str, detail: str = "", after: timedelta = timedelta()) -> None:
        super().__init__(code, detail)
        self.after = after


class NotYet(JobError):
    """Nothing was tried: to be done `after`, at no cost of an attempt."""

    def __init__(self, code: str, after: timedelta) -> None:
        super().__init__(code)
        self.after = after


class LeaseLost(Exception):
    """The job belongs to another worker by now: this outcome came too late and is dropped."""

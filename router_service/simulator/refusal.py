"""A request that a provider does not serve."""

from __future__ import annotations


class Refused(Exception):
    """The request is answered with an error in OpenAI's envelope."""

    def __init__(self, status: int, message: str, *, code: str | None = None, param: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.param = param

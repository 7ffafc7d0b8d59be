"""What trivet reports with `--error-format json`, as exceptions."""

from __future__ import annotations

import json
from collections.abc import Sequence


class TrivetError(Exception):
    """trivet could not do what it was asked for.

    `code` is stable and made for programs ("not-found"), `hint` is what a person can do about it (or
    empty), `notes` are further findings.
    """

    def __init__(self, message: str, code: str = "system", hint: str = "", notes: Sequence[str] = ()):
        super().__init__(message)
        self.message = message
        self.code = code
        self.hint = hint
        self.notes = list(notes)

    def __str__(self) -> str:
        lines = [self.message]
        if self.hint:
            lines.append(f"hint: {self.hint}")
        return "\n".join(lines + [f"note: {note}" for note in self.notes])

    def __reduce__(self) -> tuple[type[TrivetError], tuple[str, str, str, list[str]]]:
        return type(self), (self.message, self.code, self.hint, self.notes)


class InvalidArgumentError(TrivetError):
    """The input is wrong; nothing was done."""


class NotFoundError(TrivetError):
    """The named thing, an image, a sandbox or a program in it, does not exist."""


class StateError(TrivetError):
    """The sandbox exists, but has ended, or is in no state for this."""


class UnsupportedError(TrivetError):
    """This host, or this build of trivet, can't do it."""


class GpuConfigError(UnsupportedError):
    """The host's CDI files don't give the device that was asked for; the hint says what to do."""


class NotInstalledError(TrivetError):
    """There is no program `trivet`."""


_CLASSES: dict[str, type[TrivetError]] = {
    "invalid-argument": InvalidArgumentError,
    "not-found": NotFoundError,
    "command-not-found": NotFoundError,
    "wrong-state": StateError,
    "unsupported": UnsupportedError,
}


def error_from(report: str, what: str, *, asks_for_devices: bool = False) -> TrivetError:
    """The exception of what trivet has reported: one JSON object a line, the first is the cause."""
    try:
        value = json.loads(report.splitlines()[0])
        code, message = str(value["code"]), str(value["message"])
    except (IndexError, KeyError, TypeError, ValueError):
        return TrivetError(f"{what} failed and gave no reason: {report.strip()[:500]!r}")
    kind = _CLASSES.get(code, TrivetError)
    if asks_for_devices and kind is UnsupportedError and "microVM" not in message:
        kind = GpuConfigError
    return kind(message, code, str(value.get("hint", "")), [str(note) for note in value.get("notes", [])])

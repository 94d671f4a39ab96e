"""What a check finds, in a form that every check shares."""

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "note", "warning", "problem"]

COULD_NOT_RUN = 6


@dataclass(frozen=True, slots=True)
class Check:
    """One finding. `remedy` says what to do unless the state is "ok"; a problem has an exit code.

    "note" is worth knowing, "warning" worth acting on, "problem" means that something cannot work.
    """

    subject: str
    state: State
    finding: str
    remedy: str = ""
    exit_code: int = 0

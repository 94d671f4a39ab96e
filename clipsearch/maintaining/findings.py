"""What a look through a library finds, in a form that people and programs can read."""

from dataclasses import dataclass
from typing import Literal

# In the order in which they are told.
Part = Literal["catalogue", "rows", "embeddings", "names", "snapshot", "models", "photos", "files"]
PARTS: tuple[Part, ...] = (
    "catalogue", "rows", "embeddings", "names", "snapshot", "models", "photos", "files",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found. Only damage is a reason to act.

    `part` says where: the catalogue as a file, its rows, embeddings, taught names, the snapshot,
    installed models, photo files, or other files of the library's directory. `path` is a photo's,
    where it is about one, and `photo_id` its row, if reading that file again is what helps.
    """

    part: Part
    what: str
    is_damage: bool = True
    path: bytes | None = None
    photo_id: int | None = None


@dataclass(frozen=True, slots=True)
class CheckReport:
    """Everything that was found, and how much was looked at: rows and files by what they are."""

    findings: tuple[Finding, ...]
    examined: dict[str, int]

    @property
    def damage(self) -> tuple[Finding, ...]:
        """The findings that are damage."""
        return tuple(finding for finding in self.findings if finding.is_damage)

    def is_damaged(self, *parts: Part) -> bool:
        """Whether one of these parts of the library is damaged."""
        return any(finding.part in parts for finding in self.damage)

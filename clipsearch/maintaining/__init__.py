"""Look after a library: look through it, mend it, copy it, erase what nobody needs any more."""

from clipsearch.maintaining.backup import Backup, back_up
from clipsearch.maintaining.check import check
from clipsearch.maintaining.findings import PARTS, CheckReport, Finding
from clipsearch.maintaining.purge import (
    DAYS,
    Purge,
    PurgePlan,
    plan_model_purge,
    plan_purge,
    purge,
)
from clipsearch.maintaining.repair import RepairReport, repair

__all__ = [
    "DAYS",
    "PARTS",
    "Backup",
    "CheckReport",
    "Finding",
    "Purge",
    "PurgePlan",
    "RepairReport",
    "back_up",
    "check",
    "plan_model_purge",
    "plan_purge",
    "purge",
    "repair",
]

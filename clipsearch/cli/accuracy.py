"""How often labels agree with the folders that photos lie in, shown."""

import dataclasses
from typing import TYPE_CHECKING

from clipsearch.cli.escape import visible
from clipsearch.cli.output import Column, note, say, say_json, say_table
from clipsearch.percent import percent

if TYPE_CHECKING:
    from clipsearch.classifying import TruthReport
    from clipsearch.metrics import LabelReport

# The rest of a long list of confusions is only counted.
SHOWN_CONFUSIONS = 20


def say_report(report: "TruthReport") -> None:
    """The report in words and tables."""
    if report.top_1 is None or report.top_5 is None:
        note("clipsearch: no photo lies in a folder that is called like a label.")
        return
    say()
    say(f"agreement with folder names: {report.photos:,} photos{_others(report)}")
    say(f"top-1 {percent(report.top_1)}, top-5 {percent(report.top_5)}")
    say_accuracy_by_label(report)


def say_accuracy_by_label(report: "LabelReport") -> None:
    """Each label that has photos, and the most frequent confusions."""
    rows = (
        (label.label, f"{label.photos:,}", percent(label.top_1 / label.photos))
        for label in report.by_label
    )
    say_table([Column("label"), Column("photos", "right"), Column("top-1", "right")], rows)
    if report.confusions:
        say()
        say("most frequent confusions")
        for confusion in report.confusions[:SHOWN_CONFUSIONS]:
            taken = f"{visible(confusion.truth)} taken for {visible(confusion.predicted)}"
            say(f"{confusion.count:>6,}  {taken}")
        more = len(report.confusions) - SHOWN_CONFUSIONS
        if more > 0:
            say(f"        and {more:,} kinds more")


def say_report_json(report: "TruthReport") -> None:
    """The report as one JSON object, told from the photos' by `event`."""
    say_json({"event": "truth", **dataclasses.asdict(report)})


def _others(report: "TruthReport") -> str:
    return f" ({report.others:,} more lie in other folders)" if report.others else ""

import pytest

from clipsearch.classifying import LabelProbability, PhotoLabels
from clipsearch.classifying.truth import FolderTruth, TruthTally
from clipsearch.labels import labels_from_folders, labels_from_text
from clipsearch.metrics import ClassAccuracy, Confusion

LABELS = labels_from_text("cat,dog,stop_sign")


def taken_for(predicted: str, truth: str | None, rank: int | None) -> PhotoLabels:
    return PhotoLabels(
        b"/p", (LabelProbability(predicted, 0.9, 0.3),), (predicted,), None, truth, rank
    )


@pytest.mark.parametrize(
    ("path", "number"),
    [
        (b"/photos/cat/1.jpg", 0),
        (b"/photos/Dog/1.jpg", 1),
        (b"/photos/Stop-Sign/1.jpg", 2),
        (b"/photos/cat/old/1.jpg", None),
        (b"/1.jpg", None),
    ],
)
def test_the_photos_own_folder_is_its_truth(path: bytes, number: int | None) -> None:
    assert FolderTruth(LABELS).number_of(path) == number


def test_folders_that_differ_in_a_byte_that_is_no_text_are_two_truths() -> None:
    truth = FolderTruth(labels_from_folders([b"b\xfe", b"b\xff"]))
    assert [truth.number_of(path) for path in (b"/b\xfe/1.jpg", b"/B\xff/1.jpg")] == [0, 1]
    assert truth.number_of(b"/b?/1.jpg") is None


def test_report_of_a_hand_counted_run() -> None:
    tally = TruthTally(LABELS)
    for result in [
        taken_for("cat", "cat", 1),
        taken_for("dog", "cat", 2),
        taken_for("dog", "cat", 6),
        taken_for("dog", "dog", 1),
        taken_for("cat", "dog", 5),
        taken_for("cat", None, None),
    ]:
        tally.add(result)
    report = tally.report()
    assert (report.photos, report.others) == (5, 1)
    assert report.top_1 == pytest.approx(2 / 5)
    assert report.top_5 == pytest.approx(4 / 5)
    assert report.mean_per_class == pytest.approx((1 / 3 + 1 / 2) / 2)
    assert report.by_label == (ClassAccuracy("cat", 3, 1, 2), ClassAccuracy("dog", 2, 1, 2))
    assert report.confusions == (Confusion("cat", "dog", 2), Confusion("dog", "cat", 1))


def test_a_report_of_nothing_claims_nothing() -> None:
    report = TruthTally(LABELS).report()
    assert (report.photos, report.top_1, report.top_5) == (0, None, None)

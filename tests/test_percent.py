from clipsearch.percent import percent


def test_a_space_before_the_sign_and_as_many_decimals_as_wanted() -> None:
    assert percent(0.1312) == "13.1 %"
    assert percent(1, 0) == "100 %"
    assert percent(0.99876, 2) == "99.88 %"

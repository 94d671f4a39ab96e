"""Storage layers with a bug each, to prove that the suite would see it.

`python -m tests.fault.planted NAME ...` is `clipsearch ...` with the bug NAME in it. None of this
is reached by the program itself.
"""

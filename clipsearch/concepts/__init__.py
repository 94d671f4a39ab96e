"""Concepts: names taught with photos, learned in closed form from embeddings. numpy only.

`learning` learns one thing from a few photos, `labelling` a set of labels from photos of each,
`names` says what a concept can be called, `known` finds what was taught, learned for a model.
"""

"""The tiny model and its installed copy, as the tests of encoders have them."""

from tests.encoders.conftest import installed, tiny_clip

__all__ = ["installed", "tiny_clip"]

"""Decoded photos at a little more than the size of the model, kept while there is room."""

import threading
from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image

from clipsearch.errors import ClipsearchError, PhotoError
from clipsearch.training.views import resampling
from clipsearch.types import CaptionedPhoto, Pixels, Preprocess

# A crop of nine tenths of the area has 0.95 of the side: at 1.3 the resize still makes it smaller,
# and a photo takes 1.7 times the memory of the model's input.
_MARGIN = 1.3


class SmallPhotos:
    """Photos by number, decoded at most once as long as they fit. May be called from threads.

    What is read from memory and what is decoded again are the same bytes: a view is always made
    from the small photo. The first photos to come are kept and none is dropped for another: in an
    epoch every photo is needed once, so that the one used last is the one needed latest.
    """

    def __init__(
        self,
        photos: Sequence[CaptionedPhoto],
        preprocess: Preprocess,
        decode: Callable[[bytes], Image.Image],
        keep_bytes: int,
    ) -> None:
        """`decode` gives a whole upright RGB photo, or raises PhotoError or OSError."""
        self._photos, self._preprocess, self._decode = photos, preprocess, decode
        self._kept: dict[int, Pixels] = {}
        self._room = keep_bytes
        self._lock = threading.Lock()

    def photo(self, number: int) -> Pixels:
        """Photo `number` as uint8 [height, width, 3], not to be written to.

        Raises ClipsearchError naming the photo when it cannot be read any more.
        """
        kept = self._kept.get(number)
        if kept is not None:
            return kept
        pixels = shrunk(self._opened(number), self._preprocess)
        with self._lock:
            if number not in self._kept and pixels.nbytes <= self._room:
                self._kept[number] = pixels
                self._room -= pixels.nbytes
        return pixels

    def _opened(self, number: int) -> Image.Image:
        source = self._photos[number].source
        try:
            return self._decode(source.read())
        except (OSError, PhotoError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise ClipsearchError(
                f"the photo {source.name} cannot be read any more: {reason}",
                "Nothing is put in its place. Make it readable again, then resume the run",
            ) from error


def shrunk(photo: Image.Image, preprocess: Preprocess) -> Pixels:
    """An RGB photo at 1.3 times the size that the model sees it at, never enlarged.

    Returns uint8 [height, width, 3].
    """
    height, width = preprocess.size
    sides = (_MARGIN * width / photo.width, _MARGIN * height / photo.height)
    scale = min(sides) if preprocess.resize_mode == "longest" else max(sides)
    if scale < 1:
        size = (max(1, round(photo.width * scale)), max(1, round(photo.height * scale)))
        # The gap lets Pillow average whole blocks of large photos first: several times faster.
        photo = photo.resize(size, resampling(preprocess), reducing_gap=3.0)
    pixels = np.array(photo, dtype=np.uint8)
    pixels.flags.writeable = False
    return pixels

"""Both towers of one model, each opened when it is first asked for."""

from collections.abc import Callable
from functools import cached_property

from clipsearch.types import ImageEncoder, ModelInfo, TextEncoder


class Towers:
    """The towers that answer queries: `text` and `image`, without torch.

    A search in words never opens the image tower, and one by photo never the text tower.
    """

    def __init__(
        self,
        info: ModelInfo,
        open_text: Callable[[], TextEncoder],
        open_image: Callable[[], ImageEncoder],
    ) -> None:
        self.info = info
        self._open_text = open_text
        self._open_image = open_image

    @cached_property
    def text(self) -> TextEncoder:
        """The text tower.

        Raises:
            DamageError: the installed model's files are damaged.
        """
        return self._open_text()

    @cached_property
    def image(self) -> ImageEncoder:
        """The image tower.

        Raises:
            DamageError: the installed model's files are damaged.
        """
        return self._open_image()

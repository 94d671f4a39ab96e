"""The curves of a run for TensorBoard, where a person asks for them."""

from pathlib import Path
from typing import Any

from clipsearch.errors import MissingExtraError


class Board:
    """Writes figures by name and step into a folder that `tensorboard --logdir` shows."""

    def __init__(self, folder: Path) -> None:
        """Raises MissingExtraError when the package is not installed."""
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise MissingExtraError(
                "--tensorboard needs a package that is not installed",
                "Run: pip install 'clipsearch[tensorboard]'; metrics.csv and curves.png are "
                "written without it",
            ) from error
        writer: Any = SummaryWriter
        self._writer = writer(log_dir=str(folder))

    def add(self, step: int, figures: dict[str, float]) -> None:
        """The figures of one step."""
        for name, value in figures.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Write what is still in memory."""
        self._writer.close()

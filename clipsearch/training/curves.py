"""How a run went, drawn: the loss, what the validation part said, and the mixing of weights."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from clipsearch.training.runs import write_whole


@dataclass(frozen=True, slots=True)
class Curve:
    """Points of one line: positions on the two axes."""

    name: str
    x: Sequence[float]
    y: Sequence[float]


@dataclass(frozen=True, slots=True)
class Panel:
    """One diagram. `marks`: vertical lines by name; `levels`: horizontal ones."""

    title: str
    x_title: str
    y_title: str
    curves: Sequence[Curve]
    marks: Mapping[str, float]
    levels: Mapping[str, float]


def draw(path: Path, panels: Sequence[Panel]) -> None:
    """Write the diagrams beside each other as one PNG. Matplotlib is imported here and only here,
    without a display."""
    import io

    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5 * len(panels), 4), layout="constrained")
    canvas = FigureCanvasAgg(figure)
    for number, panel in enumerate(panels):
        axes = figure.add_subplot(1, len(panels), number + 1)
        for curve in panel.curves:
            axes.plot(curve.x, curve.y, marker=".", label=curve.name)
        for name, at in panel.marks.items():
            axes.axvline(at, color="gray", linestyle="--", label=name)
        for name, at in panel.levels.items():
            axes.axhline(at, color="gray", linestyle=":", label=name)
        axes.set_title(panel.title)
        axes.set_xlabel(panel.x_title)
        axes.set_ylabel(panel.y_title)
        axes.grid(alpha=0.3)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(fontsize="small")
    drawn = io.BytesIO()
    canvas.print_png(drawn)  # type: ignore[no-untyped-call]
    write_whole(path, drawn.getvalue())

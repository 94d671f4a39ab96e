"""How a run went, drawn: the loss, what the validation part said, and the mixing of weights.

Matplotlib is imported where something is drawn: that takes longer than many a measurement.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from clipsearch.percent import percent
from clipsearch.training.interpolation import Point
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
    """Write the diagrams beside each other as one PNG, without a display."""
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


def curve_png(
    points: Sequence[Point], chosen: Point, most_forgetting: float, score_name: str
) -> bytes:
    """The curve as a PNG file's bytes: score against forgetting, from the original to the tuned.

    The shaded part forgets more than is allowed.
    """
    import io

    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # A figure of its own, not pyplot's: nothing global, no display, and it is freed with it.
    figure = Figure(figsize=(6.4, 4.4), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    forgetting = [100 * point.forgetting for point in points]
    scores = [100 * point.score for point in points]
    axes.plot(forgetting, scores, "o-", color="tab:blue", markersize=4)
    axes.plot(
        [100 * chosen.forgetting],
        [100 * chosen.score],
        "o",
        color="tab:orange",
        markersize=9,
        label=f"chosen: weight {chosen.weight:.2g}",
    )
    for x, y, point in zip(forgetting, scores, points, strict=True):
        axes.annotate(
            f"{point.weight:.2g}", (x, y), xytext=(5, 5), textcoords="offset points", fontsize=8
        )
    left, right = axes.get_xlim()
    axes.axvspan(
        100 * most_forgetting,
        max(right, 100 * most_forgetting),
        color="tab:red",
        alpha=0.08,
        label=f"forgets more than {percent(most_forgetting)}",
    )
    axes.set_xlim(left, right)
    axes.set_xlabel("forgetting (%)")
    axes.set_ylabel(f"{score_name} (%)")
    axes.set_title("between the original (0) and the tuned model (1)", fontsize=10)
    axes.legend(loc="best", fontsize=8)
    axes.grid(alpha=0.3)
    file = io.BytesIO()
    figure.savefig(file, format="png", metadata={"Software": None})
    return file.getvalue()

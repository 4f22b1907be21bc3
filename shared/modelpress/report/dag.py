"""The picture of a run: its steps with status, time and key metrics, as inline SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from modelpress.engine.state import RunState, StepState, StepStatus
from modelpress.pipeline.plan import Plan
from modelpress.report import format as fmt
from modelpress.report.layout import Layout, arrange
from modelpress.report.markup import Markup, el

WIDTH, HEIGHT = 188, 78
GAP_X, GAP_Y = 44, 24
LANE = 18
MARGIN = 4

MARKS: Mapping[StepStatus, str] = {
    StepStatus.WAITING: "…",
    StepStatus.RUNNING: "▸",
    StepStatus.SUCCEEDED: "✓",
    StepStatus.FAILED: "✕",
    StepStatus.REFUSED: "✕",
    StepStatus.CANCELLED: "■",
    StepStatus.SKIPPED: "–",
}


def draw(run: RunState, headlines: Mapping[str, Sequence[str]], names: Mapping[str, str]) -> Markup:
    """The DAG of ``run``; ``headlines`` are at most two short lines a step, ``names`` what the inputs are called."""
    plan = run.plan
    layout = arrange(graph(plan), main_chain(plan))
    picture = _Picture(layout)
    edges = [picture.edge(source, target) for target, sources in graph(plan).items() for source in sources]
    nodes = [picture.step(plan, run.steps.get(s.id) or StepState(id=s.id), headlines.get(s.id, ())) for s in plan.steps]
    inputs = [picture.source(name, names[name]) for name in plan.inputs if f"inputs.{name}" in layout.places]
    width, height = picture.extent()
    statuses = ", ".join(f"{s.id} {run.steps[s.id].status}" for s in plan.steps if s.id in run.steps)
    svg = el(
        "svg",
        *edges,
        *inputs,
        *nodes,
        viewBox=f"0 0 {width} {height}",
        class_="dag",
        role="img",
        aria_label=f"Pipeline {plan.name}: {statuses}",
        style=f"min-width:{round(0.8 * width)}px;max-width:{width}px",
    )
    return el("div", svg, class_="scroll")


def graph(plan: Plan) -> dict[str, list[str]]:
    """What each node reads, in port order. Datasets are left out (almost every step reads them)."""
    nodes: dict[str, list[str]] = {f"inputs.{name}": [] for name in plan.inputs if not _is_data(plan, name)}
    for step in plan.steps:
        sources = [s if s.startswith("inputs.") else s.partition(".")[0] for s in step.sources()]
        nodes[step.id] = [s for s in dict.fromkeys(sources) if s in nodes or not s.startswith("inputs.")]
    return nodes


def main_chain(plan: Plan) -> list[str]:
    """The line that leads to the pipeline's package (else its last output), back to an input."""
    source = plan.outputs.get("package") or next(reversed(plan.outputs.values()), "")
    chain: list[str] = []
    ids = {step.id for step in plan.steps}
    while source:
        node = source if source.startswith("inputs.") else source.partition(".")[0]
        chain.insert(0, node)
        source = plan.step(node).subject if node in ids else ""
    return chain


def _is_data(plan: Plan, name: str) -> bool:
    ports = [port for step in plan.steps for port, source in step.reads() if source == f"inputs.{name}"]
    return bool(ports) and set(ports) == {"data"}


class _Picture:
    """Coordinates of a layout, and the shapes drawn at them."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.top = MARGIN + LANE * (1 + max(layout.lanes.values(), default=-1))

    def extent(self) -> tuple[int, int]:
        width = 2 * MARGIN + self.layout.columns * (WIDTH + GAP_X) - GAP_X
        return width, self.top + self.layout.rows * (HEIGHT + GAP_Y) - GAP_Y + MARGIN

    def corner(self, node: str) -> tuple[int, int]:
        column, row = self.layout.places[node]
        return MARGIN + column * (WIDTH + GAP_X), self.top + row * (HEIGHT + GAP_Y)

    def edge(self, source: str, target: str) -> Markup:
        (x1, y1), (x2, y2) = self.corner(source), self.corner(target)
        x1, y1, y2 = x1 + WIDTH, y1 + HEIGHT // 2, y2 + HEIGHT // 2
        if not self.layout.is_long(source, target):
            middle = (x1 + x2) // 2
            return el("path", d=f"M{x1} {y1}C{middle} {y1} {middle} {y2} {x2} {y2}", class_="edge")
        lane = self.layout.lanes[source]
        y, shift = self.top - LANE * lane - LANE // 2, 3 * lane
        points = [
            (x1, y1),
            (x1 + 12 + shift, y1),
            (x1 + 12 + shift, y),
            (x2 - 16 - shift, y),
            (x2 - 16 - shift, y2),
            (x2, y2),
        ]
        return el("path", d=rounded(points, 8), class_="edge far")

    def source(self, name: str, reference: str) -> Markup:
        x, y = self.corner(f"inputs.{name}")
        title, below = (name, fmt.short(reference) if reference.startswith("sha256:") else reference)
        shapes = [el("rect", x=x, y=y, width=WIDTH, height=HEIGHT, rx=HEIGHT // 2, class_="node input")]
        lines = [
            _line(x + WIDTH / 2, y + 33, title, "id", "middle"),
            _line(x + WIDTH / 2, y + 51, _cut(below, 24), "uses", "middle"),
        ]
        return el("g", *shapes, *lines)

    def step(self, plan: Plan, state: StepState, headline: Sequence[str]) -> Markup:
        x, y = self.corner(state.id)
        took = "cached" if state.cached else fmt.duration(state.ended_s - state.started_s) if state.ended_s else ""
        body = [
            el("rect", x=x, y=y, width=WIDTH, height=HEIGHT, rx=10, class_="node"),
            el("rect", x=x, y=y + 12, width=4, height=HEIGHT - 24, rx=2, class_=f"side {state.status}"),
            _line(x + 14, y + 21, _cut(state.id, 17), "id"),
            _line(x + WIDTH - 10, y + 21, f"{took} {MARKS[state.status]}".strip(), f"took {state.status}", "end"),
            _line(x + 14, y + 37, _cut(plan.step(state.id).uses, 25), "uses"),
        ]
        metrics = [_line(x + 14, y + 54 + 14 * i, _cut(text, 27), "metric") for i, text in enumerate(headline[:2])]
        tip = el("title", f"{state.id}: {plan.step(state.id).uses}, {state.status}")
        return el("a", tip, *body, *metrics, href=f"#step-{state.id}")


def rounded(points: Sequence[tuple[float, float]], radius: float) -> str:
    """An SVG path along axis-parallel lines whose corners are rounded."""
    parts = [f"M{points[0][0]} {points[0][1]}"]
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        start, end = _towards(corner, before, radius), _towards(corner, after, radius)
        parts.append(f"L{start[0]:g} {start[1]:g}Q{corner[0]:g} {corner[1]:g} {end[0]:g} {end[1]:g}")
    return "".join([*parts, f"L{points[-1][0]} {points[-1][1]}"])


def _towards(origin: tuple[float, float], target: tuple[float, float], distance: float) -> tuple[float, float]:
    dx, dy = target[0] - origin[0], target[1] - origin[1]
    length = max(abs(dx), abs(dy))
    step = min(distance, length / 2) / length if length else 0.0
    return origin[0] + dx * step, origin[1] + dy * step


def _line(x: float, y: float, content: str, class_: str, anchor: str | None = None) -> Markup:
    return el("text", content, x=x, y=y, class_=class_, text_anchor=anchor)


def _cut(content: str, length: int) -> str:
    return content if len(content) <= length else content[: length - 1] + "…"

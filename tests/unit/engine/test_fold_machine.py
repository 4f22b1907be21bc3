"""The fold under every order of events that hypothesis finds: late, again, cut short, cancelled."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from modelpress.engine.events import Event, RunCancelled, StepCommand
from modelpress.engine.fold import MAX_ATTEMPTS, apply, decide
from modelpress.engine.state import RunState, StepStatus
from tests.unit.engine.builders import (
    RUN,
    failed,
    fold,
    interrupted,
    invalidated,
    plan_of,
    started,
    submitted,
    succeeded,
)

NAMES = "abcde"


def subset(names: str, most: int | None = None) -> st.SearchStrategy[set[str]]:
    return st.sets(st.sampled_from(names), max_size=most) if names else st.just(set[str]())


class FoldMachine(RuleBasedStateMachine):
    """Workers answer any command that was ever issued, at any time; the log may be read again at any time."""

    state: RunState

    @initialize(data=st.data(), size=st.integers(1, 5))
    def submit(self, data: st.DataObject, size: int) -> None:
        names = NAMES[:size]
        needs = {
            name: data.draw(st.sets(st.sampled_from(names[:i])) if i else st.just(set()))
            for i, name in enumerate(names)
        }
        first = submitted(plan_of(needs, gated=data.draw(subset(names, most=1))))
        self.log: list[Event] = [first]
        self.commands: list[StepCommand] = []
        self.state = fold([first])

    def write(self, *events: Event) -> None:
        for event in events:
            before, after = self.state, apply(self.state, event)
            assert after is not None
            assert not before.status.final or after == before, "a final run changed"
            self.log.append(event)
            self.state = after

    @rule()
    def coordinate(self) -> None:
        decision = decide(self.state, now_s=2.0)
        for command in decision.commands:
            self.check(command)
        self.commands += decision.commands
        self.write(*decision.events)
        assert decide(self.state, now_s=3.0).commands == (), "decided twice"

    def check(self, command: StepCommand) -> None:
        needs = self.state.plan.step(command.step_id).needs()
        assert all(self.state.steps[need].status is StepStatus.SUCCEEDED for need in needs), "issued too early"
        assert not self.state.steps[command.step_id].status.final, "a finished step was issued"
        issued = {(c.step_id, c.attempt) for c in self.commands}
        assert (command.step_id, command.attempt) not in issued, "issued twice"
        assert command.attempt <= MAX_ATTEMPTS

    @precondition(lambda self: self.commands)
    @rule(data=st.data())
    def work(self, data: st.DataObject) -> None:
        command = data.draw(st.sampled_from(self.commands))
        step_id, attempt = command.step_id, command.attempt
        drop = data.draw(st.sampled_from([0.1, 0.1, 0.9]))
        events: list[Event] = [started(step_id, attempt), succeeded(step_id, attempt, drop=drop)]
        events += [failed(step_id, attempt), interrupted(step_id, attempt)]
        self.write(data.draw(st.sampled_from(events)))

    @precondition(lambda self: any(s.status is StepStatus.SUCCEEDED for s in self.state.steps.values()))
    @rule(data=st.data())
    def find_corrupt(self, data: st.DataObject) -> None:
        done = [s for s in self.state.steps.values() if s.status is StepStatus.SUCCEEDED]
        step = data.draw(st.sampled_from(done))
        self.write(invalidated(step.id, step.attempt))

    @precondition(lambda self: len(self.commands) > 3)
    @rule()
    def cancel(self) -> None:
        self.write(RunCancelled(run_id=RUN, at_s=9.0))

    @rule(data=st.data())
    def read_again(self, data: st.DataObject) -> None:
        start = data.draw(st.integers(0, len(self.log) - 1))
        for event in self.log[start:]:
            assert apply(self.state, event) == self.state, f"{event} applied again changed the state"

    @invariant()
    def the_log_is_the_state(self) -> None:
        assert fold(self.log) == self.state


FoldMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestFold = FoldMachine.TestCase

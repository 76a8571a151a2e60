"""What the tuning machine is told, and what it asks for.

Events go into `machine.TuningMachine`, instructions come out. An instruction is carried out in one
of three phases of a turn:

    at once      `Suggest`, `Promote`, `Report`, `Explain`, `Track`, `Say`: their answers are events
    committed    `Intend`, `Retry`, `Finish`, `Close`, `Record...`: one transaction for all; the
                 answer to `Finish`, what the trial counts as, is known at once
    afterwards   `Submit`, `Cancel`, `CompleteControl`, `RemoveCheckpoints`: effects outside
"""

from __future__ import annotations

from dataclasses import dataclass, field

from optuna.trial import TrialState

from tune_jobs.core.attempts import Attempt
from tune_jobs.core.best_trials import Result
from tune_jobs.core.commands import Control, End
from tune_jobs.core.costs import Amount
from tune_jobs.core.job_runs import RunUpdate
from tune_jobs.core.objectives import Reading
from tune_jobs.core.promotion import Rung
from tune_jobs.core.recovery import Recovery

# -- events -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Recovered:
    """The attempts that an earlier call left open were looked up.

    Args:
        plan: The open attempts by what the backend knows of them.
        rungs: The rungs of their trials under promotion, by trial number.
        unrecorded: Tickets of running trials of this study without an attempt in the ledger.
        continued: How many of the trials were counted in an earlier call, with the trial that
            they were promoted from.
    """

    plan: Recovery
    rungs: dict[int, Rung]
    unrecorded: tuple[int, ...] = ()
    continued: int = 0


@dataclass(frozen=True)
class Suggested:
    """A new trial exists.

    Args:
        ticket: Identifies the trial until it is committed; its number may change until then.
        promoted: Whether it resumes the configuration of an earlier trial.
    """

    ticket: int
    promoted: bool = False


@dataclass(frozen=True)
class NotSuggested:
    """There is no new trial now.

    Args:
        until_end: Whether there is none until a live run has ended, as the trial would have the
            same parameters; otherwise there may be one in the next turn.
    """

    until_end: bool = True


@dataclass(frozen=True)
class SpaceExhausted:
    """Nothing is left to try; ``reason`` says how that is known."""

    reason: str = "nothing is left to try"


@dataclass(frozen=True)
class Intended:
    """An attempt that was committed, and the rung of its trial."""

    attempt: Attempt
    rung: Rung | None = None


@dataclass(frozen=True)
class Refused:
    """A trial that failed because its configuration cannot be run.

    Args:
        cause: Why.
        promoted: Whether it was to resume the configuration of an earlier trial.
        had_run: Whether it had a run already, and was to be retried.
    """

    trial: int
    cause: str
    promoted: bool = False
    had_run: bool = False


@dataclass(frozen=True)
class Committed:
    """Everything that was to be committed is durable.

    Args:
        intended: The new attempts.
        refused: Trials of `Intend` and `Retry` that have no attempt, because their configuration
            cannot be run; they have failed.
    """

    intended: tuple[Intended, ...] = ()
    refused: tuple[Refused, ...] = ()


@dataclass(frozen=True)
class Submitted:
    """The backend accepted a run under its own id."""

    name: str
    run_id: str


@dataclass(frozen=True)
class Seen:
    """A run changed its state or wrote metrics; ``reading`` is all that its metrics say so far."""

    name: str
    update: RunUpdate
    reading: Reading


@dataclass(frozen=True)
class PruneAdvised:
    """The pruner wants a run to end.

    Args:
        step: The step at which it said so.
        steps: How many steps the run has reported.
    """

    name: str
    step: int
    steps: int


@dataclass(frozen=True)
class Explained:
    """The cause of a failure, with what the run's log says about it."""

    name: str
    cause: str


@dataclass(frozen=True)
class Finished:
    """A trial's result was taken.

    Args:
        finish: The instruction that this event answers.
        closed: Attempts to close in the same transaction.
        result: The trial as Optuna has it now, with all its constraints; None for a final run,
            and for a trial that Optuna's own loop finishes.
    """

    finish: Finish
    closed: tuple[Attempt, ...] = ()
    result: Result | None = None


@dataclass(frozen=True)
class Requested:
    """Another process sent a command."""

    control: Control


@dataclass(frozen=True)
class EndRequested:
    """This process wants the call to end."""

    end: End


@dataclass(frozen=True)
class Interrupted:
    """The call was interrupted or has failed: live runs are to be stopped."""


@dataclass(frozen=True)
class Ticked:
    """Time has passed; ``new_trials``: whether new trials may be started."""

    new_trials: bool = True


Event = (
    Recovered
    | Suggested
    | NotSuggested
    | SpaceExhausted
    | Committed
    | Submitted
    | Seen
    | PruneAdvised
    | Explained
    | Finished
    | Requested
    | EndRequested
    | Interrupted
    | Ticked
)

# -- instructions -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Suggest:
    """Ask the sampler for a new trial; answered by `Suggested` or `NotSuggested`."""


@dataclass(frozen=True)
class Promote:
    """Create a trial that resumes the configuration of trial ``rung.after`` on ``rung``."""

    rung: Rung


@dataclass(frozen=True)
class Report:
    """Report new intermediate values to Optuna.

    Args:
        ask_pruner: Whether to ask the pruner after each; answered by `PruneAdvised`, if at all.
    """

    attempt: Attempt
    reading: Reading
    ask_pruner: bool


@dataclass(frozen=True)
class Explain:
    """Find out more about a failure; answered by `Explained`."""

    attempt: Attempt
    update: RunUpdate
    cause: str


@dataclass(frozen=True)
class Track:
    """Watch a run that an earlier call started; its state is known already."""

    attempt: Attempt
    update: RunUpdate


@dataclass(frozen=True)
class Say:
    """Show a line to people."""

    line: str


@dataclass(frozen=True)
class Intend:
    """Make and record the first attempt of a new trial."""

    ticket: int


@dataclass(frozen=True)
class Retry:
    """Make and record the attempt after this one.

    Args:
        attempt: The attempt that ended.
        cause: Why no run can be started until a person acts; the trial has it meanwhile.
    """

    attempt: Attempt
    cause: str = ""


@dataclass(frozen=True)
class Finish:
    """Report a trial's result to Optuna, and close its last attempt; answered by `Finished`.

    Args:
        attempt: Its last attempt, closed.
        state: The trial's final state.
        reading: What the run's metrics say.
        rung: Its rung, under promotion.
        reached: Its value on that rung, if it used the rung's budget.
        cost: What all its attempts used.
        diverged: Whether its run worked, and its metric was not finite.
    """

    attempt: Attempt
    state: TrialState
    reading: Reading
    cost: Amount = field(default_factory=Amount)
    rung: Rung | None = None
    reached: float | None = None
    diverged: bool = False


@dataclass(frozen=True)
class Close:
    """Record the end of an attempt that does not finish its trial."""

    attempt: Attempt


@dataclass(frozen=True)
class RecordSubmission:
    """Record that the backend accepted a run."""

    name: str
    run_id: str
    at: float


@dataclass(frozen=True)
class RecordStart:
    """Record when a run's script was started; may wait for the next transaction."""

    name: str
    at: float


@dataclass(frozen=True)
class RecordPruning:
    """Record that a run is to be stopped for good."""

    attempt: Attempt


@dataclass(frozen=True)
class Submit:
    """Start the run of a recorded attempt."""

    attempt: Attempt


@dataclass(frozen=True)
class Cancel:
    """Stop a run."""

    name: str


@dataclass(frozen=True)
class CompleteControl:
    """Mark a command as completed."""

    control_id: int


@dataclass(frozen=True)
class RemoveCheckpoints:
    """Remove the checkpoints of these trials: no run will resume from them."""

    trials: tuple[int, ...]


AtOnce = Suggest | Promote | Report | Explain | Track | Say
ToCommit = Intend | Retry | Finish | Close | RecordSubmission | RecordStart | RecordPruning
Effect = Submit | Cancel | CompleteControl | RemoveCheckpoints
Instruction = AtOnce | ToCommit | Effect

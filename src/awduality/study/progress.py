"""How far a run is, and how long the rest will take; times in seconds. Standard library only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field

_FEW, _SHARE = 3, 0.25  # finished jobs, and their share of all, from which the time left is told


@dataclass(frozen=True)
class Running:
    """A job that runs."""

    rule: str
    name: str  # what it is called on the terminal
    began: float
    logs: Collection[str] = ()


@dataclass
class Course:
    """How far a run is: jobs by rule, how long those took that have finished, which ones run. Times in seconds."""

    began: float = 0.0
    stats: Counter[str] = field(default_factory=Counter)  # rule → number of its jobs
    took: dict[str, list[float]] = field(default_factory=dict)  # rule → time of every job that has finished
    running: dict[int, Running] = field(default_factory=dict)

    @property
    def done(self) -> int:
        """How many jobs have finished."""
        return sum(map(len, self.took.values()))

    @property
    def total(self) -> int:
        """How many jobs there are."""
        return max(self.stats.total(), self.done)

    def finish(self, job: int, now: float) -> tuple[Running, float]:
        """Note that a job has finished; what it was, and how long it took."""
        one = self.running.pop(job)
        self.took.setdefault(one.rule, []).append(now - one.began)
        return one, now - one.began

    def left(self, now: float) -> float | None:
        """How long the others will take, right after a job has finished; None if too little is known.

        A job takes as long as those of its rule did on average, or, if none has finished, as all did. As many run at
        once as before: those that run, and the one that has just finished.
        """
        waiting = {rule: count - len(self.took.get(rule, ())) for rule, count in self.stats.items()}
        known = sum(count for rule, count in waiting.items() if rule in self.took)
        if self.done < _FEW or (2 * known < sum(waiting.values()) and self.done < _SHARE * self.total):
            return None
        of_all = sum(map(sum, self.took.values())) / self.done
        mean = {rule: sum(self.took[rule]) / len(self.took[rule]) if rule in self.took else of_all for rule in waiting}
        work = sum(count * mean[rule] for rule, count in waiting.items())
        work -= sum(min(now - one.began, mean.get(one.rule, of_all)) for one in self.running.values())
        return max(work, 0.0) / (len(self.running) + 1)


def clock(seconds: float) -> str:
    """Minutes and seconds, with hours where there are any: ``0:35``, ``1:02:09``."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def about(seconds: float) -> str:
    """The time left in words, no more exact than it is known."""
    if seconds < 55:
        return f"about {max(10 * round(seconds / 10), 10)} s left"
    if (minutes := round(seconds / 60)) < 90:
        return f"about {minutes} min left"
    hours, minutes = divmod(round(minutes / 10) * 10, 60)
    return f"about {hours} h{f' {minutes} min' if minutes else ''} left"


def duration(seconds: float) -> str:
    """How long a job took: ``4.1 s``, or as a clock has it."""
    return f"{seconds:.1f} s" if seconds < 60 else clock(seconds)

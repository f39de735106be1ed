"""Every job of a config: what it is told, what it reads and what it writes. Rules and audit take it from here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from awduality.errors import InputError
from awduality.runs import Run
from awduality.study.contract import Drawn, Step, Study
from awduality.study.discovery import FOLDER, check_steps, claims_file, figures, study, study_of
from awduality.study.plan import group_of, shards

CLAIMS_SCHEMA = "workflow/schemas/claims.schema.yaml"


@dataclass(frozen=True)
class Job:
    """One job of a config; its record is ``results/<config>/records/<name>.json``."""

    script: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    inputs: Sequence[str] = ()
    outputs: Sequence[str] = ()
    after: Sequence[str] = ()  # jobs whose records it names


@dataclass(frozen=True)
class Jobs:
    """A config with its study, its shards and its figures: everything that the rules ask."""

    config: Mapping[str, Any]
    name: str  # of the study
    study: Study
    shards: Mapping[str, list[Run]]
    drawn: Mapping[str, Drawn]

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Jobs:
        """Everything that follows from a resolved config.

        Raises:
            InputError: a step is not there; a figure or the claims read a table that no step makes.
        """
        name = study_of(config)
        check_steps(name)
        found = cls(config, name, study(name), shards(config), figures(name, config))
        made = {path.rpartition("/")[2] for path in found.tables} | {"claims.json"}
        for figure, drawn in found.drawn.items():
            if not drawn.tables:
                raise InputError(
                    f"{FOLDER}/{name}/figures.py: draw_{drawn.function} draws {figure} from nothing: wanted parameters "
                    f"that name its tables, of {', '.join(sorted(made))}"
                )
            if missing := sorted({*drawn.tables} - made):
                raise InputError(
                    f"{FOLDER}/{name}/figures.py: draw_{drawn.function} draws {figure} from {', '.join(missing)}, "
                    f"which no step makes: wanted one of {', '.join(sorted(made))}; add it to a step in study.py"
                )
        if missing := sorted({f"{table}.csv" for table in found.study.judged} - made):
            raise InputError(
                f"{FOLDER}/{name}/study.py: claims are judged from {', '.join(missing)}, which no step makes: wanted "
                f"one of {', '.join(sorted(made))}"
            )
        return found

    @property
    def results(self) -> str:
        """The folder of the results."""
        return f"results/{self.config['name']}"

    @property
    def figures(self) -> str:
        """The folder of the figures and of the tables beside them."""
        return f"figures/{self.config['name']}"

    @property
    def title(self) -> str:
        """How a report calls the study."""
        return self.name.replace("_", " ").capitalize()

    @property
    def has_data(self) -> bool:
        """Whether a dataset is read."""
        return any(step.data for step in self.study.steps)

    @property
    def split(self) -> str:
        """The file of the split; its card lies beside it."""
        return f"{self.results}/data/{self.config['data']['source']}.safetensors"

    @property
    def card(self) -> str:
        """The data card."""
        return self.split.removesuffix("safetensors") + "json"

    def record(self, job: str) -> str:
        """The record of a job."""
        return f"{self.results}/records/{job}.json"

    def step(self, name: str) -> Step:
        """A step by its name."""
        return next(step for step in self.study.steps if step.name == name)

    def script(self, step: Step) -> str:
        """The module that a step runs, as a file."""
        return f"{FOLDER}/{self.name}/{step.name}.py"

    def together(self, step: Step) -> bool:
        """Whether one job does a step for all shards."""
        return bool(step.together and self.config.get(step.together))

    def shards_of(self, step: Step) -> list[str]:
        """The shards that a step is for."""
        return [name for name in self.shards if not step.only or group_of(name) == step.only]

    def files(self, step: Step, names: Iterable[str]) -> list[str]:
        """What a step per shard writes for these shards."""
        known = set(self.shards_of(step))
        chosen = [name for name in names if name in known]
        return [f"{self.results}/{step.place}/{name}.{suffix}" for name in chosen for suffix in ("csv", "safetensors")]

    def made(self, step: Step) -> list[str]:
        """Everything that a step writes."""
        if step.each == "study":
            return [f"{self.figures}/{table}.csv" for table in step.tables or self._remaining_tables()]
        return self.files(step, self.shards_of(step))

    def _remaining_tables(self) -> list[str]:
        """The tables that figures and claims read and that no step names: a step without a list makes them."""
        read = {table.removesuffix(".csv") for drawn in self.drawn.values() for table in drawn.tables}
        named = {table for step in self.study.steps for table in step.tables}
        return sorted({*read, *self.study.judged} - named - {"claims.json"})

    def records(self, job: str) -> list[str]:
        """The records that a job names."""
        return [self.record(earlier) for earlier in self.jobs[job].after]

    def job(self, step: Step, shard: str | None) -> Job:
        """The job that does a step for a shard, or for all."""
        return self.jobs[self.job_of(step, shard)]

    def job_of(self, step: Step, shard: str | None) -> str:
        """The name of the job that does a step for a shard, or for all."""
        return step.name if step.each == "study" or self.together(step) else f"{step.name}-{shard}"

    def jobs_of(self, step: Step) -> list[str]:
        """All jobs of a step."""
        names = [step.name] if step.each == "study" else [self.job_of(step, name) for name in self.shards_of(step)]
        return list(dict.fromkeys(names))

    @property
    def per_shard(self) -> list[Step]:
        """The steps per shard."""
        return [step for step in self.study.steps if step.each == "shard"]

    @property
    def per_study(self) -> list[Step]:
        """The steps per study."""
        return [step for step in self.study.steps if step.each == "study"]

    @property
    def derived(self) -> list[Step]:
        """The steps that make tables from tables beside the figures."""
        return [step for step in self.per_study if step.of_tables]

    @property
    def tables(self) -> list[str]:
        """The files of all tables beside the figures, sorted."""
        return sorted(path for step in self.per_study for path in self.made(step))

    def asked(self, step: Step) -> dict[str, Any]:
        """What a step is told of the config: the keys that it reads, by their last part, and the root seed.

        A key that ends in ``?`` is an option: where the config leaves it out, the step is not told of it.
        """
        found: dict[str, Any] = {}
        for key in step.reads:
            place: Any = self.config.get(self.name) if not self.study.keys else None
            place = place if isinstance(place, Mapping) and key.split(".")[0] in place else self.config
            *sections, last = key.removesuffix("?").split(".")
            for part in sections:
                place = place[part]
            if last in place or not key.endswith("?"):
                found[last] = place[last]
        return {**found, "root_seed": self.config["root_seed"]}

    def purposes(self, step: Step) -> list[str]:
        """The full names of the random streams that every run of a step draws from."""
        subsets = bool(step.purposes) and step.data and self.config["data"].get("subset_per_seed", False)
        return [self.purpose(name) for name in (*step.purposes, *["/subset"] * subsets)]

    def purpose(self, name: str) -> str:
        """The full name of a random stream that a step declares: the study's own, or, after a slash, the library's."""
        return name.removeprefix("/") if name.startswith("/") else f"{self.name}/{name}"

    def described(self, names: Iterable[str]) -> dict[str, list[dict[str, Any]]]:
        """Shards as a command line says them: shard → settings, each with its seeds."""
        return {name: _described(self.shards[name]) for name in names}

    @cached_property
    def jobs(self) -> dict[str, Job]:
        """Every job up to the seal, in the order in which they may run."""
        config = self.config
        plan = (f"{self.results}/config.json", f"{self.results}/plan.json")
        found = {"plan": Job("scripts/plan.py", {"config": config}, (), plan)}
        if self.has_data:
            asked = {**config["data"], "smallest_train_size": self.study.smallest(config)}
            found["prepare_data"] = Job("scripts/prepare_data.py", asked, (), (self.split, self.card))
        for step in self.per_shard:
            found |= self._of_shards(step)
        for step in self.per_study:
            found[step.name] = self._of_study(step)
        upstream = [name for name in found if name not in {step.name for step in self.derived}]
        judged = [f"{self.figures}/{table}.csv" for table in self.study.judged]
        verdicts = (f"{self.results}/claims.json", f"{self.figures}/claims.json")
        told = {"study": self.name, "root_seed": config["root_seed"]}
        found["claims"] = Job("scripts/claims.py", told, (claims_file(self.name), CLAIMS_SCHEMA, *judged), verdicts)
        for figure, drawn in self.drawn.items():
            pictures = tuple(f"{self.figures}/{figure}.{suffix}" for suffix in ("svg", "png"))
            tables = [f"{self.figures}/{table}" for table in drawn.tables]
            found[f"draw-{figure}"] = Job("scripts/draw.py", self.drawing(figure), tables, pictures)
        origin = f"{self.figures}/origin.json"
        found["origin"] = Job("scripts/origin.py", {}, plan[:1], (origin,), upstream)
        shown = [*(step.name for step in self.derived), "claims", *(f"draw-{figure}" for figure in self.drawn)]
        provenance = (f"{self.figures}/provenance.json",)
        found["provenance"] = Job("scripts/provenance.py", {}, (origin,), provenance, shown)
        found["seal"] = Job("scripts/seal.py", {}, (), (), list(found))
        return found

    def sources(self, step: Step) -> list[str]:
        """What a step per study is made from, as words of a command line."""
        if step.of_tables:
            return ["--tables", *self.jobs[step.name].inputs]
        folders = [f"{name}={self.results}/{self.step(name).place}" for name in step.after]
        split = ["--split", self.split] if step.data else []
        return ["--results", self.results, "--before", *folders, *split]

    def drawing(self, figure: str) -> dict[str, Any]:
        """What the job that draws a figure is told."""
        drawn = self.drawn[figure]
        return {"figure": figure, "study": self.name, "function": drawn.function, "words": list(drawn.words)}

    def drawing_options(self, figure: str) -> list[str]:
        """The same as words of a command line."""
        drawn = self.drawn[figure]
        return ["--study", self.name, "--function", drawn.function, *(["--words", *drawn.words] if drawn.words else [])]

    def _of_shards(self, step: Step) -> dict[str, Job]:
        found = {}
        for job in self.jobs_of(step):
            names = self.shards_of(step)
            names = names if self.together(step) else [name for name in names if self.job_of(step, name) == job]
            before = [self.step(name) for name in step.after]
            inputs = [self.split] if step.data else []
            inputs += [path for earlier in before for path in self.files(earlier, names)]
            after = ["prepare_data"] if step.data else []
            after += dict.fromkeys(self.job_of(earlier, name) for earlier in before for name in names)
            asked = {**self.asked(step), "shards": self.described(names)}
            found[job] = Job(self.script(step), asked, inputs, self.files(step, names), after)
        return found

    def _of_study(self, step: Step) -> Job:
        if step.of_tables:
            tables = [f"{self.figures}/{table}.csv" for table in step.of_tables]
            return Job(self.script(step), self.asked(step), tables, self.made(step))
        before = [self.step(name) for name in step.after]
        inputs = [f"{self.results}/plan.json", f"{self.results}/config.json"]
        inputs += [self.split] if step.data else []
        inputs += [self.card] if self.has_data and self.config["data"]["source"] == "image_folder" else []
        inputs += [path for earlier in before for path in self.made(earlier)]
        after = ["plan", *(["prepare_data"] if self.has_data else [])]
        after += [job for earlier in before for job in self.jobs_of(earlier)]
        return Job(self.script(step), self.asked(step), inputs, self.made(step), after)


def _described(runs: Iterable[Run]) -> list[dict[str, Any]]:
    """Runs as settings, each with its seeds."""
    found: dict[str, dict[str, Any]] = {}
    for one in runs:
        entry = found.setdefault(Run(one.settings, 0).id, {"settings": one.settings, "seeds": []})
        entry["seeds"].append(one.seed)
    return list(found.values())

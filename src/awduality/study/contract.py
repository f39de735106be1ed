"""What a study declares in ``studies/<study>/study.py``. Standard library only: to read one runs nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from awduality.runs import Run, Settings

Config = Mapping[str, Any]


@dataclass(frozen=True)
class Paper:
    """The paper that a study is about."""

    title: str
    authors: str
    year: int
    source: str  # DOI or arXiv id

    @property
    def link(self) -> str:
        """Where it can be read."""
        return f"https://{'doi.org' if self.source.startswith('10.') else 'arxiv.org/abs'}/{self.source}"


MAIN_PAPER = Paper(
    "Activity–weight duality in feed-forward neural networks reveals two co-determinants for generalization",
    "Feng, Zhang & Tu",
    2023,
    "10.1038/s42256-023-00700-x",
)


@dataclass(frozen=True)
class Setting:
    """What runs differ in, or share: its type, how text and axes write it, the values that it may have."""

    kind: type
    words: str  # its name in text and on axes
    symbol: str = ""  # mathtext, without dollars
    source: str = ""  # where it comes from, if not from the paper
    least: float | None = None  # smallest value allowed
    above: float | None = None  # largest value not allowed
    most: float | None = None  # largest value allowed
    choices: Mapping[str, str] = field(default_factory=dict)  # value → how text calls it
    many: bool = False  # of a shared setting: a list of such values
    neutral: Any = None  # its value where an experiment leaves it out; by default none may

    @property
    def plain(self) -> str:
        """The words without markup, for text."""
        return self.words.replace("$", "").replace("_", "")

    @property
    def axis_label(self) -> str:
        """The words with the symbol, for an axis."""
        return f"{self.words} ${self.symbol}$" if self.symbol else self.words


@dataclass(frozen=True)
class Step:
    """What one kind of job does: the module ``studies/<study>/<name>.py``, run for every shard, or once per study.

    A step per shard writes ``<folder>/<shard>.csv`` and ``.safetensors``; one per study writes ``tables`` beside the
    figures, from the results of other steps or, like claims and figures, from tables that lie there, so that a clone
    can make it again without the run. Rule, record and audit take its parameters from ``reads``, and its inputs from
    ``after``, ``data`` and ``of_tables``.
    """

    name: str
    reads: Sequence[str] = ()  # keys of the section or config, dotted: its parameters, with root_seed; key?: if there
    after: Sequence[str] = ()  # earlier steps whose outputs it reads
    data: bool = False  # whether it reads the split
    each: Literal["shard", "study"] = "shard"
    only: str = ""  # the one group of shards that it is for
    together: str = ""  # the key of the config that makes one job of all shards
    folder: str = ""  # among the results; by default the step's name
    tables: Sequence[str] = ()  # of a step per study: what it writes, without .csv; by default what no other step does
    of_tables: Sequence[str] = ()  # of a step per study: the tables beside the figures that it makes its own from
    rows: Sequence[str] | None = ()  # a row per run and value of these keys: layers, …; None: any number of rows
    of: Literal["all", "undiverged", "converged"] = "all"  # the runs that have rows
    purposes: Sequence[str] = ()  # random streams that every run draws from: its own; "/init" is the library's
    gpu: Literal["if there", "if demanded", "never"] = "never"  # whether jobs take turns on a GPU

    @property
    def place(self) -> str:
        """The folder among the results that holds its files."""
        return self.folder or self.name


@dataclass(frozen=True)
class Drawn:
    """A figure: the function ``draw_<function>`` of ``figures.py``, its tables in order, and further arguments."""

    function: str
    tables: Sequence[str]  # file names beside the figure
    words: Sequence[str] = ()  # arguments after the tables


EXPERIMENT = (Step("experiment"), Step("tables", after=("experiment",), each="study", tables=("runs",)))


def one_shard_per_setting(run: Run, _experiments: Sequence[str]) -> str:
    """By default a shard is one setting, whatever asks for it, and named by its values."""
    return "-".join(map(str, run.settings.values()))


@dataclass(frozen=True)
class Study:
    """One paper, or one question about it. Hooks are functions of the declaration's own module."""

    paper: Paper
    settings: Mapping[str, Setting]  # what runs differ in
    shared: Mapping[str, Setting] = field(default_factory=dict)  # what all runs of a config share
    about: str = ""  # what it asks, in a line
    experiments: Mapping[str, str] = field(default_factory=dict)  # names that claims know, and what each is; else any
    inherits: Sequence[str] = ()  # sections of config/config.yaml: data, network, layers
    steps: Sequence[Step] = EXPERIMENT
    judged: Sequence[str] = ("runs",)  # tables that claims are judged from
    claims: str = ""  # the file of the claims; by default claims.yaml in the study's folder
    subsets: bool = False  # whether every seed may train on samples of its own, as data.subset_per_seed asks
    sizes: Mapping[str, str] = field(default_factory=dict)  # size → config; by default <size>.yaml in its folder
    page: str = ""  # where its page is; by default README.md in its folder, if that has a template
    cost: Mapping[str, str] = field(default_factory=dict)  # size → how long it takes on two cores, as measured
    keys: Sequence[str] = ()  # top-level keys of its configs, where they are not one section with the study's name
    smallest: Callable[[Config], int] = lambda config: int(config["data"]["pool"]["count"])  # with every class: samples
    canonical: Callable[[Settings], Settings] = dict  # neutral values for what another setting makes unused
    tidy: Callable[[dict[str, Any]], dict[str, Any]] | None = None  # equal numbers spelled equally, where keys is given
    expand: Callable[[Config], Iterator[tuple[str, Run]]] | None = None  # (experiment, run), where lists do not cross
    group: Callable[[Run, Sequence[str]], str] = one_shard_per_setting  # run, experiments → name of its shards
    figures: Callable[[Config, Mapping[str, Drawn]], Mapping[str, Drawn]] = lambda _, found: found
    rows: Callable[[Config], Mapping[str, Sequence[Mapping[str, Any]]]] = lambda _: {}  # table → rows it must have
    problems: Callable[[Config], Iterable[str]] = lambda _: ()  # what no range can say of a config

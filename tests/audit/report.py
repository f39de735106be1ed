"""Alter everything in a finished run, count what the audit finds, and write the table of docs/provenance.md.

python -m tests.audit.report
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import islice
from pathlib import Path

from awduality.audit.check import audit
from awduality.audit.findings import as_text, exit_code
from awduality.files import sha256, write_text
from tests.audit.conftest import copy
from tests.audit.mutations import Mutation, is_found, mutations, of_the_seal
from tests.conftest import ROOT, SMOKE, commit, git, repository, run_snakemake

BEGIN, END = "<!-- mutations: written by make mutations -->", "<!-- end of mutations -->"
DOCUMENT = ROOT / "docs/provenance.md"


def main() -> None:
    """Make the runs, alter the first, write the table."""
    with tempfile.TemporaryDirectory(prefix="awduality-mutations-") as folder:
        finished = repository(Path(folder) / "finished")
        run_snakemake(finished, *SMOKE)
        clean = [(what, passes(tree, config, committed)) for what, tree, config, committed in clean_runs(finished)]
        altered = copy(finished, Path(folder) / "altered")
        seal = sha256(altered / "results/smoke/records/seal.json")
        made = list(mutations(altered, "smoke"))
        found = all_audited(altered, len(made))
        missed = [mutation for mutation, one in zip(made, found, strict=True) if not one]
        by_seal = sum(is_found(altered, "smoke", mutation, seal) for mutation in missed)
        assert passes(altered, "smoke", False), "an alteration was not taken back"
    text = "\n".join(table(made, found, missed, by_seal, clean))
    write_text(DOCUMENT, replaced(DOCUMENT.read_text(encoding="utf-8"), text))
    say(text)


def all_audited(tree: Path, count: int) -> list[bool]:
    """Whether each alteration is found; on all cores, each with a copy of the tree."""
    cores = os.cpu_count() or 1
    copies = [copy(tree, tree.with_name(f"altered-{core}")) for core in range(cores)]
    with ProcessPoolExecutor(cores) as pool:
        shares = list(pool.map(audited_share, copies, range(cores), [cores] * cores))
    return [shares[number % cores][number // cores] for number in range(count)]


def audited_share(tree: Path, first: int, step: int) -> list[bool]:
    """Whether every ``step``-th alteration is found."""
    found = []
    for mutation in islice(mutations(tree, "smoke"), first, None, step):
        found.append(is_found(tree, "smoke", mutation))
        if len(found) % 500 == 0:
            say(f"{len(found)} alterations by process {first + 1} of {step}")
    return found


def say(text: str) -> None:
    """To the terminal."""
    sys.stderr.write(f"{text}\n")


def passes(tree: Path, config: str, committed: bool) -> bool:
    """Whether an audit of all levels ends well."""
    title, levels, _ = audit(tree, config, committed=committed)
    if exit_code(levels) != 0:
        say(as_text(title, levels))
    return exit_code(levels) == 0


def clean_runs(finished: Path) -> Iterator[tuple[str, Path, str, bool]]:
    """Runs in which nothing was altered: what was done, tree, config, only what is committed."""
    yield "the run itself", finished, "smoke", False
    tree = Path(shutil.copytree(finished, finished.with_name("again"), symlinks=True))
    run_snakemake(tree, *SMOKE)
    yield "run again with nothing to do", tree, "smoke", False
    edit(tree / "src/awduality/figures/style.py", '"font.size": 7', '"font.size": 8')
    commit(tree, "Larger letters")
    run_snakemake(tree, *SMOKE)
    yield "figures drawn again after a committed edit of their code", tree, "smoke", False
    edit(tree / "config/smoke.yaml", "batch_size: [10, 25]", "batch_size: [10, 25, 50]")
    commit(tree, "Another batch size")
    run_snakemake(tree, *SMOKE)
    yield "a value added to a sweep and committed", tree, "smoke", False
    tree = copy(finished, finished.with_name("published"))
    git(tree, "add", "--force", "figures/smoke")
    git(tree, "commit", "--quiet", "--message", "The figures")
    clone = finished.with_name("clone")
    git(tree, "clone", "--quiet", str(tree), str(clone))
    yield "a fresh clone, what is committed", clone, "smoke", True
    for path in [path for suffix in ("png", "svg") for path in (clone / "figures/smoke").glob(f"*.{suffix}")]:
        path.unlink()
    run_snakemake(clone, "figures", *SMOKE)
    yield "the figures of a clone drawn anew, what is committed", clone, "smoke", True
    tree = repository(finished.with_name("together"))
    run_snakemake(tree, *SMOKE, "--config", "train_together=True", "name=together")
    yield "all trained in one job, by --config on the command line", tree, "together", False
    tree = repository(finished.with_name("interrupted"))
    interrupt(tree)
    run_snakemake(tree, *SMOKE)
    yield "interrupted while training, and resumed", tree, "smoke", False


def edit(path: Path, old: str, new: str) -> None:
    """Replace text that must be there."""
    text = path.read_text(encoding="utf-8")
    assert old in text, path
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def interrupt(tree: Path) -> None:
    """Start a run and interrupt it as Ctrl-C does, once something is trained."""

    def heed() -> None:  # a process that a shell starts in the background ignores SIGINT, and so do its children
        signal.signal(signal.SIGINT, signal.default_int_handler)

    process = subprocess.Popen(
        [sys.executable, "-m", "snakemake", *SMOKE],
        cwd=tree,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=heed,
    )
    while not list(tree.glob("results/smoke/records/train-*.json")):
        assert process.poll() is None
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGINT)
    process.wait()


def table(
    made: list[Mutation], found: list[bool], missed: list[Mutation], by_seal: int, clean: list[tuple[str, bool]]
) -> list[str]:
    """What was made and found, as Markdown."""
    total, right = Counter(mutation.kind for mutation in made), Counter[str]()
    for mutation, one in zip(made, found, strict=True):
        right[mutation.kind] += one
    lines = ["| altered | made | found and named |", "| --- | --- | --- |"]
    lines += [f"| {kind} | {count:,} | {right[kind]:,} |" for kind, count in total.items()]
    lines += [f"| **all** | **{len(made):,}** | **{sum(found):,}** |", ""]
    beyond = [mutation for mutation in missed if of_the_seal(mutation)]
    others = [mutation for mutation in missed if not of_the_seal(mutation)]
    alarms = sum(not one for _, one in clean)
    lines += [
        f"{sum(found):,} of {len(made):,} found; {alarms} false alarms on {len(clean)} clean runs: "
        + "; ".join(what for what, _ in clean)
        + ".",
        "",
    ]
    if beyond:
        fields = sorted({mutation.what for mutation in beyond})
        lines += [
            f"Not found, {len(beyond)}: fields of the seal's own record with its digest refreshed, which no other "
            f"record or file tells ({', '.join(map(code, fields))}). With `--seal` and the seal as it was noted down, "
            f"{by_seal} of {len(missed)} of these are found.",
            "",
        ]
    lines += [f"- not found and not explained: {mutation.kind}, `{mutation.label}`" for mutation in others]
    return lines


code: Callable[[str], str] = "`{}`".format


def replaced(document: str, text: str) -> str:
    """A document with other text between the markers."""
    pattern = re.compile(f"({re.escape(BEGIN)}\n).*?({re.escape(END)})", re.DOTALL)
    assert len(pattern.findall(document)) == 1, "the markers are missing"
    return pattern.sub(lambda match: f"{match[1]}{text.strip()}\n{match[2]}", document)


if __name__ == "__main__":
    main()

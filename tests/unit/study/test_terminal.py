"""What a person sees of a run: from events made by hand, and from Snakemake itself."""

import io
import logging
import subprocess
import sys
from collections import Counter

import pytest

from awduality.study.progress import Course, Running, about, clock, duration
from awduality.study.terminal import Terminal, job_name, reasons


def record(event=None, message=None, at=0.0, level=logging.INFO, **said):
    """A record as Snakemake makes it."""
    made = logging.LogRecord("snakemake", level, "", 0, message, (), None)
    made.created = at
    vars(made).update(said | ({"event": event} if event else {}))
    return made


def begins(job, rule, at=0.0, log=(), message=None, **wildcards):
    return record(
        "job_info",
        at=at,
        jobid=job,
        rule_name=rule,
        rule_msg=message,
        wildcards=wildcards,
        log=list(log),
        reason=f"Missing output files: {rule}.txt; Code has changed since last execution",
    )


def ends(job, at):
    return record("job_finished", f"Finished jobid: {job}", at, job_id=job)


def fails(job, rule, at=0.0, log=()):
    return record("job_error", f"Error in rule {rule}", at, logging.ERROR, jobid=job, rule_name=rule, log=list(log))


def starts(at=0.0, **stats):
    total = {**stats, "all": 1}
    table = "Job stats:\n" + "".join(f"{rule}  {count}\n" for rule, count in total.items())
    return [
        record("workflow_started", at=at),
        record("run_info", table, at, stats=total | {"total": sum(total.values())}),
    ]


@pytest.fixture
def passed():
    """Records that are left to Snakemake's own handler."""
    return []


@pytest.fixture
def told(passed):
    """From records to the lines that they make."""

    def tell(*records, **options):
        stream = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
        terminal = Terminal(stream, passed.append, idle=lambda: {"all"}, **options)
        for one in records:
            terminal.handle(one)
        stream.seek(0)
        return stream.read().splitlines()

    return tell


def test_a_finished_job_is_a_line_with_its_number_the_time_and_its_name(told):
    lines = told(*starts(100.0, train=10, draw=2), begins(7, "train", 131.0, shard="batch_size-0"), ends(7, 135.1))
    assert lines == ["12 jobs", "[ 1/12] 0:35  train batch_size-0 (4.1 s)"]


def test_rules_that_only_ask_for_files_are_neither_told_nor_counted(told):
    lines = told(*starts(draw=1), begins(1, "draw"), ends(1, 1.0), begins(0, "all", 1.0), ends(0, 1.0))
    assert lines == ["1 job", "[1/1] 0:01  draw (1.0 s)"]


def test_the_time_left_is_that_of_the_jobs_that_wait_and_of_the_rest_of_those_that_run():
    course = Course()
    course.stats.update(train=10, draw=4)
    course.took = {"train": [60.0, 120.0], "draw": [2.0, 4.0]}
    course.running = {5: Running("train", "train", began=70.0)}
    # 8 trainings of 90 s and 2 drawings of 3 s are not finished; one of them has run for 30 s; two run at once
    assert course.left(100.0) == pytest.approx((8 * 90 + 2 * 3 - 30) / 2)


def test_a_job_that_takes_longer_than_others_does_not_make_the_time_left_negative():
    course = Course(stats=Counter(train=4), took={"train": [1.0, 1.0, 1.0]})
    course.running = {5: Running("train", "train", began=0.0)}
    assert course.left(1000.0) == 0.0


def test_the_time_left_is_not_told_while_too_little_is_known():
    course = Course(stats=Counter(train=10, geometry=10, draw=20))
    course.took = {"train": [60.0] * 2}
    assert course.left(120.0) is None  # two jobs
    course.took = {"train": [60.0] * 9}
    assert course.left(540.0) is None  # of most of those that wait no job has finished
    course.took = {"train": [60.0] * 10}
    assert course.left(600.0) == pytest.approx(30 * 60.0)  # a quarter of all has


def test_the_time_left_stands_in_the_line_but_for_the_last_job(told):
    events = [event for n in range(8) for event in (begins(n, "train", 60.0 * n), ends(n, 60.0 * n + 60))]
    lines = told(*starts(train=8), *events)
    assert lines[1:4] == [
        "[1/8] 1:00  train (1:00)",
        "[2/8] 2:00  train (1:00)",
        "[3/8] 3:00  train (1:00), about 5 min left",
    ]
    assert lines[-1] == "[8/8] 8:00  train (1:00)"


def test_of_a_failed_job_the_end_of_its_log_is_shown_and_where_it_lies(told, passed, tmp_path):
    log = tmp_path / "train.log"
    log.write_text("\n".join(["x" * 500, *(f"line {n}" for n in range(20)), "10%\r50%\rerror: no data"]) + "\n")
    command = "RuleException:\nCalledProcessError in file 'Snakefile'\nCommand 'python … {json}' returned 2"
    lines = told(
        *starts(train=2),
        begins(1, "train", 1.0, [str(log)], shard="a"),
        record("error", command, 3.0, logging.ERROR, exception="RuleException"),
        fails(1, "train", 3.0, [str(log)]),
        record(None, "Exiting because a job execution failed. Look above for error messages", level=logging.ERROR),
        record("error", "WorkflowError:\nAt least one job did not complete successfully.", level=logging.ERROR),
    )
    assert lines[1] == "failed: train a (2.0 s)"
    assert lines[2:14] == [*(f"    line {n}" for n in range(9, 20)), "    error: no data"]
    assert lines[14:16] == [f"    see {log}", "1 of 2 jobs failed: train a; 0 have finished."]
    assert passed == []


def test_long_lines_of_a_log_are_cut_and_a_log_that_is_not_there_is_named(told, tmp_path):
    log = tmp_path / "train.log"
    log.write_text("x" * 500)
    lines = told(*starts(train=1), fails(1, "train", log=[str(log), "logs/none.log"]))
    assert lines[2] == f"    {'x' * 159}…"
    assert lines[-1] == "    without a log: logs/none.log"


def test_the_message_that_a_script_ends_with_is_whole_since_its_end_says_what_to_do(told, tmp_path):
    log = tmp_path / "train.log"
    log.write_text(f"12:00:00 python {'x' * 500}\nerror: {'y' * 500}: do this\n  - {'z' * 500}\n")
    lines = told(*starts(train=1), fails(1, "train", log=[str(log)]))
    assert lines[2] == f"    12:00:00 python {'x' * 143}…"
    assert lines[3:5] == [f"    error: {'y' * 500}: do this", f"      - {'z' * 500}"]


def test_every_job_of_a_group_that_has_failed_is_told(told):
    said = [vars(fails(n, "train")) for n in (1, 2)]
    group = record("group_error", "Error in group", level=logging.ERROR, groupid="g", job_error_info=said)
    lines = told(*starts(train=2), begins(1, "train", shard="a"), begins(2, "train", shard="b"), group)
    assert lines[1:] == ["failed: train a (0.0 s)", "failed: train b (0.0 s)"]


def test_other_errors_and_warnings_and_all_that_comes_before_the_run_are_left_to_snakemake(told, passed):
    before = record(None, "Building DAG of jobs...")
    others = [
        record("error", "MissingOutputException: …", level=logging.ERROR, exception="MissingOutputException"),
        record("error", "RuleException:\nNameError in file …", level=logging.ERROR, exception="RuleException"),
        record("error", "WorkflowError:\nno such rule", level=logging.ERROR, exception="WorkflowError"),
        record(None, "a warning", level=logging.WARNING),
    ]
    lines = told(before, *starts(train=1), record(None, "Select jobs to execute..."), *others)
    assert lines == ["1 job"]
    assert passed == [before, *others]


def test_what_came_out_is_told_at_the_end_and_where_there_is_nothing_to_do(told):
    nothing = record(None, "Nothing to be done (all requested files are present and up to date).")
    assert told(record("workflow_started"), nothing, closing=lambda: "verdicts")[1:] == ["", "verdicts"]
    ended = record(None, "verdicts", says_what_came_out=True)
    assert told(*starts(train=1), ended)[1:] == ["", "verdicts"]


def test_a_rule_whose_result_is_its_log_shows_it_whole_and_nothing_else_at_the_end(told, tmp_path, capsys):
    log = tmp_path / "audit.log"
    log.write_text("\n".join(f"finding {n}" for n in range(50)))
    run = [*starts(audit=1), begins(1, "audit", log=[str(log)])]
    ended = record(None, "verdicts", says_what_came_out=True)
    assert told(*run, ends(1, 1.0), ended, shown={"audit"}) == ["1 job", "[1/1] 0:01  audit (1.0 s)"]
    assert capsys.readouterr().out == log.read_text() + "\n"
    failed = told(*run, fails(1, "audit", 1.0, [str(log)]), shown={"audit"})
    assert failed == ["1 job", "failed: audit (1.0 s)", f"    see {log}"]
    assert capsys.readouterr().out == log.read_text() + "\n"


def test_quietly_only_failures_and_what_came_out_are_told(told):
    run = [*starts(train=2), begins(1, "train"), ends(1, 1.0), begins(2, "train"), fails(2, "train", 1.0)]
    assert told(*run, record(None, "end", says_what_came_out=True), quiet=True) == ["failed: train (1.0 s)", "", "end"]


def test_commands_are_shown_where_they_are_asked_for(told):
    run = [*starts(train=1), begins(1, "train"), record("shellcmd", "Shell command: …", shellcmd="python x.py")]
    assert told(*run) == ["1 job"]
    assert told(*run, commands=True) == ["1 job", "    python x.py"]


def test_a_dry_run_is_the_table_of_jobs_and_a_line_per_job_with_its_reasons(told):
    table = starts(train=1)
    lines = told(*table, begins(1, "train", shard="a"), begins(0, "all"), table[1], dry=True)
    assert lines[:4] == ["Job stats:", "train  1", "all  1", ""]
    assert lines[4:] == ["train a (missing output files; code has changed since last execution)"]


def test_a_handler_that_fails_does_not_end_the_run(told, capsys):
    assert told(*starts(train=1), record("job_finished", "no number")) == ["1 job"]
    assert "KeyError" in capsys.readouterr().err


class Closed(io.StringIO):
    """Somebody who has stopped to read."""

    def flush(self):
        raise BrokenPipeError


def test_a_reader_who_has_had_enough_ends_a_dry_run_but_no_work(capsys):
    for event in starts(train=1):
        Terminal(Closed()).handle(event)
    assert capsys.readouterr().err == ""
    begun, table = starts(train=1)
    dry = Terminal(Closed(), dry=True)
    dry.handle(begun)
    with pytest.raises(BrokenPipeError):
        dry.handle(table)


def test_signs_that_the_terminal_lacks_are_escaped():
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    Terminal(stream).say("λ₁ of train")
    stream.seek(0)
    assert stream.read() == "\\u03bb\\u2081 of train\n"


def test_times_and_names_in_words():
    assert [clock(seconds) for seconds in (0, 59.9, 61, 3729)] == ["0:00", "0:59", "1:01", "1:02:09"]
    assert [about(seconds) for seconds in (2, 46, 56, 300, 5400, 7300)] == [
        "about 10 s left",
        "about 50 s left",
        "about 1 min left",
        "about 5 min left",
        "about 1 h 30 min left",
        "about 2 h left",
    ]
    assert [duration(seconds) for seconds in (0.04, 4.1, 75)] == ["0.0 s", "4.1 s", "1:15"]
    assert job_name({"rule_msg": "draw the size", "rule_name": "draw", "wildcards": {}}) == "draw the size"
    assert reasons("Params have changed since last execution: before: {; A} now: 2") == (
        "params have changed since last execution; a} now"
    )
    assert reasons("") == "asked for"


SNAKEFILE = """
import sys
sys.path.insert(0, {source!r})
from awduality.study.terminal import attach

END = attach(workflow, lambda: "what came out")
onsuccess:
    END()

rule all:
    input: "a-1.txt", "a-2.txt", "b.txt"

rule a:
    output: "a-{{n}}.txt"
    log: "logs/a-{{n}}.log"
    shell: "(echo of {{wildcards.n}}; touch {{output}}) > {{log}} 2>&1"

rule b:
    input: "a-1.txt"
    output: "b.txt"
    log: "logs/b.log"
    shell: "(echo 'error: why'; test -e mended && touch {{output}}) > {{log}} 2>&1"
"""


def test_a_run_of_snakemake(root, tmp_path):
    (tmp_path / "Snakefile").write_text(SNAKEFILE.format(source=str(root / "src")))

    def run(*arguments):
        command = [sys.executable, "-m", "snakemake", "--cores", "1", *arguments]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        logs = sorted((tmp_path / ".snakemake/log").glob("*.log"))
        return done.returncode, done.stdout, done.stderr, logs[-1].read_text() if logs else ""

    _, dry, _, _ = run("--dry-run", "--keep-going")
    assert {"a 1 (missing output files)", "a 2 (missing output files)"} < set(dry.splitlines())

    code, _, shown, log = run("--keep-going")
    lines = shown.splitlines()
    assert code == 1
    assert {line.partition(" (")[0].partition("  ")[2] for line in lines if line.startswith("[")} == {"a 1", "a 2"}
    assert [line.partition(" (")[0] for line in lines if "failed:" in line] == ["failed: b", lines[-2]]
    assert lines[lines.index("    error: why") + 1] == "    see logs/b.log"
    assert lines[-2] == "1 of 3 jobs failed: b; 2 have finished."
    for hidden in ("echo", "a-1.txt", "what came out", "SNAKEMAKE", "Error in rule"):
        assert hidden not in shown
    for kept in ("Shell command: (echo of 1", "Error in rule b", "SNAKEMAKE", "output: a-1.txt", "error: why"):
        assert kept in log

    (tmp_path / "mended").touch()
    code, _, shown, log = run()
    lines = shown.splitlines()
    assert code == 0
    assert lines[0].startswith("1 job; Snakemake's own log: .snakemake/log/")
    assert lines[1].startswith("[1/1] 0:00  b (")
    assert lines[2:] == ["", "what came out"]
    assert "what came out" in log

    code, _, shown, _ = run("--verbose", "--forceall")
    assert code == 0
    for part in ("Shell command: (echo of 1", "output: a-1.txt", "3 of 4 steps", "what came out"):
        assert part in shown
    assert run("--quiet", "all", "--forceall")[:3] == (0, "", "")

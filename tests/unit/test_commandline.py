import argparse
import logging

import pytest

from awduality.commandline import Progress, parse, run
from awduality.errors import InputError


def ends(main):
    with pytest.raises(SystemExit) as caught:
        run(main)
    return caught.value.code


def fail(error):
    raise error


def test_a_script_that_succeeds_exits_with_0():
    assert ends(lambda: None) == 0


def test_input_that_cannot_be_used_exits_with_2_and_its_message(capsys):
    assert ends(lambda: fail(InputError("got a, wanted b"))) == 2
    assert capsys.readouterr().err == "error: got a, wanted b\n"


def test_a_missing_file_exits_with_2_and_its_name(capsys, tmp_path):
    assert ends(lambda: (tmp_path / "no.csv").read_text()) == 2
    assert "no.csv does not exist" in capsys.readouterr().err


def test_an_interrupt_exits_with_130_and_says_what_to_do(capsys):
    assert ends(lambda: fail(KeyboardInterrupt())) == 130
    assert "run the same command again" in capsys.readouterr().err


def test_a_defect_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError):
        run(lambda: fail(ZeroDivisionError()))


def test_the_command_line_is_logged_as_it_can_be_typed(caplog):
    parser = argparse.ArgumentParser(prog="scripts/x.py")
    parser.add_argument("--name")
    with caplog.at_level(logging.INFO):
        assert parse(parser, ["--name", "two words"]).name == "two words"
    assert "python scripts/x.py --name 'two words'" in caplog.text


def test_progress_without_a_terminal_is_a_log_line_at_the_end(caplog):
    progress = Progress(3, "run")
    with caplog.at_level(logging.INFO):
        progress(1, "first")
        progress(0, "still at it")
        progress(2, "last")
    assert [record.getMessage() for record in caplog.records] == ["3 of 3 runs done; last"]

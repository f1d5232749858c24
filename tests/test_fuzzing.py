"""The fuzzer: that it notices every misbehaviour, and a short run of it over all readers (`make fuzz` is the long one)."""

from __future__ import annotations

import json
import subprocess
import sys
from random import Random

import pytest

from facerec.core import FormatError
from tests.conftest import ROOT
from tests.fuzzing.mutations import LONGEST, mutate
from tests.fuzzing.targets import TARGETS


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)


@pytest.fixture(scope="module")
def noticed():
    run = python("tests.fuzzing.selftest")
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


@pytest.mark.parametrize(
    ("reader", "reason"),
    [
        ("two lines", "not one line"),
        ("exception", "KeyError"),
        ("crash", "crashed: SIGSEGV"),
        ("hang", "ed for more than"),
        ("wait", "waited for more than 3 seconds"),
        ("memory", "MB of memory"),
        ("hidden memory", "more memory than there is"),
        ("hidden code", "code was run: "),
        ("file outside", "outside its folder was touched"),
        ("exit", "the fuzzer itself failed"),
    ],
)
def test_every_misbehaviour_is_noticed(noticed, reader, reason):
    assert reason in noticed[reader]


def test_readers_that_behave_are_left_alone(noticed):
    assert noticed["good"] == noticed["refusal"] == ""


def test_messages_keep_to_one_line_and_off_the_terminal():
    assert str(FormatError("\x1b[2Ja\nb\r\u2028c  d.")) == r"\x1b[2Ja b c  d."


def test_mutations_follow_from_the_seed_and_stay_small():
    data, tokens = bytes(range(256)) * 20, [b"token"]
    spoiled = [mutate(data, Random(seed), tokens) for seed in range(300)]
    assert spoiled == [mutate(data, Random(seed), tokens) for seed in range(300)]
    assert len(set(spoiled)) > 280
    assert max(map(len, spoiled)) <= LONGEST
    assert all(isinstance(mutate(b"", Random(seed), tokens), bytes) for seed in range(100))


@pytest.mark.attack(
    "Spoiled files", "thousands of spoiled files for every reader", "read or refused, within memory and time"
)
@pytest.mark.slow
def test_no_reader_fails_on_a_few_thousand_mutated_files(tmp_path):
    run = python("tests.fuzzing", "--inputs", "4200", "--out", str(tmp_path))
    assert run.returncode == 0, run.stdout + run.stderr
    lines = [line.split() for line in run.stdout.splitlines()]
    read = {line[0]: int(line[2].replace(",", "")) for line in lines if line[0] in {t.name for t in TARGETS}}
    assert len(read) == len(TARGETS)
    assert all(read[t.name] >= 5 * t.share for t in TARGETS), "the valid inputs at least are read"

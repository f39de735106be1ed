"""A few alterations of every kind, all found but those that are said to be beyond the audit."""

import pytest

from awduality.files import sha256
from tests.audit.conftest import audited
from tests.audit.mutations import is_found, mutations, of_the_seal

pytestmark = pytest.mark.slow


def test_all_alterations_are_found_but_those_of_what_only_the_seal_tells(run):
    made = list(mutations(run, "smoke", few=True))
    missed = [mutation for mutation in made if not is_found(run, "smoke", mutation)]
    assert {mutation.label for mutation in missed} == {mutation.label for mutation in made if of_the_seal(mutation)}
    seal = sha256(run / "results/smoke/records/seal.json")
    assert all(is_found(run, "smoke", mutation, seal) for mutation in missed)
    assert audited(run, seal=seal).code == 0

"""Faults of studies in buckets: `tune_jobs.storage.bucket`."""

# ruff: noqa: E501 (sources are quoted as they are)

from __future__ import annotations

from tests.mutants.model import Mutant

BUCKET = (
    Mutant(
        name="bucket-put-replaces",
        breaks="of two transactions with one number, the first wins",
        file="tune_jobs/storage/bucket/oci_store.py",
        old='                self._client.put_object(*self._name(name), data, if_none_match="*")\n',
        new="                self._client.put_object(*self._name(name), data)\n",
        tests=("tests/storage/bucket/test_oci.py::test_a_connection_of_its_own",),
    ),
    Mutant(
        name="bucket-commits-before-it-publishes",
        breaks="a transaction that lost its number is not in the copy",
        file="tune_jobs/storage/bucket/connection.py",
        old='            self._execute("ROLLBACK")\n            self.replica.look()\n',
        new='            self._execute("COMMIT")\n            self.replica.look()\n',
        tests=("tests/storage/bucket/test_log.py::test_the_first_of_two_transactions_wins",),
    ),
    Mutant(
        name="bucket-repeats-blindly",
        breaks="a transaction that read what others changed is not repeated",
        file="tune_jobs/storage/bucket/connection.py",
        old="        if not repetition.are_equal(self._steps, before, after):\n",
        new="        if not after and before:\n",
        tests=(
            "tests/storage/bucket/test_log.py::test_a_transaction_that_saw_a_change_is_not_repeated",
        ),
    ),
    Mutant(
        name="bucket-rows-not-compared",
        breaks="a copy that differs is made anew",
        file="tune_jobs/storage/bucket/copy.py",
        old="        if (changed := connection.total_changes - before) != entry.rows:\n",
        new="        if (changed := connection.total_changes - before) < 0:\n",
        tests=("tests/storage/bucket/test_log.py::test_a_copy_that_is_wrong_is_made_anew",),
    ),
    Mutant(
        name="bucket-log-of-another",
        breaks="a log that was begun anew is noticed",
        file="tune_jobs/storage/bucket/replica.py",
        old="        if previous is not None and entry.previous != previous:\n",
        new="        if previous is None and entry.previous != previous:\n",
        tests=("tests/storage/bucket/test_log.py::test_a_log_that_was_begun_anew",),
    ),
    Mutant(
        name="bucket-gap-ignored",
        breaks="a missing entry is named",
        file="tune_jobs/storage/bucket/replica.py",
        old="                        raise self._build_gap_error(number, numbers[-1])\n",
        new="                        return\n",
        tests=("tests/storage/bucket/test_log.py::test_a_missing_entry_is_named",),
    ),
    Mutant(
        name="bucket-guard-off",
        breaks="statements of entries are executed under the authorizer",
        file="tune_jobs/storage/bucket/copy.py",
        old="        self._guard.is_active = kind is Kind.CHANGE\n",
        new="        self._guard.is_active = False\n",
        tests=(
            "tests/storage/bucket/test_hostile.py::test_statements_that_no_tuner_makes[INSERT INTO studies (study_name) SELECT sqlite_version()]",
        ),
    ),
    Mutant(
        name="bucket-base-unchecked",
        breaks="a base that differs in more than rows is not used",
        file="tune_jobs/storage/bucket/base_check.py",
        old="    if found in known:\n",
        new="    if found:\n",
        tests=("tests/storage/bucket/test_hostile.py::test_bases_that_differ_in_more_than_rows",),
    ),
    Mutant(
        name="bucket-own-entry-is-a-lost-race",
        breaks="an entry whose answer was lost is found by its id, and not written twice",
        file="tune_jobs/storage/bucket/replica.py",
        old='            if decode_entry(existing, f"{self.url}/{name}").id != entry.id:\n',
        new="            if existing:\n",
        tests=("tests/storage/bucket/test_trouble.py::test_an_entry_is_repeated_and_written_once",),
    ),
    Mutant(
        name="bucket-refusal-is-the-end-of-the-log",
        breaks="only ObjectNotFound means that an entry does not exist",
        file="tune_jobs/storage/bucket/oci_store.py",
        old="                if read_answer(error).kind == MISSING:\n                    return None\n",
        new="                if read_answer(error).kind in (MISSING, BUCKET):\n                    return None\n",
        tests=(
            "tests/storage/bucket/test_oci.py::test_a_refusal_to_read_is_not_the_end_of_the_log",
        ),
    ),
    Mutant(
        name="bucket-lost-race-permits-writing",
        breaks="a process that may only read is refused at once",
        file="tune_jobs/storage/bucket/requests.py",
        old="                if result is not False:  # an object may exist, although none may be created\n",
        new="                if True:\n",
        tests=("tests/storage/bucket/test_opening.py::test_a_lost_race_is_no_permission_to_write",),
    ),
)

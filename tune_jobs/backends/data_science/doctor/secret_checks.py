"""Checks of a study's secrets: whether they exist, and whether job runs may read them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tune_jobs.backends.data_science.doctor.repeating import RepeatingClient
from tune_jobs.backends.data_science.doctor.report import Findings
from tune_jobs.oci import policies
from tune_jobs.oci.connection import Connection


def check_secrets(connection: Connection, secrets: Mapping[str, str], findings: Findings) -> None:
    """Check that secrets exist and are active, without reading their values.

    Args:
        connection: The connection to OCI.
        secrets: OCIDs by the names of variables.
        findings: Where results are added.
    """
    if not secrets:
        return
    import oci

    client: Any = RepeatingClient(connection.client(oci.vault.VaultsClient))
    for name, ocid in secrets.items():
        id = f"secret {name}"
        with findings.asking(id, policies.SECRETS):
            secret = client.get_secret(ocid).data
            active = secret.lifecycle_state == "ACTIVE"
            detail = f"{secret.secret_name} ({ocid}) is {secret.lifecycle_state}"
            fix = "" if active else "name another secret, or cancel its deletion"
            findings.add(id, "holds" if active else "differs", detail, fix)


def judge_secrets(
    problems: Mapping[str, str], secrets: Mapping[str, str], findings: Findings
) -> None:
    """Judge whether a job run could read the secrets.

    Args:
        problems: What a run says of each: an error, or nothing.
        secrets: OCIDs by the names of variables.
        findings: Where results are added.
    """
    for name, ocid in secrets.items():
        problem = problems.get(name, "it was not tried")
        fix = policies.RUN_SECRETS.for_secret(ocid) if problem else ""
        findings.add(f"secret {name} in a run", "refused" if problem else "holds", problem, fix)

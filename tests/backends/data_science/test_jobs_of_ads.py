"""Jobs created by the ``oci`` client are those that ADS would create for the same request."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.backends.data_science.conftest import open_client
from tests.oci_emulator import Emulator
from tests.oci_emulator.data_science import NOTEBOOK_SESSION
from tune_jobs import Connection, ControllerJob, DataScienceBackend, EntryPoint, Infrastructure
from tune_jobs.backends.data_science.ads_job import quiet_ads
from tune_jobs.backends.data_science.artifact import START_SCRIPT
from tune_jobs.backends.data_science.container import RUNNER_ENTRYPOINT
from tune_jobs.backends.data_science.controller_job import ControllerRequest, start_controller
from tune_jobs.backends.data_science.definition import AdsDefinition
from tune_jobs.backends.data_science.job import JobRegistry
from tune_jobs.metric_store.folder import open_folder

ENTRYPOINT = "JOB_RUN_ENTRYPOINT"
OURS = {"TUNE_JOBS_COMMAND", "TUNE_JOBS_WORK_DIR", ENTRYPOINT}
UNEQUAL = {"id", "timeCreated", "displayName", "freeformTags"}


@dataclass(frozen=True)
class Case:
    """One request, in the words of tune_jobs and of ADS.

    Args:
        script: Arguments of ``from_script``.
        source: What ADS uploads.
        entrypoint: Of an archive or a folder.
        define: Completes the runtime of ADS.
        spec: Infrastructure of ADS beside the usual one.
    """

    script: Mapping[str, Any]
    source: str = "train.py"
    entrypoint: str | None = None
    define: Callable[[Any], Any] = lambda runtime: runtime
    spec: Mapping[str, Any] = field(default_factory=dict)


TRAIN = {"script": "train.py"}
FLEX = {"shape": "VM.Standard.E4.Flex", "ocpus": 2, "memory_gb": 32}
ADS_FLEX = {
    "shapeName": "VM.Standard.E4.Flex",
    "shapeConfigDetails": {"ocpus": 2, "memoryInGBs": 32},
}
ON_SUBNET = {"subnet": "ocid1.subnet.oc1..s", "block_storage_gb": 100}
ADS_ON_SUBNET = {"subnetId": "ocid1.subnet.oc1..s", "blockStorageSize": 100}
LOG = {"log_group": "ocid1.loggroup.oc1..g", "log": "ocid1.log.oc1..l"}
ADS_LOG = {"logGroupId": "ocid1.loggroup.oc1..g", "logId": "ocid1.log.oc1..l"}
MOUNTS = [
    {"src": "oci://tune-jobs@emulated/data/raw", "dest": "data"},
    {"src": "oci://tune-jobs@emulated", "dest": "/mnt/all"},
    {"src": "ocid1.mounttarget.oc1..t:ocid1.export.oc1..e", "dest": "files/in"},
]
ENV = {
    "HOST": "10.0.0.1",
    "URL": "http://${HOST}:$PORT/${PATH_OF_NONE}/$$/${HOST}",
    "TWICE": "<${URL}>",
    "PRICE": "$5, $$6 and ${HOST}",
    "EMPTY": "",
    "ODD": "a=b; 'c' \"d\" %(HOST)s ü\n",
}
CASES = {
    "script": Case(TRAIN),
    "shell script": Case({"script": "train.sh"}, "train.sh"),
    "folder": Case({**TRAIN, "source": "."}, ".", "code/train.py"),
    "module": Case({"module": "package.train"}, "package", "package/train.py"),
    "zip": Case({**TRAIN, "source": "packed.zip"}, "packed.zip", "train.py"),
    "tar": Case({**TRAIN, "source": "packed.tar.gz"}, "packed.tar.gz", "train.py"),
    "service conda": Case(
        {**TRAIN, "conda": "generalml_p311_cpu_x86_64_v1"},
        define=lambda runtime: runtime.with_service_conda("generalml_p311_cpu_x86_64_v1"),
    ),
    "published conda": Case(
        {**TRAIN, "conda": "oci://envs@emulated/conda/my env/1.0"},
        define=lambda runtime: runtime.with_custom_conda("oci://envs@emulated/conda/my env/1.0"),
    ),
    "environment": Case(
        {**TRAIN, "env": ENV}, define=lambda runtime: runtime.with_environment_variable(**ENV)
    ),
    "time limit": Case(
        {**TRAIN, "max_runtime": 90},
        define=lambda runtime: runtime.with_maximum_runtime_in_minutes(90),
    ),
    "flexible shape": Case({**TRAIN, "infrastructure": FLEX}, spec=ADS_FLEX),
    "subnet and disk": Case({**TRAIN, "infrastructure": ON_SUBNET}, spec=ADS_ON_SUBNET),
    "log group": Case(
        {**TRAIN, "infrastructure": {"log_group": LOG["log_group"]}},
        spec={"logGroupId": ADS_LOG["logGroupId"]},
    ),
    "log": Case({**TRAIN, "infrastructure": LOG}, spec=ADS_LOG),
    "mounts": Case(
        {**TRAIN, "infrastructure": {"storage_mounts": MOUNTS}}, spec={"storageMount": MOUNTS}
    ),
    "tags": Case(
        {
            **TRAIN,
            "infrastructure": {
                "tags": {"team": "vision"},
                "defined_tags": {"Finance": {"CostCenter": "42"}},
            },
        },
        spec={
            "freeformTags": {"team": "vision"},
            "definedTags": {"Finance": {"CostCenter": "42"}},
        },
    ),
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Folder with a script, a module and two archives of them."""
    folder = tmp_path / "code"
    (folder / "package").mkdir(parents=True)
    for name in ("train.py", "train.sh", "package/__init__.py", "package/train.py"):
        (folder / name).write_text(f"# {name}\n")
    (folder / "data.bin").write_bytes(bytes(range(256)))
    with zipfile.ZipFile(folder / "packed.zip", "w") as packed:
        packed.write(folder / "train.py", "train.py")
        packed.write(folder / "data.bin", "sub/data.bin")
    with tarfile.open(folder / "packed.tar.gz", "w:gz") as tar:
        tar.add(folder / "train.py", "train.py")
    return folder


@pytest.fixture(autouse=True)
def ads_auth(emulator: Emulator) -> Iterator[None]:
    """Let ADS use the emulator."""
    with quiet_ads():
        import ads
    ads.set_auth(
        "api_key",
        oci_config_location=str(emulator.config_file),
        client_kwargs={"service_endpoint": emulator.endpoint},
    )
    yield
    ads.set_auth()


@pytest.fixture
def registry(connection: Connection, store: str) -> JobRegistry:
    """Jobs of a study."""
    folder = open_folder(f"{store}/s", {"connection": connection})
    return JobRegistry(connection, folder, "s", print)


def build_backend(case: Case, project: Path, emulator: Emulator, connection: Connection) -> Any:
    options = dict(case.script)
    module = options.pop("module", None)
    script = EntryPoint.module(module, root=project) if module else project / options.pop("script")
    if "source" in options:
        options["source"] = project / options["source"]
    place = {
        "compartment": emulator.compartment,
        "project": emulator.project,
        "shape": "VM.Standard2.1",
    }
    infrastructure = Infrastructure(**{**place, **options.pop("infrastructure", {})})
    return DataScienceBackend.from_script(script, infrastructure, connection=connection, **options)


def define_with_ads(emulator: Emulator, runtime: Any, spec: Mapping[str, Any]) -> Any:
    """Return a job of ADS."""
    from ads.jobs import DataScienceJob, Job

    place = {
        "compartmentId": emulator.compartment,
        "projectId": emulator.project,
        "shapeName": "VM.Standard2.1",
    }
    infrastructure = DataScienceJob(spec={**place, **spec})
    return Job(name="ads").with_infrastructure(infrastructure).with_runtime(runtime)


def read_job(connection: Connection, job_id: str) -> dict[str, Any]:
    """Return the fields of a job that do not differ from one to the next."""
    client = open_client(connection)
    job = client.base_client.sanitize_for_serialization(client.get_job(job_id).data)
    return {name: value for name, value in job.items() if name not in UNEQUAL}


def read_artifact(connection: Connection, job_id: str) -> dict[str, bytes]:
    """Return the files that a job has uploaded, by name."""
    answer = open_client(connection).get_job_artifact_content(job_id)
    name = answer.headers["content-disposition"].partition("filename=")[2]
    data = io.BytesIO(answer.data.content)
    if name.endswith(".tar.gz"):
        with tarfile.open(fileobj=data) as tar:
            members = {m.name: tar.extractfile(m) for m in tar.getmembers() if m.isfile()}
            return {file: opened.read() for file, opened in members.items() if opened}
    if not zipfile.is_zipfile(data):
        return {name: data.getvalue()}
    with zipfile.ZipFile(data) as archive:
        return {file: archive.read(file) for file in archive.namelist() if file[-1] != "/"}


@pytest.mark.parametrize("name", CASES)
def test_script(
    name: str, project: Path, emulator: Emulator, connection: Connection, registry: JobRegistry
) -> None:
    case = CASES[name]
    backend = build_backend(case, project, emulator, connection)
    backend.check()
    definition: Any = backend._definition
    created = registry.get_or_create(definition)
    with quiet_ads():
        from ads.jobs import ScriptRuntime

        source = project / case.source
        entry = {"entrypoint": case.entrypoint} if case.entrypoint else {}
        runtime = case.define(ScriptRuntime().with_source(str(source), **entry))
        ads_job = define_with_ads(emulator, runtime, case.spec).create()
    ours, theirs = read_job(connection, created.id), read_job(connection, ads_job.id)
    env = ours["jobConfigurationDetails"]["environmentVariables"]
    expected = theirs["jobConfigurationDetails"]["environmentVariables"]
    command = json.loads(env["TUNE_JOBS_COMMAND"])
    entry_point = expected.pop(ENTRYPOINT, case.source)
    if name == "module":
        assert command == ["{python}", "-m", "package.train"]
    else:
        assert command[-1] == f"{{here}}/{entry_point}"
    assert env[ENTRYPOINT] == START_SCRIPT
    for variable in OURS:
        del env[variable]
    assert ours == theirs
    files = read_artifact(connection, created.id)
    own = {file: data for file, data in files.items() if not file.startswith("tune_jobs_")}
    below = "code/" if name == "module" else ""
    uploaded = read_artifact(connection, ads_job.id)
    assert own == {f"{below}{file}": data for file, data in uploaded.items()}
    assert {START_SCRIPT, "tune_jobs_run/tune_jobs/runtime/runner.py"} <= files.keys()


def test_job_of_ads(
    project: Path, emulator: Emulator, connection: Connection, registry: JobRegistry
) -> None:
    with quiet_ads():
        from ads.jobs import ScriptRuntime
    runtime = (
        ScriptRuntime()
        .with_source(str(project / "train.py"))
        .with_argument("a b", "it's", lr=-0.5, flag=None)
        .with_freeform_tag(team="audio", cost="7")
        .with_defined_tag(Finance={"CostCenter": "43"})
        .with_maximum_runtime_in_minutes(30)
        .with_service_conda("generalml_p311_cpu_x86_64_v1")
    )
    spec = {"freeformTags": {"team": "vision"}, "definedTags": {"Finance": {"CostCenter": "42"}}}
    job = define_with_ads(emulator, runtime, {**spec, **ADS_LOG, **ADS_ON_SUBNET})
    created = registry.get_or_create(AdsDefinition(job))
    theirs = read_job(connection, job.create().id)
    ours = read_job(connection, created.id)
    env = ours["jobConfigurationDetails"]["environmentVariables"]
    for variable in OURS:
        del env[variable]
    assert ours == theirs
    model = open_client(connection).get_job(created.id).data
    assert model.freeform_tags.items() >= {"team": "audio", "cost": "7"}.items()


@pytest.mark.parametrize(
    "command",
    [
        {"entrypoint": ["python", "-u"], "cmd": ["train.py", "--epochs=3"]},
        {"entrypoint": ["./train"]},
        {"cmd": ["python", "train.py"]},
        {"entrypoint": "/bin/sh,-c", "cmd": ["python train.py"]},
    ],
)
@pytest.mark.parametrize("switch", ["", "off"])
def test_container(
    command: dict[str, Any],
    switch: str,
    emulator: Emulator,
    connection: Connection,
    registry: JobRegistry,
) -> None:
    with quiet_ads():
        from ads.jobs import ContainerRuntime
    image = {"image": "iad.ocir.io/ns/image:1", "image_digest": "sha256:" + "0" * 64}
    runtime = ContainerRuntime().with_image(**image, **command)
    runtime.with_environment_variable(A="$$1", TUNE_JOBS_RUNNER=switch).with_argument("-x", "y")
    job = define_with_ads(emulator, runtime, {})
    created = registry.get_or_create(AdsDefinition(job))
    theirs, ours = read_job(connection, job.create().id), read_job(connection, created.id)
    container = ours["jobEnvironmentConfigurationDetails"]
    if not switch:
        del ours["jobConfigurationDetails"]["environmentVariables"]["TUNE_JOBS_COMMAND"]
        start = container.get("entrypoint") or container["cmd"]
        assert tuple(start) == RUNNER_ENTRYPOINT
        for each in (container, theirs["jobEnvironmentConfigurationDetails"]):
            each.pop("entrypoint", None)
            each.pop("cmd", None)
    assert ours == theirs


@pytest.mark.parametrize("kind", ["conda", "published", "image"])
def test_controller(kind: str, tmp_path: Path, emulator: Emulator, connection: Connection) -> None:
    with quiet_ads():
        from ads.jobs import ContainerRuntime, ScriptRuntime
    choices: dict[str, dict[str, Any]] = {
        "conda": {"conda": "generalml_p311_cpu_x86_64_v1"},
        "published": {"conda": "oci://envs@emulated/conda/1.0"},
        "image": {"image": "iad.ocir.io/ns/image:1"},
    }
    place = {"compartment": emulator.compartment, "project": emulator.project}
    job = ControllerJob(Infrastructure(**{**place, **FLEX}), **choices[kind], max_runtime=600)
    (tmp_path / "content").mkdir()
    request = ControllerRequest("s", "oci://b@n/s", "controller-1", "sqlite://", "me")
    start_controller(connection, job, request, tmp_path / "content")
    (created,) = emulator.data_science.jobs()
    archive = tmp_path / "tune_jobs_controller.zip"
    archive.write_bytes(emulator.data_science.artifacts()[0][0])
    if kind == "image":
        words = ["python", "/home/datascience/tune_jobs_controller.zip"]
        runtime = ContainerRuntime().with_image("iad.ocir.io/ns/image:1", entrypoint=words)
        runtime.with_artifact(str(archive))
    else:
        runtime = ScriptRuntime().with_source(str(archive), entrypoint="tune_jobs_controller.py")
        conda = choices[kind]["conda"]
        choose = runtime.with_service_conda if kind == "conda" else runtime.with_custom_conda
        choose(conda)
    runtime.with_maximum_runtime_in_minutes(600)
    theirs = define_with_ads(emulator, runtime, ADS_FLEX).create()
    assert read_job(connection, created) == read_job(connection, theirs.id)
    ours, uploaded = emulator.data_science.artifacts()
    assert ours == uploaded, "the same bytes by the same name"


@pytest.mark.parametrize(
    "given",
    [{}, {"shape": "VM.Standard.E3.Flex", "block_storage_gb": 60}, {"shape": "VM.Standard2.1"}],
)
def test_notebook_session(
    given: dict[str, Any],
    project: Path,
    emulator: Emulator,
    connection: Connection,
    registry: JobRegistry,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("NB_SESSION_OCID", NOTEBOOK_SESSION)
    monkeypatch.setenv("NB_SESSION_COMPARTMENT_OCID", emulator.compartment)
    script = project / "train.py"
    backend = DataScienceBackend.from_script(script, Infrastructure(**given), connection=connection)
    backend.check()
    definition: Any = backend._definition
    created = registry.get_or_create(definition)
    with quiet_ads():
        from ads.jobs import DataScienceJob, Job, ScriptRuntime

        spec = {"shapeName": given.get("shape"), "blockStorageSize": given.get("block_storage_gb")}
        infrastructure = DataScienceJob(spec={k: v for k, v in spec.items() if v})
        job = Job(name="ads").with_infrastructure(infrastructure)
        job.with_runtime(ScriptRuntime().with_source(str(script))).create()
    ours, theirs = read_job(connection, created.id), read_job(connection, job.id)
    for each in (ours, theirs):
        del each["jobConfigurationDetails"]
    assert ours == theirs

"""What docs/scale/ has for engines: known fields only, the same shards, scripts that work."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import botocore.session
import msgspec
import pytest
from botocore.validate import ParamValidator
from msgspec import Struct, field

from fetchpool.config import options

ROOT = Path(__file__).parents[1]
SCALE = ROOT / "docs" / "scale"
SHARDS = 64
EXAMPLES = ("airflow_dag", "ray_job", "dask_job")


class Known(Struct, forbid_unknown_fields=True, rename="camel"):
    """An object that has no other fields than those named: a typing error is one."""


# -- Kubernetes (v1.29 and newer) and Cloud Run (v1), the part that is used here


class Name(Known):
    name: str
    value: str = ""


class Mount(Known):
    name: str
    mount_path: str


class Claim(Known):
    claim_name: str


class Csi(Known):
    driver: Literal["gcsfuse.run.googleapis.com"]
    read_only: bool
    volume_attributes: dict[Literal["bucketName"], str]


class Volume(Known):
    name: str
    persistent_volume_claim: Claim | None = None
    csi: Csi | None = None


class Container(Known):
    image: str
    args: list[str]
    env: list[Name]
    resources: dict[Literal["requests", "limits"], dict[Literal["cpu", "memory"], str]]
    volume_mounts: list[Mount]
    name: str = ""
    security_context: dict[str, Any] = {}


class Pod(Known):
    containers: list[Container]
    volumes: list[Volume]
    restart_policy: Literal["Never", ""] = ""
    termination_grace_period_seconds: int = 30
    security_context: dict[str, Any] = {}
    dns_config: dict[Literal["options"], list[Name]] = {}
    max_retries: int = 0
    timeout_seconds: int = 0


class PodTemplate(Known):
    spec: Pod


class ExitCodes(Known):
    container_name: str
    operator: Literal["In", "NotIn"]
    values: list[int]


class Condition(Known):
    type: str
    status: Literal["True"]


class Rule(Known):
    action: Literal["Ignore", "FailIndex", "FailJob", "Count"]
    on_exit_codes: ExitCodes | None = None
    on_pod_conditions: list[Condition] = []


class Rules(Known):
    rules: list[Rule]


class IndexedSpec(Known):
    completion_mode: Literal["Indexed"]
    completions: int
    parallelism: int
    backoff_limit_per_index: int
    pod_replacement_policy: Literal["Failed"]
    pod_failure_policy: Rules
    template: PodTemplate


class Metadata(Known):
    name: str = ""
    annotations: dict[str, str] = {}


class IndexedJob(Known):
    api_version: Literal["batch/v1"]
    kind: Literal["Job"]
    metadata: Metadata
    spec: IndexedSpec


class TasksSpec(Known):
    task_count: int
    parallelism: int
    template: PodTemplate


class TasksTemplate(Known):
    metadata: Metadata
    spec: TasksSpec


class CloudRunSpec(Known):
    template: TasksTemplate


class CloudRunJob(Known):
    api_version: Literal["run.googleapis.com/v1"]
    kind: Literal["Job"]
    metadata: Metadata
    spec: CloudRunSpec


# -- Google Batch (v1)


class BatchContainer(Known):
    image_uri: str
    commands: list[str]
    volumes: list[str]


class Runnable(Known):
    container: BatchContainer
    environment: dict[Literal["variables"], dict[str, str]]


class Policy(Known):
    action: Literal["RETRY_TASK", "FAIL_TASK"]
    action_condition: dict[Literal["exitCodes"], list[int]]


class TaskSpec(Known):
    runnables: list[Runnable]
    compute_resource: dict[Literal["cpuMilli", "memoryMib"], str]
    max_retry_count: int
    max_run_duration: str
    lifecycle_policies: list[Policy]
    volumes: list[dict[str, Any]]


class TaskGroup(Known):
    task_count: str
    parallelism: str
    task_spec: TaskSpec


class GoogleBatchJob(Known):
    task_groups: list[TaskGroup]
    logs_policy: dict[str, str] = field(default_factory=dict)


def kubernetes() -> IndexedJob:
    return msgspec.yaml.decode((SCALE / "kubernetes.yaml").read_text(), type=IndexedJob)


def cloud_run() -> CloudRunJob:
    return msgspec.yaml.decode((SCALE / "cloud-run.yaml").read_text(), type=CloudRunJob)


def google_batch() -> TaskGroup:
    job = msgspec.json.decode((SCALE / "google-batch.json").read_bytes(), type=GoogleBatchJob)
    return job.task_groups[0]


def aws(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((SCALE / f"aws-batch-{name}.json").read_text())
    return found


def test_kubernetes_fails_a_mistake_and_runs_all_else_again() -> None:
    spec = kubernetes().spec
    assert spec.completions == spec.parallelism == SHARDS
    mistake, disrupted = spec.pod_failure_policy.rules
    (container,) = spec.template.spec.containers
    assert mistake.action == "FailIndex"
    assert mistake.on_exit_codes == ExitCodes(container.name, "In", [2])
    assert disrupted.action == "Ignore"
    assert [each.type for each in disrupted.on_pod_conditions] == ["DisruptionTarget"]
    assert spec.backoff_limit_per_index > 0
    assert spec.template.spec.restart_policy == "Never"  # else there is no pod failure policy
    assert spec.template.spec.security_context["runAsNonRoot"]
    assert f"auto/{SHARDS}" in container.args  # JOB_COMPLETION_INDEX has no count


def test_clouds_run_again_what_was_stopped() -> None:
    task = google_batch()
    (policy,) = task.task_spec.lifecycle_policies
    assert policy.action == "RETRY_TASK"
    assert {75, 143} < set(policy.action_condition["exitCodes"])
    assert 2 not in policy.action_condition["exitCodes"]
    assert task.task_spec.max_retry_count > 0
    assert int(task.task_count) == int(task.parallelism) == SHARDS
    spec = cloud_run().spec.template.spec
    assert spec.task_count == spec.parallelism == SHARDS
    assert spec.template.spec.max_retries > 0


@pytest.mark.parametrize(
    ("name", "operation"), [("job-definition", "RegisterJobDefinition"), ("submit", "SubmitJob")]
)
def test_aws_takes_what_is_registered_and_submitted(name: str, operation: str) -> None:
    model = botocore.session.get_session().get_service_model("batch")
    shape = model.operation_model(operation).input_shape
    found = ParamValidator().validate(aws(name), shape)
    assert not found.has_errors(), found.generate_report()
    found = ParamValidator().validate({**aws(name), "jobQueu": "x"}, shape)
    assert found.has_errors()


def test_aws_runs_again_what_was_stopped_and_nothing_else() -> None:
    rules = aws("job-definition")["retryStrategy"]["evaluateOnExit"]
    assert len(rules) <= 5  # as many as there may be
    actions = {rule["onExitCode"]: rule["action"] for rule in rules if "onExitCode" in rule}
    assert actions == {"2": "EXIT", "75": "RETRY", "143": "RETRY"}
    assert rules[-1] == {"onReason": "*", "action": "EXIT"}
    assert aws("submit")["arrayProperties"]["size"] == SHARDS
    assert aws("submit")["jobDefinition"] == aws("job-definition")["jobDefinitionName"]


def commands() -> Iterator[list[str]]:
    """Yield what each manifest calls the program with."""
    yield kubernetes().spec.template.spec.containers[0].args
    yield cloud_run().spec.template.spec.template.spec.containers[0].args
    yield google_batch().task_spec.runnables[0].container.commands
    yield aws("job-definition")["containerProperties"]["command"]
    line = re.search(r"^fetchpool (.*) &$", (SCALE / "slurm.sh").read_text(), re.MULTILINE)
    assert line is not None
    yield line[1].split()
    for name in EXAMPLES:
        text = (SCALE / f"{name}.py").read_text()
        command = re.search(r'\["fetchpool", (.*), \*OPTIONS\]', text)
        own = re.search(r"^OPTIONS = (.*)$", text, re.MULTILINE)
        assert command is not None
        assert own is not None
        yield [*re.sub(r'[",]', "", command[1]).split(), *json.loads(own[1])]


def test_commands_have_options_that_there_are() -> None:
    known = {flag for option in options() for flag in option.flags} | {"--shard"}
    several = list(commands())
    assert len(several) == 5 + len(EXAMPLES)
    for command in several:
        assert command[0] == "get"
        named = {word for word in command if re.fullmatch(r"--?[a-z].*", word, re.IGNORECASE)}
        assert {"-o", "--shard"} <= named <= known


def test_shards_and_dest_are_the_same_in_all() -> None:
    for name in EXAMPLES:
        assert f", {SHARDS}\n" in (SCALE / f"{name}.py").read_text()
    assert f"#SBATCH --array=0-{SHARDS - 1}\n" in (SCALE / "slurm.sh").read_text()
    for command in commands():
        dest = command[command.index("-o") + 1]
        # Records in an object store are kept in a directory, too.
        assert ("--state" in command) == ("://" in dest)


def test_image_is_made_of_what_the_checkout_has_and_runs_as_nobody() -> None:
    text = (SCALE / "Dockerfile").read_text()
    copied = " ".join(re.findall(r"^COPY (?!--from)(.*) \S+$", text, re.MULTILINE)).split()
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wheel = build["tool"]["hatch"]["build"]["targets"]["wheel"]
    needed = {"pyproject.toml", build["project"]["readme"], *build["project"]["license-files"]}
    whole = {*wheel["packages"], *wheel["shared-data"]}  # what lies in these comes along
    needed = {name for name in needed if name.split("/")[0] not in whole}
    assert set(copied) == {*needed, *whole}
    assert all((ROOT / name).exists() for name in copied)
    (user,) = re.findall(r"^USER (\d+)$", text, re.MULTILINE)
    assert int(user) > 0
    assert f"useradd --uid {user} " in text
    assert "--require-hashes" in text


# -- scripts


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A directory of programs: a `fetchpool` that does as $SAYS, a `scontrol` that is called."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, script in {
        "fetchpool": 'echo "$@" >> calls; [ "$SAYS" = wait ] || exit "$SAYS"\n'
        'trap "exit 143" TERM; touch waits; while true; do sleep 0.05; done',
        "scontrol": 'echo "$@" >> requeued',
    }.items():
        (folder / name).write_text(f"#!/usr/bin/env bash\n{script}\n")
        (folder / name).chmod(0o755)
    return folder


def slurm(path: Path, says: str, **env: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        ["bash", str(SCALE / "slurm.sh"), "urls.txt", "pages", "--limit", "20"],
        cwd=path.parent,
        env={
            **os.environ,
            "PATH": f"{path}:{os.environ['PATH']}",
            "SAYS": says,
            "SLURM_ARRAY_JOB_ID": "7",
            "SLURM_ARRAY_TASK_ID": "3",
            **env,
        },
    )


@pytest.mark.parametrize(
    ("says", "restarts", "is_requeued"),
    [
        ("0", "0", False),
        ("2", "0", False),
        ("75", "0", True),
        ("143", "0", True),
        ("75", "10", False),
    ],
)
def test_slurm_queues_again_what_was_stopped(
    path: Path, says: str, restarts: str, is_requeued: bool
) -> None:
    assert slurm(path, says, SLURM_RESTART_COUNT=restarts).wait(30) == int(says)
    assert (path.parent / "calls").read_text() == "get urls.txt -o pages --shard auto --limit 20\n"
    requeued = path.parent / "requeued"
    assert requeued.exists() == is_requeued
    assert not is_requeued or requeued.read_text() == "requeue 7_3\n"


def test_slurm_hands_its_signal_on_and_waits_for_the_end(path: Path) -> None:
    with slurm(path, "wait") as script:
        while not (path.parent / "waits").exists():
            assert script.poll() is None
        script.send_signal(signal.SIGTERM)
        assert script.wait(30) == 143
    assert (path.parent / "requeued").read_text() == "requeue 7_3\n"


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_pass_a_type_checker(name: str, tmp_path: Path) -> None:
    options = ["--strict", "--ignore-missing-imports", "--allow-untyped-decorators"]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file", os.devnull, "--cache-dir", os.devnull,
         "--no-site-packages", *options, SCALE / f"{name}.py"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(("name", "library"), [("dask_job", "distributed"), ("ray_job", "ray")])
def test_examples_run_every_shard(name: str, library: str, path: Path) -> None:
    if find_spec(library) is None:
        pytest.skip(f"{library} is not installed")
    (path / "fetchpool").write_text(
        "#!/usr/bin/env bash\n"
        # The first call for each shard is stopped, the second one does it.
        f'cd {path.parent}; echo "$6" >> calls; mkdir "stopped-${{6%/*}}" 2> /dev/null && exit 75\n'
        "exit 0\n"
    )
    address = [""] if library == "distributed" else []
    done = subprocess.run(
        [sys.executable, SCALE / f"{name}.py", *address, "urls.txt", "pages", "3"],
        env={**os.environ, "PATH": f"{path}:{os.environ['PATH']}", "HOME": str(path.parent)},
        cwd=path.parent, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "3 of 3 shards done\n" in done.stdout  # Ray's own lines may come later
    assert sorted((path.parent / "calls").read_text().split()) == sorted(2 * ["0/3", "1/3", "2/3"])

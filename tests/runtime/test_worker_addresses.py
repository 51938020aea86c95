"""TF_CONFIG and Slurm's variables are read as documented, or refused in one line."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyimagesearch import InputError
from pyimagesearch.runtime.worker_addresses import MAX_WORKERS, describe_workers, split_address


def tf_config(workers=("a:1", "b:2"), index=1, kind="worker", **more):
    cluster = {"worker": list(workers), **more}
    return {"TF_CONFIG": json.dumps({"cluster": cluster, "task": {"type": kind, "index": index}})}


def slurm(**changes):
    step = {"STEP_NUM_TASKS": 4, "STEP_NODELIST": "n[1-2]", "STEP_TASKS_PER_NODE": "2(x2)"}
    step |= {"PROCID": 3, **changes}
    return {f"SLURM_{name}": str(value) for name, value in step.items()}


def test_describe_workers_of_tf_config_and_of_slurm():
    assert describe_workers(tf_config()) == (["a:1", "b:2"], 1)
    assert describe_workers(tf_config(["[::1]:1", "a_b.c-d:65535"], "0"))[1] == 0
    assert describe_workers(slurm()) == (["n1:8888", "n1:8889", "n2:8888", "n2:8889"], 3)
    nodes = slurm(STEP_NODELIST="a[08-10,2]x,b,c[1-2]d[3]", STEP_TASKS_PER_NODE="1(x7)")
    addresses, _ = describe_workers(nodes | {"SLURM_STEP_NUM_TASKS": "7"})
    hosts = [address.removesuffix(":8888") for address in addresses]
    assert hosts == ["a08x", "a09x", "a10x", "a2x", "b", "c1d3", "c2d3"]


@pytest.mark.parametrize(
    ("environment", "found"),
    [
        ({}, "found none"),
        ({"TF_CONFIG": "not JSON"}, "no JSON"),
        ({"TF_CONFIG": "[" * 100_000}, "no JSON"),
        ({"TF_CONFIG": "[]"}, "no cluster"),
        ({"TF_CONFIG": '{"cluster": {"worker": ["a:1"]}}'}, "no task"),
        (tf_config([]), "worker 1 of 0"),
        (tf_config(index=2), "worker 2 of 2"),
        (tf_config(index=-1), "worker -1 of 2"),
        (tf_config(index=True), "'True' as the index"),
        (tf_config(index=None), "'None' as the index"),
        (tf_config(kind="ps"), "type 'ps'"),
        (tf_config(chief=["c:1"]), "jobs 'worker, chief'"),
        (tf_config(["a:1", "a:1"]), "'a:1' twice"),
        (tf_config(["a:1", 2]), "no list of addresses"),
        (tf_config([f"a:{i + 1}" for i in range(MAX_WORKERS + 1)]), "more than 1,024 workers"),
        (tf_config(["a:1", "b"]), "'b' in place of HOST:PORT"),
        (tf_config(["a:1", "b:0"]), "'b:0' in place"),
        (tf_config(["a:1", "b:65536"]), "'b:65536' in place"),
        (tf_config(["a:1", "[:::]:1"]), "permitted in"),
        (tf_config(["a:1", "b c:1"]), "'b c:1' in place"),
        (slurm(STEP_NUM_TASKS="many"), "'many' as SLURM_STEP_NUM_TASKS"),
        (slurm(STEP_NUM_TASKS=10**7), "10,000,000 tasks"),
        (slurm(STEP_NODELIST="n[1-10000000]"), "nodes '1-10000000'"),
        (slurm(STEP_NODELIST="n[1-1000]m[1-1000]"), "more than 1,024 nodes"),
        (slurm(STEP_NODELIST="["), "list of nodes"),
        (slurm(STEP_NODELIST="a,,b"), "list of nodes"),
        (slurm(STEP_NODELIST="n[]"), "list of nodes"),
        (slurm(STEP_TASKS_PER_NODE="1"), "2 nodes and 1 tasks on 1 for 4"),
        (slurm(STEP_TASKS_PER_NODE="2(x9999),2(x9999)"), "tasks per node"),
        (slurm(PROCID=4), "worker 4 of 4"),
        (slurm(PROCID="x"), "'x' as SLURM_PROCID"),
    ],
)
def test_describe_workers_that_are_not_described_is_an_input_error(environment, found):
    with pytest.raises(InputError, match="set TF_CONFIG to .* or start it by Slurm") as error:
        describe_workers(environment)
    assert found in str(error.value)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 500


@given(st.from_regex(r"[a\d\[\]:.x-]{0,9}:?\d{0,6}\n?", fullmatch=True))
def test_split_address_of_any_text_gives_host_and_port_or_a_value_error(text):
    try:
        host, port = split_address(text)
    except ValueError:
        return
    assert host
    assert 0 < port < 65536


@given(st.text("n[]-,0123456789x", max_size=30), st.text("123(x),", max_size=10))
def test_describe_workers_of_any_list_of_nodes_is_bounded(nodes, counts):
    try:
        addresses, _ = describe_workers(slurm(STEP_NODELIST=nodes, STEP_TASKS_PER_NODE=counts))
    except InputError:
        return
    assert len(addresses) == 4

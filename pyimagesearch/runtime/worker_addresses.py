"""Addresses of the workers, as TF_CONFIG or Slurm describes them."""

import ipaddress
import itertools
import json
import math
import os
import re

from pyimagesearch import InputError

# More would hardly answer each other in time.
MAX_WORKERS = 1024
# Slurm names no ports: the first worker of a machine takes this one, the others those after it.
SLURM_PORT = 8888
HINT = (
    'set TF_CONFIG to {"cluster": {"worker": ["HOST:PORT", ...]}, "task": {"type": "worker", '
    '"index": N}}, with another index on each machine, or start it by Slurm'
)


def describe_workers(environment=os.environ):
    """Read which workers there are, and which of them this one is.

    Args:
        environment: The environment variables. TF_CONFIG goes before those of Slurm.

    Returns:
        A tuple of the list of the `HOST:PORT` of each worker, and the index of this one in it.

    Raises:
        InputError: If the workers are not described, or not as expected.

    Example:
        >>> task = '"task": {"type": "worker", "index": 1}'
        >>> describe_workers({"TF_CONFIG": '{"cluster": {"worker": ["a:1", "b:1"]}, %s}' % task})
        (['a:1', 'b:1'], 1)
    """
    try:
        if environment.get("TF_CONFIG"):
            addresses, index = _parse_tf_config(environment["TF_CONFIG"])
        elif "SLURM_STEP_NUM_TASKS" in environment:
            addresses, index = _parse_slurm(environment)
        else:
            raise InputError(f"expected TF_CONFIG to describe the workers, found none: {HINT}")
        _check(addresses, index)
    except ValueError as fault:
        if isinstance(fault, InputError):
            raise
        raise InputError(
            "expected a description of all workers and of this one's place among them "
            f"({fault}): {HINT}"
        ) from None
    return addresses, index


def split_address(address):
    """Split `HOST:PORT` into a host and a port; an IPv6 address stands in brackets.

    Raises:
        ValueError: If it is anything else.

    Example:
        >>> split_address("a.example:2222"), split_address("[::1]:2222")
        (('a.example', 2222), ('::1', 2222))
    """
    found = re.fullmatch(r"([\w.-]{1,253}|\[[\da-fA-F:.]{2,45}\]):(\d{1,5})", address, re.ASCII)
    if not found or not 0 < int(found[2]) < 2**16:
        raise ValueError(f"found {_shorten(address)} in place of HOST:PORT")
    if found[1].startswith("["):
        ipaddress.IPv6Address(found[1][1:-1])
    return found[1].strip("[]"), int(found[2])


def _check(addresses, index):
    """Raise a `ValueError` for addresses that can't be, or an index that is none of them."""
    if len(addresses) > MAX_WORKERS:
        raise ValueError(f"found more than {MAX_WORKERS:,} workers")
    seen = set()
    for address in addresses:
        place = split_address(address)
        if place in seen:
            raise ValueError(f"found {_shorten(address)} twice")
        seen.add(place)
    if not 0 <= index < len(addresses):
        raise ValueError(f"found worker {index} of {len(addresses)}, which count from 0")


def _parse_tf_config(text):
    """Addresses and own index of the variable TF_CONFIG."""
    try:
        config = json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError("found no JSON") from None
    cluster, task = (
        config.get(key) if isinstance(config, dict) else None for key in ("cluster", "task")
    )
    if not isinstance(cluster, dict) or not isinstance(task, dict):
        raise ValueError("found no cluster or no task")
    if list(cluster) != ["worker"]:
        raise ValueError(f"found the jobs {_shorten(', '.join(cluster)) or 'none'}")
    addresses = cluster["worker"]
    if not isinstance(addresses, list) or not all(isinstance(one, str) for one in addresses):
        raise ValueError("found no list of addresses")
    if task.get("type") != "worker":
        raise ValueError(f"found a task of type {_shorten(task.get('type'))}")
    return addresses, _whole_number(task.get("index"), "the index of the task")


def _parse_slurm(environment):
    """Addresses and own index of the variables of a Slurm step.

    TensorFlow's resolver for Slurm also assigns the GPUs, and calls NVIDIA's tools for it even where
    there are none. Slurm can do that itself (`srun --gpus-per-task`), so each worker takes the GPUs
    that are visible to it.
    """
    n_tasks = _whole_number(environment["SLURM_STEP_NUM_TASKS"], "SLURM_STEP_NUM_TASKS")
    if not 0 < n_tasks <= MAX_WORKERS:
        raise ValueError(f"found {n_tasks:,} tasks, not 1 to {MAX_WORKERS:,}")
    hosts = _expand_hosts(environment.get("SLURM_STEP_NODELIST", ""))
    counts = _expand_counts(environment.get("SLURM_STEP_TASKS_PER_NODE", ""))
    if len(hosts) != len(counts) or sum(counts) != n_tasks:
        raise ValueError(
            f"found {len(hosts)} nodes and {sum(counts)} tasks on {len(counts)} for {n_tasks} tasks"
        )
    addresses = [
        f"{host}:{SLURM_PORT + i}" for host, n in zip(hosts, counts, strict=True) for i in range(n)
    ]
    return addresses, _whole_number(environment.get("SLURM_PROCID"), "SLURM_PROCID")


def _expand_hosts(text):
    """Names of the nodes in a list such as `a[1-2,07]x,b`."""
    if not re.fullmatch(r"(?:[\w.-]|\[[\d,-]+\]|,(?=[\w.\[-]))+", text, re.ASCII):
        raise ValueError(f"found the list of nodes {_shorten(text)}")
    hosts = []
    for name in re.split(r",(?![^\[]*\])", text):
        # Every other part is what stands in brackets.
        parts = re.split(r"\[(.*?)\]", name)
        choices = [_expand_numbers(part) if i % 2 else [part] for i, part in enumerate(parts)]
        if len(hosts) + math.prod(map(len, choices)) > MAX_WORKERS:
            raise ValueError(f"found more than {MAX_WORKERS:,} nodes")
        hosts += map("".join, itertools.product(*choices))
    return hosts


def _expand_numbers(text):
    """The numbers of `1-3,07`, as text with the zeros that lead them."""
    numbers = []
    for part in text.split(","):
        found = re.fullmatch(r"(\d{1,9})(?:-(\d{1,9}))?", part, re.ASCII)
        first, last = (int(found[1]), int(found[2] or found[1])) if found else (0, -1)
        if not first <= last < first + MAX_WORKERS:
            raise ValueError(f"found the nodes {_shorten(text)}")
        numbers += [f"{i:0{len(found[1])}}" for i in range(first, last + 1)]
    return numbers


def _expand_counts(text):
    """The numbers of tasks per node of `2(x3),1`."""
    counts = []
    for part in text.split(","):
        found = re.fullmatch(r"(\d{1,4})(?:\(x(\d{1,4})\))?", part, re.ASCII)
        if not found or len(counts) > MAX_WORKERS:
            raise ValueError(f"found the tasks per node {_shorten(text)}")
        counts += [int(found[1])] * int(found[2] or 1)
    return counts


def _whole_number(value, name):
    """A whole number, which may come as text of a few digits."""
    if isinstance(value, str) and re.fullmatch(r"\d{1,9}", value, re.ASCII):
        return int(value)
    if type(value) is not int:
        raise ValueError(f"found {_shorten(value)} as {name}")
    return value


def _shorten(value):
    """The beginning of a value from outside, for a message."""
    text = str(value)
    return repr(text if len(text) <= 60 else text[:60] + "...")

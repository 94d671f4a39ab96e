"""The processes of one training: how they meet, and what they tell each other besides gradients."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar, cast

import torch
import torch.distributed as dist

from clipsearch.devices import working_device

Value = TypeVar("Value")

# The others wait while the first process looks through the data, and while it judges: torch's own
# 10 or 30 minutes are too short for that. A process that ends takes the others with it anyway.
PATIENCE = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Worker:
    """This process among `world` equal ones; the one of rank 0 speaks and writes."""

    rank: int
    world: int
    device: torch.device


@contextmanager
def joined_workers() -> Iterator[Worker]:
    """Join the other processes of a torchrun; alone when there was none.

    One GPU each over nccl where there are GPUs, else over gloo on the processor. Alone, a GPU that
    does not work is done without; among others that would be found out when they meet.
    """
    alone = "RANK" not in os.environ or "WORLD_SIZE" not in os.environ
    has_gpu = working_device("cuda") == "cuda" if alone else torch.cuda.is_available()
    local_rank = int(os.environ.get("LOCAL_RANK", "0"))
    device = torch.device("cuda", local_rank) if has_gpu else torch.device("cpu")
    if has_gpu:
        torch.cuda.set_device(device)
    if alone:
        yield Worker(0, 1, device)
        return
    dist.init_process_group("nccl" if has_gpu else "gloo", timeout=PATIENCE)
    try:
        yield Worker(dist.get_rank(), dist.get_world_size(), device)
    finally:
        dist.destroy_process_group()


def first_says(value: Value) -> Value:
    """What the first process gave here; the others' values are not looked at."""
    if not dist.is_initialized():
        return value
    values = [value]
    dist.broadcast_object_list(values, src=0)
    return values[0]


def of_all(values: list[int]) -> list[int]:
    """The numbers of all processes, one after the other."""
    if not dist.is_initialized():
        return values
    gathered: list[list[int] | None] = [None] * dist.get_world_size()
    dist.all_gather_object(gathered, values)
    return [value for part in cast("list[list[int]]", gathered) for value in part]


def compute_with(threads: int, seed: int) -> None:
    """So many threads, because sums depend on how they are divided; and torch's random numbers,
    which dropout and new weights draw, from a place of their own."""
    torch.set_num_threads(threads)
    torch.manual_seed(seed)


@contextmanager
def random_numbers_kept() -> Iterator[None]:
    """Whatever is drawn inside, torch's random numbers go on as if nothing had been."""
    with torch.random.fork_rng():
        yield


def thread_count() -> int:
    """How many threads torch computes with as things are."""
    return torch.get_num_threads()

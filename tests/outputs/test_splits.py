"""Every query is in exactly one part, and copies of a prompt are never parted."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.conftest import make_outputs

from moe2_pl.errors import MoE2Error
from moe2_pl.outputs import ExpertOutputs, find_outputs, split_queries

OUTPUTS = make_outputs(200)


def with_copies(seed: int, prompts: int) -> ExpertOutputs:
    stem = np.random.default_rng(seed).integers(0, prompts, len(OUTPUTS))
    return replace(OUTPUTS, id=np.array([f"{s}#{i}" for i, s in enumerate(stem)]))


@given(seed=st.integers(0, 10_000), prompts=st.integers(20, 300), split_seed=st.integers(0, 10))
def test_a_random_split_is_a_partition_that_keeps_copies_together(seed, prompts, split_seed):
    outputs = with_copies(seed, prompts)
    split = split_queries(outputs, seed=split_seed)
    together = np.concatenate(split)
    assert sorted(together.tolist()) == list(range(len(outputs)))
    parts = [set(outputs.group[rows].tolist()) for rows in split]
    assert all(not a & b for a, b in itertools.combinations(parts, 2))


def test_the_parts_have_the_sizes_that_were_asked_for():
    outputs = ExpertOutputs.load(find_outputs("jetson_mix"))
    sizes = np.array([len(rows) for rows in split_queries(outputs, seed=3)]) / len(outputs)
    np.testing.assert_allclose(sizes, [0.60, 0.15, 0.25], atol=0.005)


def test_seeds_give_different_splits_and_the_same_seed_the_same():
    first, again, other = (split_queries(OUTPUTS, seed=s) for s in (1, 1, 2))
    np.testing.assert_array_equal(first.test, again.test)
    assert first.test.tolist() != other.test.tolist()


def test_the_published_split_leaves_leaked_rows_out_unless_asked():
    outputs = ExpertOutputs.load(find_outputs("jetson_mix"))
    clean, leaky = split_queries(outputs, "published"), split_queries(outputs, "published_leaky")
    assert (len(clean.test), len(leaky.test)) == (381, 500)
    assert not set(outputs.group[clean.test]) & set(outputs.group[np.concatenate(clean[:2])])


@pytest.mark.parametrize(
    ("kind", "fractions", "message"),
    [
        ("randum", (0.6, 0.15, 0.25), "did you mean 'random'"),
        ("random", (0.6, 0.2, 0.25), "sum to 1"),
        ("random", (1.0, 0.0, 0.0), "three positive shares"),
    ],
)
def test_a_split_that_makes_no_sense_is_refused(kind, fractions, message):
    with pytest.raises(MoE2Error, match=message):
        split_queries(OUTPUTS, kind, fractions)

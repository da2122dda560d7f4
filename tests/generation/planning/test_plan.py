"""Which images a run makes: seeds, names, shards and batches."""

from pathlib import Path

import pytest

from generation.planning.plan import (
    ConditionSet,
    PlannedImage,
    SamplePlan,
    make_batches,
    match_conditions,
)


def plan(names, copies=3, seed=5):
    return SamplePlan(
        [ConditionSet(i, (Path(f"masks/{name}.png"),)) for i, name in enumerate(names)],
        copies if isinstance(copies, list) else [copies] * len(names),
        seed,
        ["a", "b", "c"],
    )


def test_a_picture_follows_from_seed_name_and_copy_alone():
    many, few = plan("abcdef"), plan("d", copies=1)
    assert (many[9].prompt, many[9].seed) == (few[0].prompt, few[0].seed)  # d's first copy
    assert (
        many[9].ending == "cond3_batch1_sample0.png"
        and many.file_name(10) == "image_cond3_batch2_sample0.png"
    )
    assert len({planned.seed for planned in many}) == len(many) == 18
    assert plan("abcdef", seed=6)[9].seed != many[9].seed


@pytest.mark.parametrize("count", [1, 2, 5, 18, 25])
def test_shards_part_the_plan(count):
    shards = [plan("abcdef").shard(i, count) for i in range(count)]
    assert [k for shard in shards for k in shard] == list(range(18))
    assert max(map(len, shards)) - min(map(len, shards)) <= 1


def test_condition_sets_may_have_different_numbers_of_images():
    """Each image is the one that it is in an even plan, and keeps its name."""
    uneven, even = plan("abc", copies=[1, 3, 2]), plan("abc")
    assert [planned.conditions.name for planned in uneven] == list("abbbcc")
    assert [planned.batch for planned in uneven] == [1, 1, 2, 3, 1, 2]
    assert [uneven.file_name(k) for k in (0, 3, 5)] == [even.file_name(k) for k in (0, 5, 7)]
    assert list(uneven) == [even[k] for k in (0, 3, 4, 5, 6, 7)]
    assert [conditions.name for conditions in uneven.sets_of([0, 2, 3])] == ["a", "b"]
    assert [k for i in range(4) for k in uneven.shard(i, 4)] == list(range(6))


def test_a_plan_is_worked_out_when_asked():
    """10 billion pictures: neither time nor memory."""
    huge = plan("abcdefghij", copies=10**9)
    assert len(huge) == 10**10 and huge[10**10 - 1].conditions.name == "j"
    assert len(huge.shard(3, 7)) in (10**10 // 7, 10**10 // 7 + 1)


def test_batches_mix_conditions_of_equal_size_only():
    sizes = dict(enumerate([(64, 64), (32, 64), (64, 64), (64, 64), (32, 64)]))
    planned_images = [PlannedImage(ConditionSet(i, (Path("m.png"),)), 0, "", i) for i in sizes]
    batches = list(make_batches(planned_images, sizes, 2))
    numbers = sorted(planned.conditions.number for batch in batches for planned in batch)
    assert numbers == [0, 1, 2, 3, 4]
    assert all(
        len({sizes[planned.conditions.number] for planned in batch}) == 1 and len(batch) <= 2
        for batch in batches
    )
    assert len(batches) == 3


def paths(folder, names):
    return [Path(folder) / name for name in names]


def test_the_first_folder_leads():
    masks, edges = (
        paths("masks", ["a.png", "b.png"]),
        paths("edges", ["b.tif", "a.tif", "unused.tif"]),
    )
    conditions, left_out = match_conditions([masks, edges])
    assert [c.files for c in conditions] == [
        (masks[0], edges[1]),
        (masks[1], edges[0]),
    ] and left_out == 0


def test_published_names_meet_by_their_numbers():
    masks, edges = (
        paths("masks", ["Dataset 1_GTM_img_7.png", "Dataset 1_GTM_img_9.png"]),
        paths("edges", ["Dataset 1_img_9.png", "Dataset 1_img_7.png"]),
    )
    assert [c.files[1] for c in match_conditions([masks, edges])[0]] == edges[::-1]


def test_missing_edges():
    masks, edges = paths("masks", ["a.png", "b.png", "c.png"]), paths("edges", ["b.png"])
    with pytest.raises(
        RuntimeError,
        match=r"edges: no file for 2 of 3 conditions of masks \(a.png, c.png\); "
        "--skip_missing_edges",
    ):
        match_conditions([masks, edges])
    conditions, left_out = match_conditions([masks, edges], skip_missing=True)
    assert [(c.number, c.name) for c in conditions] == [(0, "b")] and left_out == 2
    with pytest.raises(RuntimeError, match="no file for 3 of 3"):
        match_conditions([masks, paths("edges", ["z.png"])], skip_missing=True)

from runs.workload import KnownCosts, MeasureOptions, WorkOptions, plan


def test_hours_are_counted_by_hand():
    work = WorkOptions(epochs=10, pairs=5, batch_size=2, images=100, gpus=4)
    header, training, images = plan(work, KnownCosts(36.0, 72.0))
    assert header[-1] == "days on 4"
    # 10 epochs of 3 batches of 36 s; 100 images of 72 s
    assert training[1:] == ["30 steps", "36.0 s", "0.3", f"{0.3 / 24 / 4:.2f}"]
    assert images[1:] == ["100 images", "72.0 s", "2.0", f"{2 / 24 / 4:.2f}"]


def test_a_part_without_a_cost_is_left_out():
    assert [row[0] for row in plan(WorkOptions(), KnownCosts(None, 1.0))[1:]] == [
        "generate 10,553 images"
    ]
    assert plan(WorkOptions(), KnownCosts(None, 1.0))[0][-1] == ""  # one GPU


def test_measure_alone_means_both():
    assert MeasureOptions().measured == ()
    assert MeasureOptions(measure=[]).measured == ("step", "image")
    assert MeasureOptions(measure=["image"]).measured == ("image",)

from pipelines.listening import choose


def row(pair, source="hi", target="en"):
    return {"pair_id": pair, "source_lang": source, "target_lang": target}


def test_listening_is_spread_over_each_direction():
    rows = [row(f"{i:02}") for i in range(10)] + [row("z", "en", "hi")]
    assert [chosen["pair_id"] for chosen in choose(rows, 3)] == ["z", "00", "04", "09"]

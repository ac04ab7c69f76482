"""Sentences come in their order, a few are translated at a time, and nothing is left behind."""

import asyncio
from contextlib import aclosing
from types import SimpleNamespace

import numpy as np
import pytest

from s2st.pauses import Piece
from serve.load import Load
from serve.sentences import translate_in_order


class SlowGraph:
    """Takes a moment for a sentence, and counts those that are with it."""

    def __init__(self):
        self.going, self.most = 0, 0

    async def translate(self, waveform, order):
        self.going += 1
        self.most = max(self.most, self.going)
        try:
            await asyncio.sleep(0.01 * (len(waveform) % 3))
        finally:
            self.going -= 1
        if len(waveform) == 7:
            raise ValueError("seven")
        return len(waveform)


def serving(graph):
    settings = SimpleNamespace(timeout_seconds=30.0, max_waiting_seconds=240.0)
    return SimpleNamespace(graph=graph, load=Load(), settings=settings)


async def pieces(count, asked):
    for index in range(count):
        asked.append(index)
        yield Piece(index, np.zeros(index + 1, np.float32))


def run(count, at_once, most=10_000):
    """Translate some sentences, at most `most`; gives them, what was asked for, the graph and an error."""

    async def main():
        graph, asked, given = SlowGraph(), [], []
        server = serving(graph)
        try:
            async with aclosing(translate_in_order(server, None, pieces(count, asked), at_once)) as sentences:
                async for sentence in sentences:
                    given.append(sentence)
                    if len(given) == most:
                        break
        except ValueError as error:
            return given, asked, graph, error
        return given, asked, graph, None

    return asyncio.run(main())


def test_order_is_kept_and_few_are_translated_at_once():
    given, _, graph, error = run(6, 3)
    assert error is None
    assert [(sentence.index, sentence.spoken) for sentence in given] == [(i, i + 1) for i in range(6)]
    assert graph.most == 3


def test_no_more_is_asked_for_than_can_wait():
    given, asked, graph, _ = run(100, 4, most=2)
    assert len(given) == 2
    assert len(asked) <= 2 + 4
    assert graph.going == 0


def test_an_error_comes_after_the_sentences_before_it_and_ends_the_others():
    given, _, graph, error = run(100, 4)
    assert [sentence.index for sentence in given] == list(range(6))
    assert str(error) == "seven"
    assert graph.going == 0


def test_a_sentence_waits_while_others_leave_no_room():
    async def main():
        server, given = serving(SlowGraph()), []
        with server.load.take(240.0, 240.0):
            asking = asyncio.create_task(anext(translate_in_order(server, None, pieces(1, given))))
            await asyncio.sleep(0.2)
            assert server.graph.most == 0
        return (await asking).index

    assert asyncio.run(main()) == 0


def test_an_error_of_the_recording_comes_last():
    async def broken():
        yield Piece(0, np.zeros(1, np.float32))
        raise ValueError("truncated")

    given = []

    async def main():
        server = serving(SlowGraph())
        async for sentence in translate_in_order(server, None, broken()):
            given.append(sentence.index)

    with pytest.raises(ValueError, match="truncated"):
        asyncio.run(main())
    assert given == [0]

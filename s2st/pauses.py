"""Long speech as sentences: cut at pauses, as it comes, in little memory.

What speech is tells silero-vad, a small recurrent network that looks at 32 ms at a time; its package carries it.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch

from s2st.audio import SAMPLE_RATE

WINDOW = 512  # samples that silero-vad looks at: 32 ms
BEGINS, GOES_ON = 0.5, 0.35  # probability from which a window is speech, after none and after speech (silero's own)
PAUSE = 16  # windows without speech that end a piece: about 0.5 s
MARGIN = 5  # windows kept around speech: sounds fade in and out
SHORTEST = 4  # windows of speech; less is a click
MAX_SECONDS = 20.0  # of a piece, where none is given

Detector = Callable[[np.ndarray], float]


@dataclass(frozen=True)
class Piece:
    """Speech between two pauses."""

    start: int  # sample of the recording that is its first
    waveform: np.ndarray  # (N,), float32, 16 kHz

    @property
    def end(self) -> int:
        """The sample of the recording after its last."""
        return self.start + len(self.waveform)


def load_detector() -> Detector:
    """Load what gives the probability that a window (WINDOW,) is speech; it remembers the windows of one recording."""
    threads = torch.get_num_threads()
    import silero_vad  # slow, and it sets the threads of the whole process

    torch.set_num_threads(threads)
    model = silero_vad.load_silero_vad()

    @torch.inference_mode()
    def detect(window: np.ndarray) -> float:
        return float(model(torch.from_numpy(window), SAMPLE_RATE))

    return detect


class PauseCutter:
    """Takes a recording in blocks of any size and gives its pieces, in order; between them is no speech.

    A piece that goes on for `max_seconds` is cut where its second half is least loud.
    """

    def __init__(self, detect: Detector, max_seconds: float = MAX_SECONDS):
        self.detect = detect
        self.longest = int(max_seconds * SAMPLE_RATE / WINDOW)
        if self.longest < 2 * (PAUSE + MARGIN):
            raise ValueError(f"max_seconds {max_seconds} is too short for speech with a pause; give 2 or more")
        self.start = 0  # sample of the recording that `windows` begin with
        self.windows: list[np.ndarray] = []  # what is not given yet, save silence long past
        self.spoken: list[bool] = []  # of each window
        self.rest = np.zeros(0, np.float32)  # less than a window

    def add(self, block: np.ndarray) -> Iterator[Piece]:
        """Take the next samples (N,) and give the pieces that end in them; run it to its end."""
        samples = np.concatenate([self.rest, block])
        whole = len(samples) // WINDOW * WINDOW
        self.rest = samples[whole:]
        for window in samples[:whole].reshape(-1, WINDOW):
            yield from self._take(window)

    def end(self) -> Iterator[Piece]:
        """Give what is left at the end of the recording."""
        if len(self.rest):
            yield from self._take(self.rest)
        if any(self.spoken):
            yield from self._give(self._after_speech())

    def _take(self, window: np.ndarray) -> Iterator[Piece]:
        """Take one window, which only at the end of a recording is a short one."""
        probability = self.detect(np.pad(window, (0, WINDOW - len(window))))
        self.windows.append(window)
        self.spoken.append(probability >= (GOES_ON if any(self.spoken[-1:]) else BEGINS))
        if not any(self.spoken):
            self._drop(max(0, len(self.windows) - MARGIN))
        elif not any(self.spoken[-PAUSE:]):
            yield from self._give(self._after_speech())
        elif len(self.windows) >= self.longest:
            yield from self._give(self._least_loud())

    def _after_speech(self) -> int:
        """Give the number of windows up to the end of speech and its margin."""
        silent = self.spoken[::-1].index(True)
        return len(self.windows) - silent + min(silent, MARGIN)

    def _least_loud(self) -> int:
        half = len(self.windows) // 2
        return half + int(np.argmin([np.square(window).sum() for window in self.windows[half:]])) + 1

    def _give(self, count: int) -> Iterator[Piece]:
        """Give the first windows as a piece, if they are more than a click."""
        start, windows, spoken = self.start, self.windows[:count], self.spoken[:count]
        self._drop(count)
        if not any(self.spoken):
            self._drop(max(0, len(self.windows) - MARGIN))
        if sum(spoken) >= SHORTEST:
            yield Piece(start, np.concatenate(windows))

    def _drop(self, count: int) -> None:
        self.start += sum(map(len, self.windows[:count]))
        del self.windows[:count], self.spoken[:count]


def cut(blocks: Iterable[np.ndarray], detect: Detector, max_seconds: float = MAX_SECONDS) -> Iterator[Piece]:
    """Cut a recording that comes in blocks (N,), as PauseCutter does; one block is held at a time."""
    cutter = PauseCutter(detect, max_seconds)
    for block in blocks:
        yield from cutter.add(block)
    yield from cutter.end()

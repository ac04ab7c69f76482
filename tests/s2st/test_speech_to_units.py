import pytest

from s2st.audio import num_frames
from s2st.models.cpc import CONVOLUTIONS as CPC
from s2st.models.speech_encoder import EncoderConfig
from s2st.speech_to_units import frame_centres

HUBERT = [(kernel, stride, 0) for _, kernel, stride in EncoderConfig().conv_layers]


@pytest.mark.parametrize(("kind", "convolutions", "hop"), [("hubert-9", HUBERT, 320), ("cpc-2", CPC, 160)])
def test_centres_of_frames_are_those_of_what_the_convolutions_see(kind, convolutions, hop):
    first, last, reach = 0, 0, 1
    for kernel, stride, padding in convolutions:
        first, last, reach = first - padding * reach, last + (kernel - 1 - padding) * reach, reach * stride
    assert reach == hop
    centres = frame_centres(f"{kind}-1-abc", 3)
    assert centres[0] == pytest.approx((first + last) / 2, abs=0.5)
    assert (centres[1:] - centres[:-1]).tolist() == [hop, hop]


def test_mfcc_frames_of_10_ms_lie_between_those_of_hubert():
    fine, coarse = frame_centres("mfcc-0-1-abc", 99), frame_centres("hubert-9-1-abc", num_frames(16_000))
    assert fine[::2].tolist()[: len(coarse)] == coarse.tolist()
    assert fine[-1] < 16_000

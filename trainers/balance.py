"""Balance between languages or directions: with a temperature, those with few examples come more often."""

from collections.abc import Mapping


def repetitions(counts: Mapping[str, int], temperature: float) -> dict[str, float]:
    """Say how often an example of each kind comes in an epoch that is as long as before.

    With temperature T a kind that has the share s of the examples gets s ** (1 / T), normalised: 1 leaves the shares
    as they are, a large one makes them equal. Source: Arivazhagan et al. 2019, section 4.2; the sampling alpha of
    fairseq's multilingual tasks is 1 / T.
    """
    total = sum(counts.values())
    wanted = {kind: (count / total) ** (1 / temperature) for kind, count in counts.items() if count}
    scale = total / sum(wanted.values())
    return {kind: scale * share / counts[kind] for kind, share in wanted.items()}

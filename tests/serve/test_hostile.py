import pytest

from benchmarks.hostile import KINDS, fault, make_case

PER_KIND = 12


@pytest.mark.parametrize("kind", range(len(KINDS)), ids=lambda kind: KINDS[kind].__name__)
def test_no_hostile_request_is_answered_wrongly(kind, quick_server, calling):
    client = calling(quick_server())
    for seed in range(kind, kind + PER_KIND * len(KINDS), len(KINDS)):
        case = make_case(seed)
        answer = client.request(case.method, case.url, content=case.body, headers=case.headers)
        told = fault(answer.status_code, answer.headers.get("content-type", ""), answer.content)
        assert told is None, f"seed {seed}: {told}"

"""What goes wrong: its status, and one sentence that tells it."""

from typing import Any

from ray.exceptions import RayActorError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError

from s2st.audio import AudioError
from s2st.config import UserError
from serve import answers
from serve.deployments import ModelLostError
from serve.graph import ReplicaLostError
from serve.load import BusyError

RETRY_SECONDS = 2  # after which a caller may ask again when the server is busy
BUSY = (BusyError, BackPressureError, DeploymentUnavailableError, ReplicaLostError, ModelLostError, RayActorError)
Responses = dict[int | str, dict[str, Any]]
REFUSALS: Responses = {
    status: {"model": answers.Refusal, "description": reason}
    for status, reason in {
        400: "the form or the JSON is broken",
        401: "no key was shown",
        403: "the caller is on another machine, or a page of another origin",
        408: "the body came too slowly",
        413: "the body is too large, or has too many units",
        415: "the recording cannot be decoded, is too long, too short or silent",
        422: "a value of the request is missing or wrong",
        502: "a hosted service that a model stands for did not answer",
        503: "the server is busy, and says by Retry-After when to ask again",
        504: "the answer took too long",
    }.items()
}


def sentence_of(error: Exception) -> str:
    """Tell what is wrong; an error that is nobody's fault but ours is raised again."""
    if isinstance(error, UserError | AudioError):
        return str(error)
    if isinstance(error, TimeoutError):
        return "the answer took too long; send a shorter recording, or ask again later"
    if isinstance(error, BUSY):
        return "the server is busy; ask again in a moment"
    raise error

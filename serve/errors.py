"""What goes wrong, told in one sentence."""

from ray.exceptions import RayActorError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError

from s2st.audio import AudioError
from s2st.config import UserError
from serve.deployments import ModelLostError
from serve.graph import ReplicaLostError

RETRY_SECONDS = 2  # after which a caller may ask again when the server is busy
BUSY = (BackPressureError, DeploymentUnavailableError, ReplicaLostError, ModelLostError, RayActorError)


def sentence_of(error: Exception) -> str:
    """Tell what is wrong; an error that is nobody's fault but ours is raised again."""
    if isinstance(error, UserError | AudioError):
        return str(error)
    if isinstance(error, TimeoutError):
        return "the answer took too long; send a shorter recording, or ask again later"
    if isinstance(error, BUSY):
        return "the server is busy; ask again in a moment"
    raise error

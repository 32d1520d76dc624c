"""A hub for models, such as huggingface.co: a model is sent there and fetched from there.

It is asked by its own library, huggingface_hub, an extra that is imported where it is needed.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING

from bitlm.errors import ConfigError, HubError
from bitlm.version import VERSION

if TYPE_CHECKING:
    from huggingface_hub.errors import HfHubHTTPError

DEFAULT_ENDPOINT = "https://huggingface.co"
TOKEN = "HF_TOKEN"  # noqa: S105 - the name of the variable that has it
MODEL_FILE = "model.safetensors"
"""What a model is called in its repository."""

TOKEN_REFUSED = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})


class Hub:
    """A hub at an address; what it asks for to let one in is the environment's HF_TOKEN, if there is one.

    Raises:
        HubError: The extra is not installed.
    """

    def __init__(self, endpoint: str = DEFAULT_ENDPOINT) -> None:
        """Ask nothing yet."""
        # Or the library would say what else is installed here, and ask huggingface.co wherever the hub is.
        os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
        try:
            from huggingface_hub import HfApi  # noqa: PLC0415 - of the extra
        except ImportError as error:
            raise HubError(f"the package {error.name} is not installed: pip install 'bitlm[hub]'.") from error
        self._endpoint = endpoint.rstrip("/")
        token = os.environ.get(TOKEN) or False  # False: no other that the library may find
        self._api = HfApi(self._endpoint, token=token, library_name="bitlm", library_version=VERSION)

    def make(self, repo_id: str, *, is_private: bool, revision: str | None) -> None:
        """Make a repository for a model and a branch in it, where they are not there yet.

        Args:
            repo_id: OWNER/NAME.
            is_private: Whether a new one is for nobody else.
            revision: The branch; None for its main one.

        Raises:
            ConfigError: That is no name.
            HubError: The hub does not answer, or refuses.
        """
        with self._told_plainly(repo_id):
            self._api.create_repo(repo_id, private=is_private or None, exist_ok=True)
            if revision is not None:
                self._api.create_branch(repo_id, branch=revision, exist_ok=True)

    def push(self, repo_id: str, files: Mapping[str, Path | bytes], revision: str | None) -> str:
        """Put files into a repository, all or none; return the address of the commit.

        Raises:
            ConfigError: As `make`.
            HubError: As `make`.
        """
        from huggingface_hub import CommitOperationAdd  # noqa: PLC0415 - of the extra

        added = [CommitOperationAdd(name, content) for name, content in files.items()]
        with self._told_plainly(repo_id):
            done = self._api.create_commit(
                repo_id, added, commit_message=f"A model of BitLM {VERSION}", revision=revision
            )
        return done.commit_url

    def pull(self, repo_id: str, folder: Path, revision: str | None) -> Path:
        """Fetch a repository's model into a folder, and return where it is; it is not looked into.

        Args:
            repo_id: OWNER/NAME.
            folder: Where to; what is fetched on the way is left in it, too.
            revision: A branch, tag or commit; None for the main branch.

        Raises:
            ConfigError: As `make`.
            HubError: As `make`, or the repository has no such file.
        """
        with self._told_plainly(repo_id):
            commit = self._api.model_info(
                repo_id, revision=revision
            ).sha  # the other would try for half a minute
            found = self._api.hf_hub_download(repo_id, MODEL_FILE, local_dir=folder, revision=commit)
        return Path(found)

    @contextmanager
    def _told_plainly(self, repo_id: str) -> Iterator[None]:
        """Say what goes wrong in a sentence."""
        import httpx2  # noqa: PLC0415 - of the extra
        from huggingface_hub import errors  # noqa: PLC0415 - the same

        try:
            yield
        except errors.HFValidationError as error:
            fix = "write OWNER/NAME, with letters, digits, '-', '_' and '.'."
            raise ConfigError("repo_id", repo_id, fix) from error
        except errors.RemoteEntryNotFoundError as error:
            raise HubError(f"{repo_id} holds no model of BitLM: it has no {MODEL_FILE}.") from error
        except errors.RevisionNotFoundError as error:
            raise HubError(f"{repo_id} has no such revision: name a branch, a tag or a commit.") from error
        except errors.RepositoryNotFoundError as error:
            raise HubError(
                f"{self._endpoint} shows no {repo_id}: check the name, and if it is private or gated "
                f"set {TOKEN} to a token that may see it."
            ) from error
        except errors.HfHubHTTPError as error:
            raise HubError(self._refusal(error)) from error
        except ValueError as error:
            raise HubError(f"{self._endpoint} did not take it: {error}") from error
        except (httpx2.HTTPError, errors.LocalEntryNotFoundError, RuntimeError) as error:
            cause = error.__cause__ or error
            if isinstance(cause, errors.HfHubHTTPError):
                raise HubError(self._refusal(cause)) from error
            raise HubError(
                f"no hub answers at {self._endpoint} ({cause}): check the network, or name another by "
                "--endpoint or HF_ENDPOINT."
            ) from error

    def _refusal(self, error: "HfHubHTTPError") -> str:
        status = HTTPStatus(error.response.status_code)
        said = f"{self._endpoint} answers {status.value} {status.phrase}"
        if status in TOKEN_REFUSED:
            return f"{said}: set {TOKEN} to a token that may do this."
        return f"{said}: {error.server_message or 'try again later'}"

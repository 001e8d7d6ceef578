"""The local cloud as `submit` sees it: its builds, by Google's own client; its buckets; and the live log of a build."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from localcloud.core.iam import EVERYONE, PROJECT
from localcloud.services.cloudbuild.problem import Json

_COMMITS = f"{PROJECT}_commits"
COMMITS = f"gs://{_COMMITS}"
"""The folder of commits. It stands for a connected repository, which the account of every build may read."""
_SECONDS = 60.0
_BAD_REQUEST, _NOT_FOUND = 400, 404
# The clients' prefix of Google's messages.
_CALL = re.compile(r"^[A-Z]+ https?://\S+: ")


class RefusedError(Exception):
    """The cloud refused a call or does not answer; str() is its message. `bad_input`: the input is at fault."""

    def __init__(self, text: str, *, bad_input: bool = False) -> None:
        super().__init__(text)
        self.bad_input = bad_input


class LocalCloud:
    """Calls to the cloud at a URL, with a token; every method raises `RefusedError`.

    Builds are JSON as in Google's REST API. With `runner` None, the cloud chooses the runner of the steps.
    """

    def __init__(self, url: str, token: str, region: str, runner: str | None) -> None:
        import requests
        from google.oauth2.credentials import Credentials

        self._url = url.rstrip("/")
        self._parent = f"projects/{PROJECT}/locations/{region}"
        self._metadata = [("x-localcloud-runner", runner)] if runner else []
        self._http = requests.Session()
        self._credentials = Credentials(token=token)
        self._builds = _client(self._url, self._credentials)

    def check(self) -> None:
        """Raise `RefusedError` unless a localcloud answers at the URL."""
        self._get("/_localcloud/health")

    def connect_repository(self) -> None:
        """Make the bucket that stands for a repository, and let every account read it, unless that is done.

        Another `submit` may do the same now, or may have been killed between the two.
        """
        from google.cloud.exceptions import Conflict, PreconditionFailed

        reader = {"role": "roles/storage.objectViewer", "members": {EVERYONE}}
        storage = self._storage()
        with _refusals():
            with contextlib.suppress(Conflict):
                storage.create_bucket(_COMMITS)
            bucket = storage.bucket(_COMMITS)
            policy = bucket.get_iam_policy(requested_policy_version=3)
            if reader not in policy.bindings:
                policy.bindings.append(reader)
                with contextlib.suppress(PreconditionFailed):  # another one has just added it
                    bucket.set_iam_policy(policy)

    def upload(self, archive: Path, url: str) -> Json:
        """Put an archive at a gs:// URL; return its `storageSource`."""
        from google.cloud.exceptions import NotFound

        bucket, _, name = url.removeprefix("gs://").partition("/")
        with _refusals():
            blob = self._storage().bucket(bucket).blob(name)
            try:
                blob.upload_from_filename(
                    str(archive), content_type="application/x-tar", if_generation_match=0
                )
            except NotFound as error:
                raise RefusedError(
                    f"the bucket gs://{bucket} does not exist; create it (setup/project.sh does), or name another "
                    "with --gcs-source-staging-dir",
                    bad_input=True,
                ) from error
        return {"bucket": bucket, "object": name, "generation": str(blob.generation)}

    def _storage(self) -> Any:
        from google.cloud.storage import Client

        return Client(
            project=PROJECT, credentials=self._credentials, client_options={"api_endpoint": self._url}
        )

    def create(self, build: Json) -> Json:
        """Start a build; return it as it is at its start."""
        from google.cloud.devtools.cloudbuild_v1 import Build
        from google.protobuf import json_format

        wanted = Build()
        try:
            json_format.ParseDict(build, Build.pb(wanted))
        except json_format.ParseError as error:
            raise RefusedError(str(error), bad_input=True) from error
        with _refusals(_BAD_REQUEST, _NOT_FOUND):
            operation = self._builds.create_build(
                request={"parent": self._parent, "build": wanted}, metadata=self._metadata, timeout=_SECONDS
            )
        return _json(operation.metadata.build)

    def get(self, build_id: str) -> Json:
        """Return a build as it is now."""
        with _refusals():
            return _json(self._builds.get_build(request=self._named(build_id), timeout=_SECONDS))

    def cancel(self, build_id: str) -> None:
        """Cancel a build; raises `RefusedError` for a finished one too."""
        with _refusals():
            self._builds.cancel_build(request=self._named(build_id), timeout=_SECONDS)

    def log_url(self, build_id: str) -> str:
        """Return the URL of a build's growing log."""
        return f"{self._url}/_localcloud/builds/{build_id}/log"

    def log(self, build_id: str, offset: int) -> tuple[bytes, bool]:
        """Return the log from a byte on, and whether it is complete."""
        answer = self._get(f"/_localcloud/builds/{build_id}/log?offset={offset}")
        return answer.content, answer.headers.get("X-Localcloud-Complete") == "true"

    def _named(self, build_id: str) -> Json:
        return {"name": f"{self._parent}/builds/{build_id}"}

    def _get(self, path: str) -> Any:
        import requests

        try:
            answer = self._http.get(self._url + path, timeout=_SECONDS)
        except requests.RequestException as error:
            raise RefusedError(f"no localcloud answers at {self._url} ({type(error).__name__})") from error
        if not answer.ok:
            raise RefusedError(f"{self._url}{path}: {answer.status_code} {answer.reason}")
        return answer


@contextlib.contextmanager
def _refusals(*bad_input: int) -> Iterator[None]:
    """Turn an exception of Google's clients into a `RefusedError`. Of bad input are the statuses given, else a 400."""
    import requests
    from google.api_core.exceptions import GoogleAPICallError, RetryError

    try:
        yield
    except GoogleAPICallError as error:
        words = _CALL.sub("", error.message)
        raise RefusedError(words, bad_input=error.code in (bad_input or (_BAD_REQUEST,))) from error
    except (RetryError, requests.RequestException) as error:
        raise RefusedError(f"the cloud does not answer: {error}") from error


def _client(url: str, credentials: Any) -> Any:
    from google.cloud.devtools.cloudbuild_v1 import CloudBuildClient

    return CloudBuildClient(credentials=credentials, client_options={"api_endpoint": url}, transport="rest")


def _json(build: Any) -> Json:
    from google.protobuf import json_format

    result: Json = json_format.MessageToDict(type(build).pb(build))
    return result

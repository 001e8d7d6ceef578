"""The local cloud as `submit` sees it: its builds, by Google's own client; its buckets; and the live log of a build."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from localcloud.cloudbuild.problem import Json
from localcloud.iam.policy import PROJECT

BUCKET = f"{PROJECT}_cloudbuild"
_SECONDS = 60.0
_BAD_REQUEST = 400
# What the clients put before Google's own words.
_CALL = re.compile(r"^[A-Z]+ https?://\S+: ")


class RefusedError(Exception):
    """The cloud refused a call, or does not answer; str() is what it said, `bad_input` whether what was sent is wrong."""

    def __init__(self, text: str, *, bad_input: bool = False) -> None:
        super().__init__(text)
        self.bad_input = bad_input


class LocalCloud:
    """Calls to the cloud at a URL, as the project's owner; every method raises `RefusedError`.

    Builds are JSON as in Google's REST API. `runner` None leaves it to the cloud what runs the steps.
    """

    def __init__(self, url: str, region: str, runner: str | None) -> None:
        import requests

        self._url = url.rstrip("/")
        self._parent = f"projects/{PROJECT}/locations/{region}"
        self._metadata = [("x-localcloud-runner", runner)] if runner else []
        self._http = requests.Session()
        self._builds = _client(self._url)

    def check(self) -> None:
        """See whether a localcloud answers at the URL."""
        self._get("/_localcloud/health")

    def upload(self, archive: Path, name: str) -> Json:
        """Put an archive into the bucket of sources, which is made when missing; return the build's `storageSource`."""
        from google.auth.credentials import AnonymousCredentials
        from google.cloud.exceptions import Conflict
        from google.cloud.storage import Client

        client = Client(
            project=PROJECT,
            credentials=AnonymousCredentials(),
            client_options={"api_endpoint": self._url},
        )
        with _told():
            with contextlib.suppress(Conflict):
                client.create_bucket(BUCKET)
            blob = client.bucket(BUCKET).blob(name)
            blob.upload_from_filename(str(archive), content_type="application/x-tar", if_generation_match=0)
        return {"bucket": BUCKET, "object": name, "generation": str(blob.generation)}

    def create(self, build: Json) -> Json:
        """Start a build; return it as it is at its start."""
        from google.cloud.devtools.cloudbuild_v1 import Build
        from google.protobuf import json_format

        wanted = Build()
        json_format.ParseDict(build, Build.pb(wanted))
        with _told():
            operation = self._builds.create_build(
                request={"parent": self._parent, "build": wanted}, metadata=self._metadata, timeout=_SECONDS
            )
        return _json(operation.metadata.build)

    def get(self, build_id: str) -> Json:
        """Return a build as it is now."""
        with _told():
            return _json(self._builds.get_build(request=self._named(build_id), timeout=_SECONDS))

    def cancel(self, build_id: str) -> None:
        """Cancel a build; one that is over stays as it is."""
        with _told():
            self._builds.cancel_build(request=self._named(build_id), timeout=_SECONDS)

    def log_url(self, build_id: str) -> str:
        """Return where the log of a build can be read, as it grows."""
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
def _told() -> Iterator[None]:
    """Turn what Google's clients raise into a sentence."""
    import requests
    from google.api_core.exceptions import GoogleAPICallError, RetryError

    try:
        yield
    except GoogleAPICallError as error:
        words = _CALL.sub("", error.message)
        raise RefusedError(words, bad_input=error.code == _BAD_REQUEST) from error
    except (RetryError, requests.RequestException) as error:
        raise RefusedError(f"the cloud does not answer: {error}") from error


def _client(url: str) -> Any:
    from google.auth.credentials import AnonymousCredentials
    from google.cloud.devtools.cloudbuild_v1 import CloudBuildClient

    return CloudBuildClient(
        credentials=AnonymousCredentials(), client_options={"api_endpoint": url}, transport="rest"
    )


def _json(build: Any) -> Json:
    from google.protobuf import json_format

    result: Json = json_format.MessageToDict(type(build).pb(build))
    return result

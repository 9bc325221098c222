"""The Hugging Face hub: what a repository holds, and the bytes of a file from where they stopped.

The hub's own downloads start an interrupted file anew in the next run, and the files here have 11 GB; so its client
lists and authorises, and its `http_get` appends to a partial file that stays.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO

from huggingface_hub import HfApi, constants, errors, hf_hub_url
from huggingface_hub.file_download import http_get
from huggingface_hub.hf_api import RepoSibling
from huggingface_hub.utils import build_hf_headers, disable_progress_bars

from void_bridge.errors import NoServer, Refused, UsageError

_TIMEOUT_S = 15.0
_ELSEWHERE = "fetch on a machine with a network and copy the folder"
_AGAIN = "what came stays: run void-bridge models fetch again, and it goes on"


@dataclass(frozen=True)
class HubFile:
    """A file of a repository. etag: changes with its content. sha256: '' for small files."""

    path: str
    size: int
    etag: str
    sha256: str


class Hub:
    """revision: a branch, tag or commit; None for main."""

    def __init__(self, revision: str | None = None) -> None:
        self._revision = revision
        logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
        if not sys.stderr.isatty():
            disable_progress_bars()

    def files(self, repository: str) -> list[HubFile]:
        """Every file of a repository. Raises NoServer, Refused, UsageError."""
        with self._named_errors(repository, _ELSEWHERE):
            info = HfApi().model_info(repository, revision=self._revision, files_metadata=True, timeout=_TIMEOUT_S)
            return [_listed(entry) for entry in info.siblings or ()]

    def append(self, repository: str, path: str, out: BinaryIO, have: int, size: int) -> None:
        """Write what follows the first `have` bytes of a file of `size`; where the hub starts anew, `out` does, too.

        A connection that breaks is taken up again a few times.

        Raises:
            NoServer, Refused, UsageError: what came until then is in `out`.
        """
        url = hf_hub_url(repository, path, revision=self._revision)
        headers = build_hf_headers()
        with self._named_errors(repository, _AGAIN):
            http_get(url, out, resume_size=have, headers=headers, expected_size=size, displayed_filename=path)

    @contextmanager
    def _named_errors(self, repository: str, advice: str) -> Iterator[None]:
        endpoint = constants.ENDPOINT
        try:
            yield
        except errors.RevisionNotFoundError as exc:
            raise UsageError(f"{repository} has no revision {self._revision}; leave --revision out for main") from exc
        except errors.GatedRepoError as exc:
            raise Refused(
                f"{repository} asks for an agreement: accept it on {endpoint}, then run hf auth login"
            ) from exc
        except errors.RepositoryNotFoundError as exc:
            raise UsageError(f"{endpoint} has no repository {repository}, or not for you; run hf auth login") from exc
        except errors.HfHubHTTPError as exc:
            raise Refused(f"{endpoint} refused {repository}: {_reason(exc)}; try again later") from exc
        except (errors.HTTPError, ConnectionError, errors.HfUriError) as exc:
            raise NoServer(f"cannot reach {endpoint} for {repository} ({_reason(exc)}); {advice}") from exc


def _listed(entry: RepoSibling) -> HubFile:
    sha256 = entry.lfs.sha256 if entry.lfs else ""
    return HubFile(entry.rfilename, entry.size or 0, sha256 or entry.blob_id or "", sha256)


def _reason(exc: Exception) -> str:
    return (str(exc) or type(exc).__name__).splitlines()[0].strip()[:160]

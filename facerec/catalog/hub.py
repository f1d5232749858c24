"""Published networks on Hugging Face's hub, by address: hf://OWNER/NAME, or hf://OWNER/NAME@REVISION.

    place = hub_place("hf://ann/faces@v1")   # a folder that `facerec.embedding` opens

The hub is asked once which commit a revision (a branch, a tag or a commit; main by default) is, and which files it has,
with size and digest of each. The files are downloaded as all others (`facerec.catalog.http`), compared with these, and
kept with a record of the commit and the digests, origin.json. From then on the address means this commit, and no
network is needed; removing the file in revisions/ asks again. HF_ENDPOINT names another hub than huggingface.co.

Only what `facerec publish` writes is taken. None of it can hold code.
"""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from facerec.catalog import http
from facerec.core import AcquireError, ParamsError, atomic_dir, exclusive, note, parse_json, sha256_of_file, write_json

ENDPOINT = "https://huggingface.co"
_WEIGHTS = "model.safetensors"
NEEDED = {"config.json", _WEIGHTS}
"""What a model has at least; also taken are its card and the scores that give it thresholds."""

_ADDRESS = re.compile(r"hf:/{1,2}([A-Za-z0-9][\w.-]{0,95})/([A-Za-z0-9][\w.-]{0,95})(?:@([\w./-]{1,200}))?", re.ASCII)
_TAKEN = re.compile(
    r"config\.json|model\.safetensors|README\.md|scores/\w{1,100}/(?:scores\.parquet|result\.json)", re.ASCII
)
_MOST, _SMALL, _LISTING = 64, 64e6, 16e6  # files of a model; bytes of each but the weights; bytes of the answer


@dataclass(frozen=True)
class HubAddress:
    """A model on the hub, at a revision."""

    owner: str
    name: str
    revision: str = "main"

    @classmethod
    def parse(cls, text: str) -> HubAddress | None:
        """The address in `text`, None where it does not begin with hf:/; ParamsError where it is malformed.

        >>> HubAddress.parse("hf://ann/faces@v1")
        HubAddress(owner='ann', name='faces', revision='v1')
        """
        if not text.startswith("hf:/"):
            return None
        match = _ADDRESS.fullmatch(text)
        if match is None or ".." in text:
            raise ParamsError(f"{text!r} is no address of the hub; write hf://OWNER/NAME or hf://OWNER/NAME@REVISION.")
        return cls(match[1], match[2], match[3] or "main")

    def __str__(self) -> str:
        return f"hf://{self.owner}/{self.name}@{self.revision}"


class _Lfs(BaseModel):
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _File(BaseModel):
    rfilename: str
    size: Annotated[int, Field(ge=0)]
    blobId: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]  # noqa: N815
    lfs: _Lfs | None = None

    def fits(self, path: Path) -> bool:
        """Whether a file has the listed digest: the SHA-256 of a large one, else git's of its content."""
        if self.lfs is not None:
            return sha256_of_file(path) == self.lfs.sha256
        content = path.read_bytes()
        return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest() == self.blobId


class _Listing(BaseModel):
    """The hub's answer about a revision, as far as it is used."""

    sha: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]
    siblings: list[_File]


_LISTED = TypeAdapter(_Listing)


def hub_place(address: HubAddress, cache: Path) -> Path:
    """The folder of a model below `cache`, downloaded first where it is not there yet.

    Raises AcquireError where the hub has no such model, where a file is not what the hub lists, or as downloads do.
    """
    home = cache / "hub" / f"{address.owner}--{address.name}"
    known = home / "revisions" / f"{quote(address.revision, safe='')}.json"
    with exclusive(home / "download"):
        if not known.is_file():
            listing = _ask(address, home)
            _download(address, listing, home)
            write_json(known, {"commit": listing.sha})
            note(f"{address} is commit {listing.sha}, kept in {home / listing.sha}")
        commit = parse_json(known.read_bytes(), str(known), AcquireError).get("commit")
        if not isinstance(commit, str) or not (home / commit).is_dir():
            raise AcquireError(f"{known} is damaged; delete it to download {address} again.")
        return home / commit


def _endpoint() -> str:
    return (os.environ.get("HF_ENDPOINT") or ENDPOINT).rstrip("/")


def _ask(address: HubAddress, home: Path) -> _Listing:
    """Which commit the revision is, and its files."""
    repository = f"{quote(address.owner)}/{quote(address.name)}"
    url = f"{_endpoint()}/api/models/{repository}/revision/{quote(address.revision, safe='')}?blobs=true"
    answer = home / "listing.part"
    http.forget_partial(answer)
    policy = replace(http.RetryPolicy.of_machine(), largest=_LISTING)
    try:
        http.download_file(url, answer, checked=False, policy=policy)
        return _LISTED.validate_python(parse_json(answer.read_bytes(), url, AcquireError))
    except ValidationError as error:
        raise AcquireError(f"{url} did not answer as the hub does; look whether HF_ENDPOINT is right.") from error
    except AcquireError as error:
        raise AcquireError(f"cannot get {address} from {_endpoint()}: {str(error).rstrip('.')}.") from error
    finally:
        http.forget_partial(answer)


def _download(address: HubAddress, listing: _Listing, home: Path) -> None:
    """Put the files of a commit, all checked, and origin.json into the folder of the commit."""
    if (home / listing.sha).is_dir():
        return
    files = _wanted(address, listing)
    partials = home / "partial" / listing.sha
    with atomic_dir(home / listing.sha) as folder:
        kept: dict[str, Any] = {}
        for file in files:
            target = folder / file.rfilename
            target.parent.mkdir(parents=True, exist_ok=True)
            _fetch(address, listing, file, partials / file.rfilename.replace("/", "--")).replace(target)
            kept[file.rfilename] = {"sha256": sha256_of_file(target), "size": file.size}
        origin = {"endpoint": _endpoint(), **asdict(address), "commit": listing.sha, "files": kept}
        write_json(folder / "origin.json", origin)
    partials.rmdir()


def _wanted(address: HubAddress, listing: _Listing) -> list[_File]:
    files = [file for file in listing.siblings if _TAKEN.fullmatch(file.rfilename)]
    lacking = NEEDED - {file.rfilename for file in files}
    if lacking:
        raise AcquireError(
            f"{address} has no {' and no '.join(sorted(lacking))}; a model that facerec can use is one that "
            "`facerec publish` wrote."
        )
    largest = http.RetryPolicy.of_machine().largest
    if len(files) > _MOST:
        raise AcquireError(f"{address} is refused: it has {len(files):,} files, more than {_MOST}.")
    for file in files:
        limit, setting = (largest, " (FACEREC_DOWNLOAD_GB)") if file.rfilename == _WEIGHTS else (_SMALL, "")
        if file.size > limit:
            told = f"{file.size / 1e6:g} MB, more than {limit / 1e6:g}{setting}"
            raise AcquireError(f"{address} is refused: {file.rfilename} has {told}.")
    return files


def _fetch(address: HubAddress, listing: _Listing, file: _File, partial: Path) -> Path:
    """The file, complete and checked; what an interrupted run left is continued, a wrong file is not kept."""
    url = f"{_endpoint()}/{quote(address.owner)}/{quote(address.name)}/resolve/{listing.sha}/{quote(file.rfilename)}"
    try:
        http.download_file(url, partial, checked=True, sizes={file.size})
    except AcquireError as error:
        raise AcquireError(f"cannot get {file.rfilename} of {address}: {str(error).rstrip('.')}.") from error
    if not file.fits(partial):
        http.forget_partial(partial)
        raise AcquireError(f"{file.rfilename} of {address} is not what the hub lists: its digest differs; try again.")
    partial.with_name(f"{partial.name}.validator").unlink(missing_ok=True)
    return partial

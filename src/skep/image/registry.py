"""A registry over HTTP; implements ``source.Destination``.

Source: OCI distribution-spec 1.1. A repository is asked at its mirrors first; where one has not what is wanted, or does
not answer, the next is asked.
"""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from typing import Final, TypeVar

from skep import errors
from skep.image import access, challenge, document, layout, manifest
from skep.image.access import Access, Endpoint
from skep.image.http import Answer, Http, host_of, is_not_tls
from skep.image.manifest import Descriptor, Index, Manifest
from skep.image.reference import Digest, Reference, Tag, digest, digest_of, fallback_tag, is_digest
from skep.image.source import MOST_BLOB, MOST_REFERRERS, Document, check_digest, check_size, verified
from skep.model.image import Login

MOST_TAGS: Final = 10_000
_PAGES: Final = 20
_NEXT: Final = re.compile(r'<([^>]+)>\s*;[^,]*rel="?next"?')
_KNOWN_TYPES: Final = frozenset(manifest.ACCEPTED)

T = TypeVar("T")


class Registry:
    """One image's repository in its registry and that one's mirrors."""

    def __init__(self, reference: Reference, how: Access) -> None:
        self._http = Http(how)
        self._places = tuple(
            _Place(self._http, endpoint, how.logins.get(endpoint.registry))
            for endpoint in access.endpoints(reference, how)
        )

    def manifest(self, which: Tag | Digest) -> Document:
        """By tag or digest."""
        return self._anywhere(lambda place: place.manifest(which))

    def blob(self, one: Descriptor) -> Iterator[bytes]:
        """In pieces; the place is chosen before the first."""
        check_size(one, MOST_BLOB)
        answer = self._anywhere(lambda place: place.get(f"blobs/{one.digest}", str(one.digest)))
        with answer:
            yield from verified(answer.pieces(MOST_BLOB), one)

    def referrers(self, digest: Digest, artifact_type: str | None = None) -> tuple[Descriptor, ...]:
        """By the API, else by the fallback tag."""
        found = self._anywhere(lambda place: place.referrers(digest, artifact_type))
        kept = tuple(each for each in found if artifact_type is None or each.artifact_type == artifact_type)
        if len(kept) > MOST_REFERRERS:
            raise errors.Exhausted(
                f"{len(kept)} documents refer to {digest}",
                why=f"{MOST_REFERRERS} are read",
                do="remove signatures and attestations that nobody needs any more",
            )
        return kept

    def tags(self) -> tuple[Tag, ...]:
        """All, page by page; at most 10,000."""
        return self._anywhere(lambda place: place.tags())

    def upload_blob(self, one: Descriptor, data: bytes) -> None:
        """In one piece, to the registry itself."""
        check_digest(data, one.digest)
        self._places[-1].upload(one, data)

    def put_manifest(self, data: bytes, media_type: str, tag: Tag | None = None) -> Digest:
        """To the registry itself. Where it does not keep referrers, the fallback tag is brought up to date."""
        place, found = self._places[-1], digest_of(data)
        parsed = manifest.parse(data, media_type)
        headers = place.put_manifest(data, media_type, tag or found)
        if parsed.subject is not None and isinstance(parsed, Manifest) and "oci-subject" not in headers:
            entry = Descriptor(media_type=media_type, digest=found, size=len(data))
            place.add_referrer(parsed.subject.digest, layout.described(entry, parsed))
        return found

    def _anywhere(self, ask: Callable[[_Place], T]) -> T:
        """The answer of the first place that has one."""
        missed: errors.SkepError | None = None
        for place in self._places:
            try:
                return ask(place)
            except (errors.NotFound, errors.Unavailable, errors.Denied) as error:
                if not place.endpoint.mirror:
                    raise
                missed = error
        raise AssertionError("the last place is never a mirror") from missed


class _Place:
    """One endpoint: where it is, and who we are there."""

    def __init__(self, http: Http, endpoint: Endpoint, login: Login | None) -> None:
        self.endpoint = endpoint
        self._http = http
        self._login = login
        self._scheme = "https"
        self._settled = False
        self._authorization: dict[str, str] = {}

    # ------------------------------------------------------------ reading

    def manifest(self, which: Tag | Digest) -> Document:
        accept = ", ".join(manifest.ACCEPTED)
        answer = self.get(f"manifests/{which}", f"{self.endpoint.repository}:{which}", accept=accept)
        data = answer.body(manifest.MOST_BYTES)
        if is_digest(which):
            found = Digest(which)
            check_digest(data, found)
        else:
            found = digest_of(data)
            told = answer.headers.get("docker-content-digest", "")
            if is_digest(told):
                check_digest(data, digest(told))
        media_type = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media_type not in _KNOWN_TYPES and "manifest.v1" not in media_type:
            media_type = ""  # "application/json", say: the document's own word counts
        return Document(data=data, media_type=media_type or manifest.parse(data).media_type, digest=found)

    def referrers(self, digest: Digest, artifact_type: str | None) -> tuple[Descriptor, ...]:
        query = "" if artifact_type is None else "?" + urllib.parse.urlencode({"artifactType": artifact_type})
        try:
            answer = self.get(f"referrers/{digest}{query}", f"referrers of {digest}", accept=manifest.OCI_INDEX)
        except errors.NotFound:  # "a 404 means that the API is not there": distribution-spec 1.1
            return self._fallback(digest)
        if "index" not in answer.headers.get("content-type", ""):
            answer.raw.close()
            return self._fallback(digest)
        found = manifest.parse(answer.body(manifest.MOST_BYTES))
        return found.manifests if isinstance(found, Index) else ()

    def tags(self) -> tuple[Tag, ...]:
        found: set[Tag] = set()
        path = "tags/list"
        for _ in range(_PAGES):
            answer = self.get(path, f"tags of {self.endpoint.repository}")
            fields = document.read(answer.body(manifest.MOST_BYTES), manifest.MOST_BYTES)
            found |= {Tag(each) for each in document.array(fields, "tags") if isinstance(each, str)}
            following = _NEXT.search(answer.headers.get("link", ""))
            if following is None or len(found) >= MOST_TAGS:
                break
            # Only the query is taken: a registry shall not lead us elsewhere with our login.
            path = "tags/list?" + urllib.parse.urlsplit(following.group(1)).query
        return tuple(sorted(found))

    def get(self, path: str, what: str, accept: str = "*/*") -> Answer:
        """An answer with status 200. NotFound, Denied, Unavailable."""
        answer = self._ask("GET", path, {"Accept": accept}, None, "pull")
        if answer.status != 200:
            raise self._refused(answer, what)
        return answer

    def _fallback(self, digest: Digest) -> tuple[Descriptor, ...]:
        try:
            found = self.manifest(fallback_tag(digest)).parse()
        except errors.NotFound:
            return ()
        return found.manifests if isinstance(found, Index) else ()

    # ------------------------------------------------------------ writing

    def upload(self, one: Descriptor, data: bytes) -> None:
        with self._ask("HEAD", f"blobs/{one.digest}", {}, None, "pull,push") as head:
            if head.status == 200:
                return
        with self._ask("POST", "blobs/uploads/", {"Content-Length": "0"}, b"", "pull,push") as begun:
            location = begun.headers.get("location", "")
            if begun.status != 202 or not location:
                raise self._refused(begun, "the upload")
        url = urllib.parse.urljoin(begun.url, location)
        url += ("&" if urllib.parse.urlsplit(url).query else "?") + urllib.parse.urlencode({"digest": one.digest})
        headers = {"Content-Type": "application/octet-stream"}
        if host_of(url) == host_of(begun.url):
            headers |= self._authorization
        with self._http.request("PUT", url, headers, data) as done:
            if done.status != 201:
                raise self._refused(done, "the upload")

    def put_manifest(self, data: bytes, media_type: str, which: Tag | Digest) -> Mapping[str, str]:
        with self._ask("PUT", f"manifests/{which}", {"Content-Type": media_type}, data, "pull,push") as done:
            if done.status != 201:
                raise self._refused(done, f"the manifest {which}")
            return done.headers

    def add_referrer(self, subject: Digest, entry: Descriptor) -> None:
        there = tuple(each for each in self._fallback(subject) if each.digest != entry.digest)
        index = Index(media_type=manifest.OCI_INDEX, manifests=(*there, entry))
        self.put_manifest(manifest.pack(index), manifest.OCI_INDEX, fallback_tag(subject))

    # ------------------------------------------------------------ asking

    def _ask(self, method: str, path: str, headers: Mapping[str, str], body: bytes | None, actions: str) -> Answer:
        """One request, again with a login when that is asked for."""
        answer = self._send(method, path, headers, body)
        if answer.status != 401:
            return answer
        asked = challenge.parse(answer.headers.get("www-authenticate", ""))
        answer.raw.close()
        if asked is None:
            raise challenge.denied(self.endpoint.registry, self._login, "it answered 401")
        if asked.scheme == "bearer":
            scope = f"repository:{self.endpoint.repository}:{actions}"
            given = challenge.token(self._http, asked, scope, self._login, answer.url)
            self._authorization = {"Authorization": f"Bearer {given}"}
        elif self._login is not None:
            self._authorization = {"Authorization": challenge.basic(self._login)}
        else:
            raise challenge.denied(self.endpoint.registry, None, "it answered 401")
        return self._send(method, path, headers, body)

    def _send(self, method: str, path: str, headers: Mapping[str, str], body: bytes | None) -> Answer:
        """TLS first; plain HTTP where it is allowed and the other side does not speak TLS."""
        every = {**headers, **self._authorization}
        try:
            answer = self._http.request(method, self._url(path), every, body)
        except errors.Unavailable as error:
            if self._settled or not self.endpoint.may_be_plain or not is_not_tls(error):
                raise
            self._scheme = "http"
            answer = self._http.request(method, self._url(path), every, body)
        self._settled = True
        return answer

    def _url(self, path: str) -> str:
        return f"{self._scheme}://{self.endpoint.host}/v2/{self.endpoint.repository}/{path}"

    def _refused(self, answer: Answer, what: str) -> errors.SkepError:
        """What a status other than the wanted one means."""
        answer.raw.close()
        registry, why = self.endpoint.registry, f"it answered {answer.status}"
        match answer.status:
            case 401 | 403:
                return challenge.denied(registry, self._login, why)
            case 404:
                return errors.NotFound(
                    f"{registry} has no {what}", why=why, do="check the name, the tag and the digest of the image"
                )
            case 429:
                wait = answer.headers.get("retry-after", "")
                return errors.Unavailable(
                    f"{registry} has had too many requests",
                    why=f"{why}, Retry-After {wait}" if wait else why,
                    do="try again later, log in, or use a mirror",
                )
            case status if status >= 500:
                return errors.Unavailable(f"{registry} has trouble of its own", why=why, do="try again later")
        return errors.Unavailable(f"{registry} does not deliver {what}", why=why, do="ask whoever runs the registry")

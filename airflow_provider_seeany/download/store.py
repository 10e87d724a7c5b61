"""
Writes files into an ``ObjectStoragePath``, each completely or not at all.

An object store makes an object when its upload is complete; on any other file system a file is written under another
name and then renamed. What a killed process left unfinished is deleted by the next one that writes into the folder.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Semaphore
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from fsspec.asyn import AsyncFileSystem
from fsspec.implementations.local import LocalFileSystem
from fsspec.spec import AbstractBufferedFile

from airflow_provider_seeany.api.text import sanitize
from airflow_provider_seeany.exceptions import SeeAnyConfigError

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import ObjectStoragePath
    from fsspec import AbstractFileSystem

MIN_PART = 5 * 1024 * 1024  # bytes: S3 takes no smaller part of an upload, and a larger one costs memory
MAX_PARTS = 9_000  # of one upload; S3 takes 10 000

MAX_UPLOADS = 2  # parts that are sent at once: each is in memory three times meanwhile, as clients copy it

_UNFINISHED = ".part"


class StoreError(Exception):
    """The storage refused something; the text says why."""


@contextmanager
def _naming_store() -> Iterator[None]:
    """Turn an error of a file system, which may be of any type, into a :class:`StoreError`."""
    try:
        yield
    except StoreError:
        raise
    except Exception as error:
        raise StoreError(f"the storage failed: {type(error).__name__}: {sanitize(str(error))}") from error


class Writer(Protocol):
    """A file that is being written. Each of its methods but ``discard`` raises :class:`StoreError`."""

    def write(self, data: bytes) -> None:
        """Append bytes."""

    def commit(self) -> None:
        """Let the file appear under its name, in place of an earlier one."""

    def discard(self) -> None:
        """Leave nothing behind."""


class StoredFile(NamedTuple):
    """A file that exists."""

    name: str
    size: int


class Store:
    """
    The folder that a download goes to. Its methods block, and raise :class:`StoreError`.

    :param path: made before an event loop runs, as a file system may run one of its own to log in.
    :param max_file_size: the largest file that will be written.
    """

    def __init__(self, path: ObjectStoragePath, *, max_file_size: int) -> None:
        self._fs: AbstractFileSystem = path.fs
        self._root = path.path.rstrip("/")
        self._uploads = Semaphore(MAX_UPLOADS)
        self._part_size = max(MIN_PART, -(-max_file_size // MAX_PARTS))

    def url(self, *names: str) -> str:
        """Return the URL of a file, without the connection's id."""
        url: str = self._fs.unstrip_protocol(self._path(names))
        return url

    @_naming_store()
    def files(self, folder: str) -> list[StoredFile]:
        """Return the files in a folder; none if there is no such folder."""
        path = self._path((folder,))
        self._fs.invalidate_cache(path)
        try:
            found = self._fs.ls(path, detail=True)
        except FileNotFoundError:
            return []
        return [StoredFile(_name(each), each["size"] or 0) for each in found if each["type"] == "file"]

    @_naming_store()
    def read(self, *names: str) -> bytes | None:
        """Return the content of a small file; ``None`` if it does not exist."""
        try:
            content: bytes = self._fs.cat_file(self._path(names))
        except FileNotFoundError:
            return None
        return content

    @_naming_store()
    def sha256(self, *names: str) -> str:
        """Read a file for its checksum, in hexadecimal."""
        checksum = hashlib.sha256()
        with self._fs.open(self._path(names), "rb", block_size=MIN_PART) as file:
            while chunk := file.read(MIN_PART):
                checksum.update(chunk)
        return checksum.hexdigest()

    @_naming_store()
    def writer(self, *names: str) -> Writer:
        """Begin to write a file."""
        path = self._path(names)
        if isinstance(self._fs, LocalFileSystem):
            return _LocalWriter(path)
        if isinstance(self._fs, AsyncFileSystem):
            return _ObjectWriter(self._fs, path, part_size=self._part_size, uploads=self._uploads)
        return _RenamingWriter(self._fs, path, part_size=self._part_size)

    @_naming_store()
    def write(self, data: bytes, *names: str) -> None:
        """Write a small file."""
        writer = self.writer(*names)
        try:
            writer.write(data)
            writer.commit()
        except BaseException:
            writer.discard()
            raise

    @_naming_store()
    def delete(self, *names: str) -> None:
        """Delete a file, if it exists."""
        with suppress(FileNotFoundError):
            self._fs.rm_file(self._path(names))

    @_naming_store()
    def sweep(self, folder: str) -> None:
        """Delete what a killed process left unfinished in a folder. Only one process at a time writes there."""
        for file in self.files(folder):
            if file.name.startswith(".") and file.name.endswith(_UNFINISHED):
                self.delete(folder, file.name)
        if hasattr(self._fs, "list_multipart_uploads"):
            # Writing does not need the permission to list uploads.
            with suppress(Exception):
                _abort_uploads(self._fs, f"{self._path((folder,))}/")

    def _path(self, names: tuple[str, ...]) -> str:
        return "/".join((self._root, *names))


def make_store(path: str, *, conn_id: str | None, max_file_size: int) -> Store:
    """
    Return the store for a path.

    :raises SeeAnyConfigError: if there is no file system for it, or it cannot log in.
    """
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    if not isinstance(path, str) or not path.strip():
        raise SeeAnyConfigError(f"path must be a folder such as s3://bucket/videos/; got {path!r}")
    try:
        return Store(ObjectStoragePath(path.strip(), conn_id=conn_id), max_file_size=max_file_size)
    except (ValueError, ImportError) as error:
        raise SeeAnyConfigError(
            f"The path {path!r} cannot be used: {error}. Install the Airflow provider of its storage, such as "
            "apache-airflow-providers-amazon[s3fs] for s3://"
        ) from None


class _LocalWriter:
    def __init__(self, path: str) -> None:
        self._path, self._part = path, _unfinished(path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        self._file = open(self._part, "xb", buffering=0)  # noqa: SIM115  closed at its end

    @_naming_store()
    def write(self, data: bytes) -> None:
        left = memoryview(data)
        while left:
            left = left[self._file.write(left) :]

    @_naming_store()
    def commit(self) -> None:
        # So that not even a power failure leaves the name with half of the content.
        os.fsync(self._file.fileno())
        self._file.close()
        os.replace(self._part, self._path)

    def discard(self) -> None:
        self._file.close()
        with suppress(FileNotFoundError):
            os.unlink(self._part)


class _ObjectWriter:
    """Keeps a part in memory until it is complete; an object with less than one takes a single request."""

    def __init__(self, fs: AsyncFileSystem, path: str, *, part_size: int, uploads: Semaphore) -> None:
        self._fs, self._path, self._part_size, self._uploads = fs, path, part_size, uploads
        self._part: list[bytes] = []
        self._upload: Any = None

    @_naming_store()
    def write(self, data: bytes) -> None:
        self._part.append(data)
        if sum(map(len, self._part)) >= self._part_size:
            if self._upload is None:
                self._upload = self._begin()
            self._send_part()

    def _send_part(self) -> None:
        with self._uploads:
            # One by one: the upload copies them.
            while self._part:
                self._upload.write(self._part.pop(0))

    @_naming_store()
    def commit(self) -> None:
        if self._upload is None:
            self._fs.pipe_file(self._path, b"".join(self._part))
            return
        self._send_part()
        if not isinstance(self._upload, _RenamingWriter):
            with self._uploads:
                self._upload.close()
        self._upload.commit()
        self._upload = None

    def discard(self) -> None:
        upload, self._upload = self._upload, None
        if upload is not None:
            # What cannot be aborted now is swept by the next download.
            with suppress(Exception):
                upload.discard()
            # Else its __del__ would try to finish it.
            upload.closed = True

    def _begin(self) -> Any:
        file = self._fs.open(self._path, "wb", block_size=self._part_size, autocommit=False)
        if type(file).commit is not AbstractBufferedFile.commit:
            return file
        # This store makes the object when its file is closed, even in an exception.
        file.closed = True
        return _RenamingWriter(self._fs, self._path, part_size=self._part_size)


class _RenamingWriter:
    closed = False

    def __init__(self, fs: AbstractFileSystem, path: str, *, part_size: int) -> None:
        self._fs, self._path, self._part = fs, path, _unfinished(path)
        fs.makedirs(fs._parent(path), exist_ok=True)
        self._file = fs.open(self._part, "wb", block_size=part_size)

    @_naming_store()
    def write(self, data: bytes) -> None:
        self._file.write(data)

    @_naming_store()
    def commit(self) -> None:
        self._file.close()
        # Not every file system renames to a name that is taken.
        with suppress(FileNotFoundError):
            self._fs.rm_file(self._path)
        self._fs.mv(self._part, self._path)

    def discard(self) -> None:
        with suppress(Exception):
            self._file.close()
        with suppress(FileNotFoundError):
            self._fs.rm_file(self._part)


def _unfinished(path: str) -> str:
    """Return a new name beside a path; never the same, as a killed try may be still running."""
    folder, _, name = path.rpartition("/")
    return f"{folder}/.{name}.{secrets.token_hex(4)}{_UNFINISHED}"


def _name(info: dict[str, Any]) -> str:
    return str(info["name"]).rpartition("/")[2]


def _abort_uploads(fs: Any, prefix: str) -> None:
    """Abort the unfinished uploads below a prefix, which are invisible but paid for."""
    bucket, key, _ = fs.split_path(prefix)
    for upload in fs.call_s3("list_multipart_uploads", Bucket=bucket, Prefix=key).get("Uploads") or []:
        fs.call_s3("abort_multipart_upload", Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])

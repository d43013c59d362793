"""Google Cloud Storage through gcsfs: everything that the package uses of it beyond fsspec's interface."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from airflow_provider.altcraft.targets.object_storage.stores.fsspec import FsspecStore, StagedObject

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider.altcraft.targets.object_storage.order import Stamp

_STAMP = "altcraft-pull"
"""The key of an object's metadata with the stamp of its pull."""


class StagedResumable(StagedObject):
    """A resumable upload."""

    def _stamp_options(self, stamp: Stamp) -> dict[str, Any]:
        return {"metadata": {_STAMP: str(stamp)}}

    def _is_safe(self, file: type) -> bool:
        # Files in zonal buckets are visible while they are written.
        return super()._is_safe(file) and all(base.__name__ != "ZonalFile" for base in file.__mro__)

    def _stored_stamp(self) -> str | None:
        try:
            self._fs.invalidate_cache()
            found = self._fs.info(self._path).get("metadata") or {}
        except (FileNotFoundError, PermissionError):  # the right to write may come without the right to read
            return None
        stamp: str | None = found.get(_STAMP)
        return stamp

    def _publish(self) -> None:
        try:
            super()._publish()
        except OSError as error:
            if not _is_forbidden(error):
                raise
            # Not chained: its text has the upload's address, which is enough to write to it.
            raise PermissionError(
                f"{self.uri}: the connection has no right to replace the object: Google takes storage.objects.delete "
                f"for it, in addition to storage.objects.create"
            ) from None


class GcsStore(FsspecStore):
    """A bucket. It drops unfinished uploads after a week, and does not list them."""

    staged = StagedResumable
    has_conditions = True

    @classmethod
    @contextlib.contextmanager
    def translated_errors(cls, uri: str) -> Iterator[None]:
        """Raise errors of gcsfs with the URI and the cause."""
        with super().translated_errors(uri):
            try:
                yield
            except OSError as error:
                if not _is_forbidden(error):
                    raise
                raise PermissionError(
                    f"Google takes storage.objects.create and, to replace or remove what is there, "
                    f"storage.objects.delete: {error}"
                ) from error

    def copy(self, source: str, name: str) -> None:
        """Copy within the store, which has finished when its call returns."""
        self._fs.cp_file(self._path + source, self._path + name)

    def _put_if(self, name: str, data: bytes, version: object | None) -> None:
        self._fs.call(
            "POST",
            f"{self._fs._location}/upload/storage/v1/b/{{}}/o",
            self._bucket,
            name=self._key + name,
            uploadType="media",
            ifGenerationMatch=version or "0",
            headers={"Content-Type": "application/octet-stream"},
            data=data,
        )


def _is_forbidden(error: OSError) -> bool:
    """Return whether a right is missing, for which gcsfs has no class of error."""
    return str(error).startswith("Forbidden")

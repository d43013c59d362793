"""Google Cloud Storage, by gcsfs: all that the package uses of it beyond what fsspec promises."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from airflow_provider.altcraft.targets.object_storage.stores.fsspec import FsspecStore, StagedObject

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider.altcraft.targets.object_storage.order import Stamp

_STAMP = "altcraft-pull"
"""The name of an object's metadata that has its pull's stamp."""


class StagedResumable(StagedObject):
    """A resumable upload."""

    def _bearing(self, stamp: Stamp) -> dict[str, Any]:
        return {"metadata": {_STAMP: str(stamp)}}

    def _is_safe(self, file: type) -> bool:
        # Google's zonal buckets show a file while it grows.
        return super()._is_safe(file) and all(base.__name__ != "ZonalFile" for base in file.__mro__)

    def _standing(self) -> str | None:
        try:
            self._fs.invalidate_cache()
            found = self._fs.info(self._path).get("metadata") or {}
        except (FileNotFoundError, PermissionError):  # who may write need not be one who may read
            return None
        stamp: str | None = found.get(_STAMP)
        return stamp

    def _publish(self) -> None:
        try:
            super()._publish()
        except OSError as error:
            if not _is_forbidden(error):
                raise
            # Its text has the upload's address, which alone lets write.
            raise PermissionError(
                f"{self.uri}: the connection has no right to replace the object: Google takes storage.objects.delete "
                f"for it, in addition to storage.objects.create"
            ) from None


class GcsStore(FsspecStore):
    """A bucket. Its unfinished uploads are dropped by itself after a week; it lists none."""

    staged = StagedResumable
    has_conditions = True

    @contextlib.contextmanager
    def saying(self, uri: str) -> Iterator[None]:
        """Say in words what is wrong with a place."""
        with super().saying(uri):
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
        """Have the store copy, which is done when it returns."""
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
    """Whether a right is missing, for which gcsfs has no class of error, only a word."""
    return str(error).startswith("Forbidden")

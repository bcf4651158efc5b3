"""Photos in an S3-compatible bucket. Imported where PHOTO_STORAGE=s3 alone: boto3 is large."""

from typing import Any

from botocore.config import Config
from storages.backends import s3

CONNECT_SECONDS, READ_SECONDS, ATTEMPTS = 3, 5, 2


class S3Storage(s3.S3Storage):
    """Private objects under unguessable names; each request is bounded in time."""

    def get_default_settings(self) -> dict[str, Any]:
        # Checksums of newer clients and host names with buckets in them are Amazon's alone.
        config = Config(
            signature_version="s3v4",
            connect_timeout=CONNECT_SECONDS,
            read_timeout=READ_SECONDS,
            retries={"total_max_attempts": ATTEMPTS},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            s3={"addressing_style": "path"},
        )
        return {
            **super().get_default_settings(),
            "client_config": config,
            "default_acl": None,
            "file_overwrite": True,  # names never meet; asking first would be another request
        }

"""Which image store an installation has: the one place that knows both kinds, a folder and an S3 bucket."""

from config.settings import Settings
from worker.images.store import ImageStore


def open_store(settings: Settings) -> ImageStore:
    """The store that DARKROOM_IMAGES_URL names. Opens no connection."""
    if folder := settings.images_folder:
        from worker.images.folder import LocalImages

        return LocalImages(folder)
    # imported here: an installation with a folder does not load an S3 client
    from worker.images.bucket import S3Images

    return S3Images(settings)

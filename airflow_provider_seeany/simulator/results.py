"""The result of a simulated task: the URLs of its files, their sizes and their price, the same in both dialects."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

from .scenario import Scenario

# What files/output.mp4 and the images are; files/make.sh made them.
DURATION = 5
RESOLUTION = "720p"
IMAGE_SIZE = 640

# In hundredths of a yuan, so that a cost never has more than two decimals. The video's price is that of the
# platform's example (5 s for 0.70 CNY), the image's is invented.
_VIDEO_SECOND_PRICE = 14
_IMAGE_PRICE = 20

BLOCKED = "生成内容违反内容安全策略"
"""The message of a task that failed; the platform's example has it."""


@dataclass(frozen=True, slots=True)
class Results:
    """The files of a task, below `files_url` under its own id, so that no two tasks share a URL."""

    scenario: Scenario
    files_url: str

    @property
    def video_url(self) -> str:
        """The URL of a video."""
        return self._url("output.mp4")

    @property
    def thumbnail_url(self) -> str:
        """The URL of a picture of the video."""
        return self._url("thumb.jpg")

    @property
    def image_urls(self) -> list[str]:
        """The URLs of the images that did not fail."""
        return [self._url(f"image-{number}.jpg") for number in range(1, self.scenario.good_images + 1)]

    @property
    def cost(self) -> float:
        """What it cost, in yuan: nothing for an image that failed."""
        scenario = self.scenario
        return (_IMAGE_PRICE * scenario.good_images if scenario.is_set else _VIDEO_SECOND_PRICE * DURATION) / 100

    @property
    def partial_message(self) -> str:
        """The message of a set of which only a part succeeded; invented."""
        return f"部分图片生成失败: {self.scenario.images} 张中成功 {self.scenario.good_images} 张"

    def _url(self, name: str) -> str:
        return f"{self.files_url}/{quote(self.scenario.task_id, safe='')}/{name}"

"""The disk cache: arrays found again between jobs, its size limit, and damaged files."""

import os

import numpy as np

from gpu_server.engines.void.cache import ContentCache, content_key

LATENTS = np.arange(24, dtype=np.float32).reshape(1, 2, 3, 4)


def test_an_array_comes_back_as_it_was(tmp_path):
    ContentCache(tmp_path / "cache").put("a", LATENTS)
    found = ContentCache(tmp_path / "cache").get("a")
    assert found is not None and found.dtype == np.float32 and np.array_equal(found, LATENTS)


def test_a_missing_key_gives_none(tmp_path):
    assert ContentCache(tmp_path / "not there").get("a") is None


def test_a_damaged_file_counts_as_missing_and_is_deleted(tmp_path):
    cache = ContentCache(tmp_path)
    cache.put("a", LATENTS)
    path = next(tmp_path.iterdir())
    path.write_bytes(path.read_bytes()[:100])
    assert cache.get("a") is None
    assert list(tmp_path.iterdir()) == []


def test_the_least_recently_used_arrays_are_deleted_first(tmp_path):
    cache = ContentCache(tmp_path, limit_bytes=3 * 270)
    for age, key in enumerate("abc"):
        cache.put(key, LATENTS)
        os.utime(tmp_path / f"{key}.npy", (age, age))
    cache.get("a")
    cache.put("d", LATENTS)
    assert [key for key in "abcd" if cache.get(key) is not None] == ["a", "c", "d"]


def test_a_folder_that_cannot_be_written_stores_nothing_and_raises_nothing(tmp_path):
    (tmp_path / "file").write_text("no folder")
    cache = ContentCache(tmp_path / "file" / "cache")
    cache.put("a", LATENTS)
    assert cache.get("a") is None


def test_keys_differ_by_type_shape_and_bytes():
    keys = {
        content_key(LATENTS),
        content_key(LATENTS.astype(np.float64)),
        content_key(LATENTS.reshape(-1)),
        content_key(LATENTS + 1),
        content_key(LATENTS, LATENTS),
        content_key("1"),
        content_key(1),
    }
    assert len(keys) == 7

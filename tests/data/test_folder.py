import warnings

import numpy as np
import pytest
import torch
from PIL import Image

from equipoise.data import folder as folder_module
from equipoise.data import open_source
from equipoise.errors import DataError


def picture(path, size=(20, 12), color=(200, 30, 90), **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(0).integers(0, 30, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(noise + np.array(color, dtype=np.uint8)).save(path, **options)
    return path


def read(root, resolution=8, **settings):
    return open_source("folder", path=str(root), resolution=resolution, **settings)


def refused(root, **settings):
    with pytest.raises(DataError) as caught:
        read(root, **settings)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_all_formats_and_subfolders_are_read_in_order_of_path(tmp_path):
    colors = {"b/1.png": 10, "a.PNG": 60, "b/0.bmp": 110, "c.jpeg": 160, "d.webp": 210, "c.jpg": 35}
    for name, level in colors.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (9, 9), (level, level, level)).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "._a.png").write_bytes(b"a file manager's leftover")
    source = read(tmp_path)
    assert (source.size, source.shape) == (6, (3, 8, 8))
    levels = ((source.reals(6, 0).mean(dim=(1, 2, 3)) + 1) * 127.5).round().tolist()
    expected = [colors[name] for name in sorted(colors)]
    assert levels == pytest.approx(expected, abs=2)  # jpeg and webp lose a little


def test_pixels_are_the_central_square_resized(tmp_path):
    wide = np.zeros((8, 24, 3), dtype=np.uint8)
    wide[:, 8:16] = (255, 128, 0)
    for name in "ab":
        Image.fromarray(wide).save(tmp_path / f"{name}.png")
    image = read(tmp_path).reals(2, 0)[0]
    for channel, level in enumerate((255, 128, 0)):
        assert torch.allclose(image[channel], torch.full((8, 8), level / 127.5 - 1), atol=1e-6)


def test_grey_has_one_channel(tmp_path):
    picture(tmp_path / "a.png")
    picture(tmp_path / "b.png")
    assert read(tmp_path, channels=1).shape == (1, 8, 8)


def test_transparent_pixels_are_white_whatever_colour_they_hide(tmp_path):
    Image.new("RGBA", (8, 8), (255, 0, 0, 0)).save(tmp_path / "a.png")
    Image.new("LA", (8, 8), (0, 0)).save(tmp_path / "b.png")
    palette = Image.new("P", (8, 8), 0)
    palette.putpalette([0, 0, 0] * 256)
    palette.save(tmp_path / "c.png", transparency=b"\x00" + b"\xff" * 255)
    for channels in (1, 3):
        assert torch.all(read(tmp_path, channels=channels).reals(3, 0) == 1)


def test_photos_are_turned_upright(tmp_path):
    upright = np.zeros((8, 8), dtype=np.uint8)
    upright[:4] = 255
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    Image.fromarray(upright[::-1].copy()).save(tmp_path / "a.png", exif=exif)
    Image.fromarray(upright).save(tmp_path / "b.png")
    turned, plain = read(tmp_path, channels=1).reals(2, 0)
    assert torch.equal(turned, plain)


@pytest.mark.parametrize(
    ("name", "message"),
    [("absent", "no such folder"), ("file.png", "is a file; give the folder")],
)
def test_a_path_that_is_no_folder_is_refused(tmp_path, name, message):
    picture(tmp_path / "file.png")
    assert message in refused(tmp_path / name)
    assert repr(str(tmp_path / name)) in refused(tmp_path / name)


def test_an_empty_folder_is_refused(tmp_path):
    (tmp_path / "inner").mkdir()
    assert "the folder is empty" in refused(tmp_path)


def test_a_folder_without_images_says_what_it_holds(tmp_path):
    for i in range(12):
        (tmp_path / f"{i}.txt").write_text("")
    (tmp_path / "README").write_text("")
    assert "13 files, none an image: .txt x 12, no suffix x 1" in refused(tmp_path)


def test_one_image_is_not_enough(tmp_path):
    picture(tmp_path / "only.png")
    assert "holds 1 image (only.png); training needs at least 2" in refused(tmp_path)


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "webp"])
@pytest.mark.parametrize("kept", [0.0, 0.02, 0.5, 0.95])
def test_a_truncated_image_is_named(tmp_path, suffix, kept):
    picture(tmp_path / "good.png")
    bad = picture(tmp_path / "inner" / f"bad.{suffix}", size=(64, 64))
    whole = bad.read_bytes()
    bad.write_bytes(whole[: int(kept * len(whole))])
    assert f"image {bad} is damaged or no image" in refused(tmp_path)


def test_flipped_bits_in_a_png_are_noticed(tmp_path):
    picture(tmp_path / "good.png")
    bad = picture(tmp_path / "bad.png", size=(64, 64))
    data = bytearray(bad.read_bytes())
    for position in range(len(data) // 2, len(data) // 2 + 40):
        data[position] ^= 0xFF
    bad.write_bytes(data)
    assert f"image {bad} is damaged" in refused(tmp_path)


def test_a_text_file_that_calls_itself_an_image_is_named(tmp_path):
    picture(tmp_path / "good.png")
    (tmp_path / "page.jpg").write_text("<html>not found</html>")
    assert "page.jpg is damaged or no image" in refused(tmp_path)


@pytest.mark.parametrize("limit", [300, 100])  # over once: Pillow warns; over twice: it raises
def test_a_decompression_bomb_is_refused(tmp_path, monkeypatch, limit):
    for name in "ab":
        picture(tmp_path / f"{name}.png", size=(20, 20))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as in a program that silences warnings
        assert f"has more than {limit} pixels" in refused(tmp_path)


def test_sixteen_bits_are_refused_rather_than_clipped_to_white(tmp_path):
    picture(tmp_path / "good.png")
    deep = np.full((8, 8), 30000, dtype=np.uint16)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    message = refused(tmp_path)
    assert "deep.png has pixels of mode" in message
    assert "convert it to 8 bits" in message


def test_more_than_memory_allows_is_refused_before_reading(tmp_path, monkeypatch):
    (tmp_path / "a.png").write_bytes(b"never opened")
    (tmp_path / "b.png").write_bytes(b"never opened")
    monkeypatch.setattr(folder_module, "LARGEST", 2 * 3 * 8 * 8 * 4 - 1)
    assert "2 images of 3 x 8 x 8 need" in refused(tmp_path)


def test_wrong_settings_are_refused(tmp_path):
    assert "data.resolution = None" in refused(tmp_path, resolution=None)
    assert "data.channels = 4: must be 1 (grey) or 3 (RGB)" in refused(tmp_path, channels=4)
    with pytest.raises(DataError, match=r"data\.path is not set"):
        open_source("folder", resolution=8)


def test_the_same_folder_gives_the_same_source(tmp_path):
    for name in ("z.png", "a.png", "m.png"):
        picture(tmp_path / name, color=(ord(name[0]), 0, 0))
    assert torch.equal(read(tmp_path).batch(1, 0, 7), read(tmp_path).batch(1, 0, 7))

"""Images are read as a viewer shows them: as Pillow alone reads them."""

import io
import struct
import zlib

import numpy as np
import pytest
from data_sets import colour, exif_of, load, turned
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageColor, ImageOps

from opp_darts_jax.config import DataConfig
from opp_darts_jax.data import decode
from opp_darts_jax.data.decode import Encoded, Selection
from opp_darts_jax.data.viewing import CUT, FIRST_FRAME, INKS, LAID, TURNED
from opp_darts_jax.errors import DataError, UserError

FORMATS = {
  'PNG': ('1', 'L', 'LA', 'P', 'RGB', 'RGBA'),
  'JPEG': ('L', 'RGB', 'CMYK'),
  'WEBP': ('RGB', 'RGBA'),
  'TIFF': ('1', 'L', 'LA', 'P', 'PA', 'RGB', 'RGBA', 'CMYK', 'YCbCr'),
  'GIF': ('P',),
  'BMP': ('1', 'L', 'P', 'RGB'),
}
ORIENTED = ('PNG', 'JPEG', 'WEBP', 'TIFF')


def noise(height, width, mode, seed):
  pixels = np.random.default_rng(seed).integers(
    0, 256, (height, width, 4), np.uint8
  )
  rgba = Image.fromarray(pixels)
  if mode == 'PA':
    return rgba.convert('P').convert('PA')
  return rgba if mode == 'RGBA' else rgba.convert('RGB').convert(mode)


def stored(image, file_format, **fields):
  buffer = io.BytesIO()
  image.save(buffer, file_format, **fields)
  return Encoded(buffer.getvalue(), 'noise', 0)


def read(image, size=0, background='white', **fields):
  return decode.decode(image, size, background, **fields)


def shown(image, size, background):
  """What Pillow alone makes of it."""
  seen = ImageOps.exif_transpose(Image.open(io.BytesIO(image.file)))
  if 'A' in seen.mode or 'transparency' in seen.info:
    canvas = Image.new('RGBA', seen.size, background)
    seen = Image.alpha_composite(canvas, seen.convert('RGBA'))
  seen = seen.convert('RGB')
  if size:
    seen = seen.resize((size, size), Image.Resampling.BILINEAR)
  return np.asarray(seen)


@st.composite
def files(draw):
  """One file of any kind."""
  file_format = draw(st.sampled_from(list(FORMATS)))
  mode = draw(st.sampled_from(FORMATS[file_format]))
  fields = {}
  if file_format in ORIENTED:
    fields['exif'] = exif_of(draw(st.integers(0, 9)))
  if file_format == 'WEBP':
    fields['lossless'] = True
  if file_format in ('PNG', 'GIF') and mode in ('L', 'P', 'RGB'):
    clear = draw(st.one_of(st.none(), st.integers(0, 255)))
    if clear is not None:
      fields['transparency'] = (clear,) * 3 if mode == 'RGB' else clear
  height, width = draw(st.integers(2, 7)), draw(st.integers(2, 7))
  image = noise(height, width, mode, draw(st.integers(0, 99)))
  return stored(image, file_format, **fields)


@given(
  image=files(),
  size=st.sampled_from([0, 4, 9]),
  background=st.sampled_from(['white', 'black', '#1080f0']),
)
def test_any_image_is_read_as_pillow_shows_it(image, size, background):
  own = read(image, size, background)
  want = shown(image, size, background)
  # A grey image stays grey; the channels of its colours are equal.
  np.testing.assert_array_equal(np.broadcast_to(own.pixels, want.shape), want)
  in_colour = read(image, size, background, channels=3).pixels
  np.testing.assert_array_equal(in_colour, want)
  part = Selection([image], np.arange(1), 3, size or 5, False, background)
  np.testing.assert_array_equal(
    part.cut_centre(0)[0], shown(image, size or 5, background)
  )


@pytest.mark.parametrize('file_format', ORIENTED)
@pytest.mark.parametrize('orientation', range(1, 9))
def test_all_orientations_are_turned_upright(orientation, file_format):
  upright = np.repeat(np.arange(0, 240, 10, dtype=np.uint8).reshape(4, 6), 3)
  upright = upright.reshape(4, 6, 3)
  fields = {'quality': 100} if file_format == 'JPEG' else {}
  fields |= {'lossless': True} if file_format == 'WEBP' else {}
  image = stored(
    Image.fromarray(turned(upright, orientation)),
    file_format,
    exif=exif_of(orientation),
    **fields,
  )
  own = read(image)
  np.testing.assert_allclose(own.pixels, upright, atol=3)
  assert own.stored == (4, 6)
  assert own.changes == ((TURNED,) if orientation > 1 else ())
  # What is cut is cut from the upright image, of the upright size.
  part, plain = (
    Selection([one], np.arange(1), 3, 3, True, 'white')
    for one in (image, stored(Image.fromarray(upright), 'PNG'))
  )
  cut, _ = part.cut_centre(0)
  np.testing.assert_allclose(cut, plain.cut_centre(0)[0], atol=3)
  cut, _ = part.cut_at_random(0, np.random.default_rng(0))
  want, _ = plain.cut_at_random(0, np.random.default_rng(0))
  np.testing.assert_allclose(cut, want, atol=3)


@pytest.mark.filterwarnings('ignore:Corrupt EXIF')
@pytest.mark.parametrize('file_format', ['PNG', 'JPEG', 'WEBP'])
def test_exif_that_makes_no_sense_turns_nothing(file_format):
  pixels = colour(90, (4, 6))
  image = stored(
    Image.fromarray(pixels), file_format, exif=b'Exif\0\0II*\0\xff\xff\xff\xff'
  )
  own = read(image)
  np.testing.assert_allclose(own.pixels, pixels, atol=3)
  assert own.changes == ()


@pytest.mark.parametrize('tag', [0x0115, 0x011D])
def test_exif_that_cannot_be_written_again_still_turns(tag):
  exif = exif_of(3)
  exif[0x011A] = 72.0  # a resolution, of which a tag is made that is none
  data = exif.tobytes().replace(b'\x01\x1a', tag.to_bytes(2, 'big'))
  upright = np.arange(0, 240, 10, dtype=np.uint8).reshape(4, 6)
  image = stored(Image.fromarray(turned(upright, 3)), 'PNG', exif=data)
  with pytest.raises((AttributeError, struct.error)):
    shown(image, 0, 'white')
  own = read(image)
  np.testing.assert_array_equal(own.pixels[..., 0], upright)
  assert own.changes == (TURNED,)


def black_shape(height=4, width=4):
  """Black everywhere; the shape is in the left half's alpha alone."""
  pixels = np.zeros((height, width, 4), np.uint8)
  pixels[:, : width // 2, 3] = 255
  return Image.fromarray(pixels)


@pytest.mark.parametrize('mode', ['RGBA', 'LA', 'PA', 'P'])
@pytest.mark.parametrize(
  ('background', 'level'), [('white', 255), ('#808080', 128), ('black', 0)]
)
def test_transparent_images_are_laid_on_the_background(mode, background, level):
  image = black_shape()
  if mode in ('P', 'PA'):
    image = image.quantize() if mode == 'P' else Image.merge(
      'PA', (image.convert('L'), image.getchannel('A'))
    )  # fmt: skip
    file_format = 'PNG' if mode == 'P' else 'TIFF'
  else:
    image, file_format = image.convert(mode), 'PNG'
  own = read(stored(image, file_format), background=background)
  want = np.repeat([0, 0, level, level], own.pixels.shape[-1])
  np.testing.assert_array_equal(own.pixels[0].ravel(), want)
  assert own.pixels.shape[-1] == (1 if mode == 'LA' else 3)
  assert own.changes == (LAID.format(background),)


@pytest.mark.parametrize('mode', ['La', 'RGBa'])
def test_premultiplied_transparency_is_laid_down_too(mode):
  straight = {'La': 'LA', 'RGBa': 'RGBA'}[mode]
  image = noise(4, 4, 'RGBA', 0).convert(straight).convert(mode)
  seen, changes = decode.viewing.view(image, 'white')
  white = Image.new('RGBA', (4, 4), 'white')
  want = Image.alpha_composite(white, image.convert(straight).convert('RGBA'))
  np.testing.assert_array_equal(seen, want.convert(seen.mode))
  assert changes == (LAID.format('white'),)


def test_alpha_that_hides_nothing_is_not_told():
  image = Image.fromarray(colour(7)).convert('RGBA')
  own = read(stored(image, 'PNG'))
  np.testing.assert_array_equal(own.pixels, colour(7))
  assert own.changes == ()


def test_grey_on_a_coloured_background_is_colour():
  own = read(stored(black_shape().convert('LA'), 'PNG'), background='#0a141e')
  np.testing.assert_array_equal(own.pixels[0, 0], [0, 0, 0])
  np.testing.assert_array_equal(own.pixels[0, 3], [10, 20, 30])


def png_of(kind, *numbers):
  """A PNG of one pixel of 16 bits a number, which Pillow cannot write."""

  def chunk(kind, content):
    body = kind + content
    check = zlib.crc32(body)
    return struct.pack('>I', len(content)) + body + struct.pack('>I', check)

  head = struct.pack('>IIBBBBB', 1, 1, 16, kind, 0, 0, 0)
  row = b'\0' + struct.pack(f'>{len(numbers)}H', *numbers)
  parts = ((b'IHDR', head), (b'IDAT', zlib.compress(row)), (b'IEND', b''))
  content = b''.join(chunk(*part) for part in parts)
  return Encoded(b'\x89PNG\r\n\x1a\n' + content, 'deep', 0)


def test_grey_with_alpha_of_16_bits_is_refused():
  with pytest.raises(DataError, match=r'8 bits .*got deep in mode LA;16B\.'):
    read(png_of(4, 0x0707, 0xFFFF))


@pytest.mark.parametrize(
  ('kind', 'numbers'),
  [(2, (0x07FF, 0x08FF, 0x0900)), (6, (0x07FF, 0x08FF, 0x0900, 0xFFFF))],
  ids=['RGB', 'RGBA'],
)
def test_colour_of_16_bits_is_cut_and_told(kind, numbers):
  own = read(png_of(kind, *numbers))
  assert own.pixels.tolist() == [[[7, 8, 9]]]
  assert own.changes == (CUT,)


@pytest.mark.parametrize('file_format', ['JPEG', 'TIFF'])
def test_inks_are_told(file_format):
  assert read(stored(noise(4, 4, 'CMYK', 0), file_format)).changes == (INKS,)
  assert read(stored(noise(4, 4, 'RGB', 0), file_format)).changes == ()


@pytest.mark.parametrize('file_format', ['GIF', 'WEBP', 'PNG', 'TIFF'])
def test_the_first_of_several_frames_is_read(file_format):
  frames = [Image.fromarray(colour(level)) for level in (30, 200, 90)]
  fields = {'lossless': True} if file_format == 'WEBP' else {}
  image = stored(
    frames[0], file_format, save_all=True, append_images=frames[1:], **fields
  )
  own = read(image)
  np.testing.assert_array_equal(own.pixels, colour(30))
  assert own.changes == (FIRST_FRAME,)


def test_what_was_done_is_said_with_counts(tmp_path):
  for name in ('cat', 'dog'):
    (tmp_path / name).mkdir()
    for i in range(3):
      pixels = noise(6, 4 + i, 'RGB', i)
      pixels.save(tmp_path / name / f'{i}.png')
    noise(5, 5, 'L', 0).save(tmp_path / name / 'grey.png')
    black_shape(5, 5).save(tmp_path / name / 'shape.png')
  noise(5, 5, 'RGB', 0).save(tmp_path / 'cat' / 'turned.jpg', exif=exif_of(3))
  own = load(tmp_path, image_size=5)
  assert own.notes == (
    '2 images in grey made colour',
    '1 image turned upright (EXIF orientation)',
    '2 images with transparency laid on white',
    '6 images resized from 3 sizes to 5x5',
  )
  dark = load(tmp_path, image_size=5, background='black')
  assert dark.notes[2] == '2 images with transparency laid on black'


def test_turned_and_upright_files_are_of_one_size(tmp_path):
  upright = np.asarray(noise(5, 7, 'RGB', 0))
  for name in ('cat', 'dog'):
    (tmp_path / name).mkdir()
    for orientation in (1, 3, 6, 8):
      Image.fromarray(turned(upright, orientation)).save(
        tmp_path / name / f'{orientation}.png', exif=exif_of(orientation)
      )
  with pytest.raises(DataError, match='got 5 high and 7 wide'):
    load(tmp_path)
  own = load(tmp_path, image_size=7)
  want = Image.fromarray(upright).resize((7, 7), Image.Resampling.BILINEAR)
  for split in (own.train, own.test):
    np.testing.assert_array_equal(
      split.images, [np.asarray(want)] * len(split.labels)
    )


@pytest.mark.parametrize('colour', ['nocolour', '#12', '#00000080', ''])
def test_a_background_is_an_opaque_colour(colour):
  with pytest.raises(UserError, match=r'data\.background must be an opaque'):
    DataConfig(background=colour)
  assert ImageColor.getrgb(DataConfig(background='rgb(1, 2, 3)').background)

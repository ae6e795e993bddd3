"""Makes a folder of images: an example of own data, with nothing to download.

python experiments/photos.py --out=photos

Cuts the two photographs that come with scikit-learn, a temple and a flower,
into squares: photos/china/*.png and photos/flower/*.png.
"""

import pathlib

from absl import app, flags
from PIL import Image
from sklearn import datasets

_OUT = flags.DEFINE_string('out', 'photos', 'Folder for the class folders.')
_SIDE = flags.DEFINE_integer('side', 24, 'Of a square, in pixels.')


def main(argv: list[str]) -> None:
  """Writes every whole square of both photographs."""
  del argv
  photos = datasets.load_sample_images()
  side = _SIDE.value
  for name, pixels in zip(photos.filenames, photos.images):
    folder = pathlib.Path(_OUT.value, pathlib.Path(name).stem)
    folder.mkdir(parents=True, exist_ok=True)
    height, width = (n // side * side for n in pixels.shape[:2])
    for top in range(0, height, side):
      for left in range(0, width, side):
        square = pixels[top : top + side, left : left + side]
        Image.fromarray(square).save(folder / f'{top:03}_{left:03}.png')


if __name__ == '__main__':
  app.run(main)

"""The picture of a test: which classes are taken for which."""

from collections.abc import Sequence

import numpy as np
from matplotlib import figure

from opp_darts_jax.reporting import styles

# Beyond so many classes neither names nor numbers can be read.
_NAMED = 30
_NUMBERED = 20


def plot_confusion(
  confusion: Sequence[Sequence[int]], class_names: Sequence[str]
) -> figure.Figure:
  """Images by their class (rows) and by the one predicted (columns).

  Args:
    confusion: (K, K) counts.
    class_names: of the K classes.
  """
  counts = np.asarray(confusion)
  size = len(counts)
  # Shades are shares of a row: classes may differ in number of images.
  shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
  side = min(max(3.2, 1.6 + 0.38 * size), 12.0)
  fig = figure.Figure(figsize=(side, side), layout='constrained')
  ax = fig.subplots()
  ax.imshow(shares, cmap='Blues', vmin=0, vmax=1)
  if size <= _NAMED:
    names = list(map(styles.shown, class_names))
    ax.set_xticks(range(size), names, rotation=90)
    ax.set_yticks(range(size), names)
  if size <= _NUMBERED:
    for (row, column), count in np.ndenumerate(counts):
      if count:
        color = 'white' if shares[row, column] > 0.5 else 'black'
        ax.text(
          column,
          row,
          str(count),
          ha='center',
          va='center',
          color=color,
          fontsize=8,
        )
  ax.set_xlabel('predicted')
  ax.set_ylabel('class')
  return fig

"""OPP-DARTS and DARTS: differentiable architecture search in JAX.

The public names; each is loaded when it is first used (`__init__.pyi` says from
where), so that importing the package costs next to nothing.
"""

import lazy_loader

__version__ = '0.2.0'

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

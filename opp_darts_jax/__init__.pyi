__version__: str

from . import benchmarks as benchmarks
from .api import search as search
from .api import train as train
from .config import AlphaOptimizerConfig as AlphaOptimizerConfig
from .config import CostConfig as CostConfig
from .config import DataConfig as DataConfig
from .config import MonitorConfig as MonitorConfig
from .config import ScheduleConfig as ScheduleConfig
from .config import SearchConfig as SearchConfig
from .config import TrainConfig as TrainConfig
from .config import WeightOptimizerConfig as WeightOptimizerConfig
from .data.dataset import ImageData as ImageData
from .data.dataset import of_arrays as of_arrays
from .data.source import DataSource as DataSource
from .data.source import Source as Source
from .data.source import Split as Split
from .errors import UserError as UserError
from .genotypes.genotype import Cell as Cell
from .genotypes.genotype import Edge as Edge
from .genotypes.genotype import Genotype as Genotype
from .genotypes.graph import CellGraph as CellGraph
from .genotypes.published import GENOTYPES as GENOTYPES
from .genotypes.published import load_genotype as load_genotype
from .methods.catalogue import METHODS as METHODS
from .methods.catalogue import SCHEDULES as SCHEDULES
from .methods.darts import darts as darts
from .methods.method import Draw as Draw
from .methods.method import Gradients as Gradients
from .methods.method import Method as Method
from .methods.pc_darts import pc_darts as pc_darts
from .methods.progressive import progressive as progressive
from .methods.stages import Change as Change
from .methods.stages import Stage as Stage
from .methods.state import SearchState as SearchState
from .networks.export.onnx import export_onnx as export_onnx
from .networks.export.torch_weights import (
  network_from_torch as network_from_torch,
)
from .networks.export.torch_weights import network_to_torch as network_to_torch
from .networks.network import Network as Network
from .networks.trained import load_network as load_network
from .networks.trained_network import TrainedNetwork as TrainedNetwork
from .operations.catalogue import OPERATIONS as OPERATIONS
from .operations.catalogue import named as named
from .operations.operation import Operation as Operation
from .running.searches.records import EpochRecord as EpochRecord
from .running.trainings.records import TrainRecord as TrainRecord
from .runs import SearchRun as SearchRun
from .runs import TrainRun as TrainRun
from .runs import load_run as load_run
from .spaces.catalogue import SPACES as SPACES
from .spaces.catalogue import get_space as get_space
from .spaces.skeleton import Part as Part
from .spaces.skeleton import Skeleton as Skeleton
from .spaces.space import Space as Space
from .supernet.partial import PartialChannels as PartialChannels

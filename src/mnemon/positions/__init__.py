from mnemon.positions.absolute import AbsoluteConfig
from mnemon.positions.base import Position
from mnemon.positions.learned import LearnedConfig
from mnemon.positions.none import NoneConfig
from mnemon.positions.rotary import RotaryConfig
from mnemon.positions.sinusoidal import SinusoidalConfig
from mnemon.positions.t5 import T5Config
from mnemon.positions.transformer_xl import TransformerXLConfig

PositionConfig = (
    NoneConfig | T5Config | LearnedConfig | TransformerXLConfig | RotaryConfig | SinusoidalConfig | AbsoluteConfig
)

POSITIONS: dict[str, type[PositionConfig]] = {
    "none": NoneConfig,
    "t5": T5Config,
    "learned": LearnedConfig,
    "transformer-xl": TransformerXLConfig,
    "rotary": RotaryConfig,
    "sinusoidal": SinusoidalConfig,
    "absolute": AbsoluteConfig,
}

__all__ = ["POSITIONS", "Position", "PositionConfig"]

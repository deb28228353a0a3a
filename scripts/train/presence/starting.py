"""What a classifier begins with: a file of weights, or a checkpoint of its own."""

from __future__ import annotations

from pathlib import Path

from anonymizer.errors import DatasetError
from scripts.train.presence.learn import ON_PYRAMID, Net, Recipe
from scripts.train.presence.network import PresenceNet, load_imagenet
from scripts.train.presence.pyramid import PyramidNet
from scripts.train.stored import load_stored


def start_net(weights: Path) -> Net:
    """On MobileNetV2's published weights, or on a zoo detector if the file is TFLite; raises DatasetError."""
    if weights.suffix != ".tflite":
        net = PresenceNet()
        load_imagenet(net.features, weights)
        return net
    try:
        return PyramidNet(weights.read_bytes())
    except (OSError, DatasetError) as error:
        raise DatasetError(f"{weights}: {error}") from None


def recipe_for(net: Net) -> Recipe:
    """How it is trained unless told otherwise."""
    return ON_PYRAMID if isinstance(net, PyramidNet) else Recipe()


def load_net(checkpoint: Path) -> Net:
    """A trained one; raises DatasetError."""
    state = load_stored(checkpoint, "checkpoint of a presence classifier")
    try:
        net = PyramidNet(state["file"].numpy().tobytes()) if "file" in state else PresenceNet()
        net.load_state_dict(state)
    except (RuntimeError, AttributeError):  # PyTorch names hundreds of tensors
        raise DatasetError(f"{checkpoint}: is no checkpoint of a presence classifier: it holds other tensors") from None
    except DatasetError as error:
        raise DatasetError(f"{checkpoint}: is no checkpoint of a presence classifier: {error}") from None
    return net.eval()

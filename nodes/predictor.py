"""Guidance predictors: load one, save one."""

from __future__ import annotations

from comfy_api.latest import io

from ..bridge.sketch.predictor import FILES, LOADER, load_predictor, save_numbered
from .schema import CATEGORY, Predictor, schema


class AttnDirLoadPredictor(io.ComfyNode):
    """A predictor from the pack, the models folder or the output folder."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id=LOADER,
            display_name="Load Guidance Predictor",
            category=CATEGORY,
            description="Loads the network with which Sketch Guidance reads the lines, or another map, of an "
                        "unfinished picture. demo_edges and demo_depth are for the demo model that is a UNet, "
                        "storybook_edges for the transformer.",
            search_aliases=["latent guidance predictor", "LGP", "edge predictor", "sketch guided"],
            inputs=[io.Combo.Input("predictor_name", options=FILES.names(),
                                   tooltip="Files of models/guidance_predictors and output/guidance_predictors; press "
                                           "R to read the list again.")],
            outputs=[Predictor.Output(display_name="predictor", tooltip="Wire to Sketch Guidance.")],
        )

    @classmethod
    def fingerprint_inputs(cls, predictor_name: str) -> str:
        return FILES.stamp(LOADER, predictor_name)

    @classmethod
    def execute(cls, predictor_name: str) -> io.NodeOutput:
        return io.NodeOutput(load_predictor(predictor_name))


class AttnDirSavePredictor(io.ComfyNode):
    """A trained predictor as a safetensors file in the output folder."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="AttnDirSavePredictor",
            display_name="Save Guidance Predictor",
            category=CATEGORY,
            description="Saves a trained predictor in the output folder, where Load Guidance Predictor finds it.",
            search_aliases=["latent guidance predictor", "LGP", "save edge predictor"],
            is_output_node=True,
            inputs=[
                Predictor.Input("predictor", tooltip="From Train Guidance Predictor."),
                io.String.Input("filename_prefix", default="guidance_predictors/edges",
                                tooltip="Folder and name within the output folder; a number is added."),
            ],
            outputs=[],
        )

    @classmethod
    def execute(cls, predictor, filename_prefix: str) -> io.NodeOutput:
        path = save_numbered(predictor, filename_prefix)
        return io.NodeOutput(ui={"text": [path.name]})

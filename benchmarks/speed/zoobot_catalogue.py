"""Zoobot's own prediction of a folder of JPEGs, run by the Python of an environment that has Zoobot.

    PYTHON benchmarks/speed/zoobot_catalogue.py IMAGES OUT.csv

ConvNeXt-Nano with random weights, which are as fast as trained ones, on GZ2's questions.
"""

import sys
from pathlib import Path


def main() -> None:
    import pandas as pd
    import timm
    from galaxy_datasets.transforms import default_view_config, get_galaxy_transform
    from zoobot.pytorch.predictions import predict_on_catalog
    from zoobot.pytorch.training.finetune import FinetuneableZoobotTree
    from zoobot.shared.schemas import gz2_ortho_schema as schema

    images, out = map(Path, sys.argv[1:])
    files = sorted(images.glob("*.jpg"))
    catalogue = pd.DataFrame({"id_str": [file.stem for file in files], "file_loc": [*map(str, files)]})
    encoder = timm.create_model("convnext_nano", pretrained=False, num_classes=0)
    predict_on_catalog.predict(
        catalogue,
        FinetuneableZoobotTree(encoder=encoder, schema=schema),
        str(out),
        schema.label_cols,
        get_galaxy_transform(default_view_config()),
        {"batch_size": 64, "num_workers": 2},
        {"accelerator": "cpu", "logger": False},
    )


if __name__ == "__main__":
    main()

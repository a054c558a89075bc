"""Put on PYTHONPATH, it gives every Airflow process a bus without an engine: `fake_pipeline` and a two-dataset registry."""

import sys

import fake_pipeline
import fake_registry

import motlan
import motlan.config

for package, name, module in ((motlan, "pipeline", fake_pipeline), (motlan.config, "registry", fake_registry)):
    sys.modules[f"{package.__name__}.{name}"] = module
    setattr(package, name, module)

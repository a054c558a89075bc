"""Put on PYTHONPATH, it gives every Airflow process a bus without an engine: `fake_pipeline` and a two-dataset registry."""

import sys

import fake_pipeline
import fake_registry

import motlan

for name, module in (("pipeline", fake_pipeline), ("registry", fake_registry)):
    sys.modules[f"motlan.{name}"] = module
    setattr(motlan, name, module)

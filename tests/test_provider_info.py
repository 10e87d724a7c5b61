"""What Airflow reads about the provider, checked against Airflow's own schemas."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

import airflow
import jsonschema
import pytest
from airflow.api_fastapi.core_api.services.ui.connections import HookMetaService

from airflow_provider_seeany.hooks.seeany import SeeAnyHook
from airflow_provider_seeany.provider_info import CONNECTION_TYPE, get_provider_info


def schema(name: str) -> Any:
    """Return one of the schemas that come with Airflow."""
    return json.loads((Path(airflow.__file__).parent / name).read_text())


def dotted_paths(value: Any) -> set[str]:
    """Return every text in the provider info that names a thing of this package."""
    if isinstance(value, dict):
        return set().union(*map(dotted_paths, value.values()))
    if isinstance(value, list):
        return set().union(*map(dotted_paths, value))
    return {value} if isinstance(value, str) and value.startswith("airflow_provider_seeany.") else set()


def test_airflow_finds_the_provider_by_its_entry_point() -> None:
    (found,) = entry_points(group="apache_airflow_provider", module="airflow_provider_seeany.provider_info")

    assert found.load()() == get_provider_info()


def test_provider_info_is_what_airflow_accepts() -> None:
    jsonschema.validate(get_provider_info(), schema("provider_info.schema.json"))


def test_the_connection_form_is_what_the_ui_can_draw() -> None:
    """Airflow itself checks this part only for its own providers, and a mistake leaves the form empty."""
    form = schema("provider.yaml.schema.json")["properties"]["connection-types"]
    if "ui-field-behaviour" not in form["items"]["properties"]:
        pytest.skip("this Airflow draws the form with the hook's methods")

    jsonschema.validate(get_provider_info()["connection-types"], form)
    # Airflow 3.2 takes the name from the hook.
    assert set(CONNECTION_TYPE) - {"hook-name"} <= set(form["items"]["properties"])


def test_airflow_offers_the_connection_with_its_name_and_fields() -> None:
    (offered,) = [each for each in HookMetaService.hook_meta_data() if each.connection_type == "seeany"]

    assert offered.hook_name == "SeeAny"
    assert list(offered.extra_fields or {}) == list(CONNECTION_TYPE["conn-fields"])


def test_provider_info_is_plain_json() -> None:
    assert json.loads(json.dumps(get_provider_info())) == get_provider_info()


@pytest.mark.parametrize("path", sorted(dotted_paths(get_provider_info())))
def test_every_part_that_provider_info_names_is_there(path: str) -> None:
    module, _, name = path.rpartition(".")
    try:
        assert import_module(path)
    except ModuleNotFoundError:
        assert isinstance(getattr(import_module(module), name), type)


def test_provider_info_names_every_part_of_the_package() -> None:
    assert dotted_paths(get_provider_info()) == {
        "airflow_provider_seeany.hooks.seeany",
        "airflow_provider_seeany.hooks.seeany.SeeAnyHook",
        "airflow_provider_seeany.links.task.FirstFileLink",
        "airflow_provider_seeany.links.task.WatchVideoLink",
        "airflow_provider_seeany.operators.budget",
        "airflow_provider_seeany.operators.download",
        "airflow_provider_seeany.operators.submit",
        "airflow_provider_seeany.operators.task",
        "airflow_provider_seeany.sensors.batch",
        "airflow_provider_seeany.sensors.task",
        "airflow_provider_seeany.triggers.batch",
        "airflow_provider_seeany.triggers.task",
    }


def test_the_form_shows_key_and_address_and_api_and_time_limit_and_nothing_else() -> None:
    fields = {"description", "host", "port", "login", "password", "schema", "extra"}

    assert fields - set(CONNECTION_TYPE["ui-field-behaviour"]["hidden-fields"]) == {"password", "host"}
    assert CONNECTION_TYPE["ui-field-behaviour"]["relabeling"] == {"password": "API Key", "host": "Base URL"}
    assert [field["label"] for field in CONNECTION_TYPE["conn-fields"].values()] == ["API", "Request timeout (s)"]


def test_a_form_with_an_emptied_field_can_be_saved() -> None:
    for name, field in CONNECTION_TYPE["conn-fields"].items():
        # An emptied choice is null, too, which the form takes although it is none of them.
        jsonschema.validate(None, {**field["schema"], "enum": [None]})
        jsonschema.validate(field["schema"]["default"], field["schema"])
        assert name.isidentifier()


def test_the_hook_declares_the_same_form_for_older_airflows() -> None:
    declared = CONNECTION_TYPE["ui-field-behaviour"]

    assert SeeAnyHook.get_ui_field_behaviour() == {
        "hidden_fields": declared["hidden-fields"],
        "relabeling": declared["relabeling"],
        "placeholders": declared["placeholders"],
    }
    jsonschema.validate(SeeAnyHook.get_ui_field_behaviour(), schema("customized_form_field_behaviours.schema.json"))
    assert (SeeAnyHook.conn_type, SeeAnyHook.hook_name) == ("seeany", "SeeAny")
    assert SeeAnyHook.default_conn_name == "seeany_default"


def test_the_hook_draws_the_same_fields_for_older_airflows(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the stand-ins with which Airflow reads them where the form's own packages are not installed."""
    wtforms, validators, widgets = (ModuleType(name) for name in ("wtforms", "validators", "fieldwidgets"))
    vars(wtforms).update(
        IntegerField=HookMetaService.MockIntegerField,
        StringField=HookMetaService.MockStringField,
        validators=validators,
    )
    vars(validators).update(Optional=HookMetaService.MockOptional, any_of=HookMetaService.MockEnum)
    vars(widgets).update(BS3TextFieldWidget=HookMetaService.MockAnyWidget)
    for name, module in (
        ("wtforms", wtforms),
        ("wtforms.validators", validators),
        ("flask_appbuilder", ModuleType("flask_appbuilder")),
        ("flask_appbuilder.fieldwidgets", widgets),
    ):
        monkeypatch.setitem(sys.modules, name, module)

    drawn = {name: field.param.dump() for name, field in SeeAnyHook.get_connection_form_widgets().items()}

    assert list(drawn) == list(CONNECTION_TYPE["conn-fields"])
    for name, field in CONNECTION_TYPE["conn-fields"].items():
        assert drawn[name]["value"] == field["schema"]["default"]
        assert drawn[name]["description"] == field["description"]
        assert drawn[name]["schema"]["title"] == field["label"]
        assert drawn[name]["schema"].get("enum") == field["schema"].get("enum")
    assert drawn["api"]["schema"]["type"] == ["string", "null"]


def test_the_form_offers_each_dialect_as_airflow_reads_it() -> None:
    """An untouched field saves its default; the labels are under the values that are saved."""
    form = CONNECTION_TYPE["conn-fields"]["api"]["schema"]

    assert form["enum"] == list(form["values_display"]) == ["v1", "developer"]
    assert form["default"] == "v1"


@pytest.mark.parametrize("module", ["airflow_provider_seeany", "airflow_provider_seeany.provider_info"])
def test_reading_provider_info_loads_nothing_heavy(module: str) -> None:
    heavy = {"airflow", "aiohttp", "requests", "pendulum"}
    program = f"import {module}, sys; print(*sorted({heavy!r} & set(sys.modules)))"

    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout

    assert loaded.strip() == ""

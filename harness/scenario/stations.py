"""Who uploads what: the table [stations]. harness/plan/ reads the region or the list that it names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, field_serializer, model_validator

from harness.base.safe_files import LIST_AS_TUPLE
from mock_server.profile.units import FrozenModel
from mock_server.profile.validation_messages import suggestion

PAGES_OF_FORM = {
    "ppwp": 3, "pdpr": 18, "pdpd": 8, "pdprdp": 17, "pdprdk": 17,
    "ec8a": 1, "ec8a1": 1, "ec8a2": 1, "form34a": 1,
}  # fmt: skip
"""Pages of each form. Of Indonesia's only PPWP's three are published, the others are assumed (docs/explanation/domain.md);
Nigeria's and Kenya's are single sheets (docs/explanation/other-nights.md)."""

REGIONS = ("kaliwates", "jember", "provinces", "nigeria", "kenya")
PLACE_LABELS = ("province", "kabupaten", "kecamatan", "kelurahan", "station")
"""Labels of the places of a built-in region's station."""
MAX_CODE_LENGTH = 64
MAX_PAGES = 999
"""Of one form."""
_TAKEN_LABELS = frozenset({"form", "phase", "outcome", "worker", "station", "fault", "resource", "target", "le"})
"""Labels of thresholds that a group must not have."""

FormName = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f{}/]{1,64}$")]
PageCount = Annotated[int, Field(ge=1, le=MAX_PAGES)]
ColumnName = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f{}]{1,64}$")]


_FormsInput = Annotated[list[str], Field(min_length=1)] | Annotated[dict[FormName, PageCount], Field(min_length=1)]


def _form_table(forms: Any) -> Any:
    """A list of known forms as a table of their pages; anything else as it is."""
    if not isinstance(forms, list | tuple):
        return forms
    if len(set(map(str, forms))) < len(forms):
        message = "names a form twice"
        raise ValueError(message)
    wrong = next((form for form in forms if not isinstance(form, str)), None)
    if wrong is not None:
        message = f"{wrong!r} is not the name of a form"
        raise ValueError(message)
    unknown = [form for form in forms if form not in PAGES_OF_FORM]
    if unknown:
        near = suggestion(str(unknown[0]), PAGES_OF_FORM) or f"; known are {', '.join(PAGES_OF_FORM)}"
        message = f'"{unknown[0]}" has no known number of pages{near}; write forms = {{ {unknown[0]} = 2 }} for one of your own'
        raise ValueError(message)
    return {form: PAGES_OF_FORM[form] for form in forms}


class StationOptions(FrozenModel):
    """Which stations take part, and what each of them sends."""

    region: str = "kaliwates"
    """A shipped region (kaliwates, jember, provinces, nigeria, kenya) or a CSV file beside the scenario: code,name,stations."""
    file: str | None = None
    """Stations of your own instead of a region: a CSV file beside the scenario, one station per line, names of columns in the first."""
    code: ColumnName = "code"
    """With `file`: the column with the stations' codes, 1 to 64 characters of any script."""
    groups: Annotated[tuple[ColumnName, ...], LIST_AS_TUPLE, Field(max_length=8)] = ()
    """With `file`: columns that group the stations, the largest group first. They are labels of thresholds; charts show the last one."""
    due: ColumnName | None = None
    """With `file`: the column with the time at which each arrives, for arrivals.kind = "listed"."""
    accounts: str | None = None
    """A CSV file with the same codes and secrets in further columns, for {account.…}; only its owner may read it (mode 0600)."""
    count: Annotated[int, Field(ge=1)] | None = None
    """Number of stations, spread evenly over the region or list; all of them if left out."""
    forms: Annotated[
        dict[FormName, PageCount], BeforeValidator(_form_table, json_schema_input_type=_FormsInput), Field(min_length=1)
    ] = Field(default_factory=lambda: {"ppwp": 3})
    """What each station sends, in this order: a list of known forms (ppwp has 3 pages, pdpr 18, pdpd 8, pdprdp 17, pdprdk 17; all but
    ppwp's are assumed; ec8a, ec8a1, ec8a2 and form34a have one), or a table of your own forms and their numbers of pages."""

    @model_validator(mode="after")
    def _belong_together(self) -> Self:
        if self.file is not None and "region" in self.model_fields_set and self.region != "kaliwates":
            message = "file and region are two ways to say who takes part: leave one of them out"
            raise ValueError(message)
        only_with_file = [name for name in ("groups", "due") if getattr(self, name)]
        if self.file is None and only_with_file:
            message = f"{only_with_file[0]} names columns of file: add file"
            raise ValueError(message)
        taken = next((name for name in self.groups if name in _TAKEN_LABELS or name in {self.code, self.due}), None)
        if taken is not None or len(set(self.groups)) < len(self.groups):
            message = (
                f'groups: "{taken or self.groups[0]}" can\'t be a group: it is another label or column, or named twice'
            )
            raise ValueError(message)
        return self

    @field_serializer("forms")
    def _write_forms(self, forms: dict[str, int]) -> list[str] | dict[str, int]:
        """A list where the names say it all, so that runs stay comparable with those of earlier versions."""
        return list(forms) if all(PAGES_OF_FORM.get(form) == pages for form, pages in forms.items()) else forms

    @property
    def place_labels(self) -> tuple[str, ...]:
        """Labels of the places that a station belongs to, the largest first, the station itself last."""
        return PLACE_LABELS if self.file is None else (*self.groups, "station")


def recorded_place_labels(scenario: Mapping[str, Any]) -> tuple[str, ...]:
    """The place labels of a resolved scenario, as run.json has it."""
    stations = scenario.get("stations") or {}
    if not stations.get("file"):
        return PLACE_LABELS
    return (*map(str, stations.get("groups") or ()), "station")

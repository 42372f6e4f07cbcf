"""Names, units and attributes by the semantic conventions: as documented, and as the conventions have them."""

import re

import pytest
from opentelemetry.semconv.attributes import error_attributes, http_attributes
from opentelemetry.semconv.metrics import http_metrics

from harness.base.model import DELIVERED, OUTCOMES
from harness.otlp.conventions import CONVENTIONS, attributes_of, convention_of
from tests.support.documents import ROOT

PAGE = (ROOT / "docs" / "how-to" / "opentelemetry.md").read_text("utf-8")


def test_the_table_of_names_is_that_of_the_code():
    rows = re.findall(r"^\| `([^`]+)` \| `([^`]+)` \| `([^`]+)` \|$", PAGE, re.MULTILINE)
    assert [(family, name, unit) for name, unit, family in rows] == [
        (family, *one) for family, one in CONVENTIONS.items()
    ]


def test_names_are_those_of_the_published_conventions():
    assert convention_of("harness_service_seconds").name == http_metrics.HTTP_CLIENT_REQUEST_DURATION
    assert convention_of("http_server_request_duration_seconds").name == http_metrics.HTTP_SERVER_REQUEST_DURATION
    found = attributes_of({"http_request_method": "PUT", "http_route": "/x", "http_response_status_code": "503"})
    assert found == {
        http_attributes.HTTP_REQUEST_METHOD: "PUT",
        http_attributes.HTTP_ROUTE: "/x",
        http_attributes.HTTP_RESPONSE_STATUS_CODE: 503,
        error_attributes.ERROR_TYPE: "503",
    }


@pytest.mark.parametrize(
    ("family", "unit"),
    [("x_seconds", "s"), ("x_bytes", "By"), ("x_ratio", "1"), ("x", "1"), ("mock_server_queue_depth", "1")],
)
def test_what_has_no_convention_keeps_its_name_and_gets_the_unit_that_it_ends_with(family, unit):
    assert convention_of(family) == (family, unit)


def test_exactly_what_was_not_delivered_has_an_error():
    failed = {str(one) for one in OUTCOMES if "error.type" in attributes_of({"outcome": str(one)})}
    assert failed == {str(one) for one in OUTCOMES} - {str(one) for one in DELIVERED}


def test_a_request_without_a_response_has_no_status():
    assert attributes_of({"http_response_status_code": "none"}) == {"error.type": "no_response"}
    assert attributes_of({"http_response_status_code": "404"}) == {"http.response.status_code": 404}

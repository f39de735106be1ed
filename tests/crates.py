"""The public validator for RO-Crates, without a network."""

import json
import socket
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from unittest.mock import patch

from requests import PreparedRequest, Response
from requests.adapters import BaseAdapter
from requests_cache import CachedSession
from urllib3 import HTTPResponse

PROFILE = "provenance-run-crate-0.5"
ALL_PASSED = {"passed": 85, "failed": 0, "skipped": 0}  # every required check of this profile and its parents

# What the two published JSON-LD contexts make of the words that our crates use. They are not part of the validator.
SCHEMA = """
    about actionStatus additionalType contentSize ControlAction CreateAction CreativeWork ComputerLanguage Dataset
    datePublished description encodingFormat endTime exampleOfWork hasPart HowTo HowToStep instrument license mainEntity
    mentions name object OrganizeAction position programmingLanguage PropertyValue result softwareRequirements
    SoftwareApplication SoftwareSourceCode softwareVersion startTime step url value version workExample
"""
BIOSCHEMAS = "https://bioschemas.org/"
WORKFLOW_RUN = "https://w3id.org/ro/terms/workflow-run#"
CONTEXTS = {
    "https://w3id.org/ro/crate/1.1/context": {
        **{word: f"http://schema.org/{word}" for word in SCHEMA.split()},
        "File": "http://schema.org/MediaObject",
        "conformsTo": "http://purl.org/dc/terms/conformsTo",
        "ComputationalWorkflow": f"{BIOSCHEMAS}ComputationalWorkflow",
        "FormalParameter": f"{BIOSCHEMAS}FormalParameter",
        "input": f"{BIOSCHEMAS}ComputationalWorkflow#input",
    },
    "https://w3id.org/ro/terms/workflow-run/context": {
        "environment": f"{WORKFLOW_RUN}environment",
        "sha256": f"{WORKFLOW_RUN}sha256",
    },
}


class Contexts(BaseAdapter):
    """A web that holds the contexts and nothing else."""

    def send(self, request: PreparedRequest, **_) -> Response:
        content = json.dumps({"@context": CONTEXTS[request.url]}).encode()
        response = Response()
        response.status_code, response.url, response.request = 200, request.url, request
        response.headers["Content-Type"] = "application/ld+json"
        response.raw = HTTPResponse(BytesIO(content), preload_content=False)
        return response

    def close(self) -> None:
        pass


def validate(crate: Path, cache: Path):
    """Validate a crate (a ZIP) without a network; the contexts come from a cache that is filled here."""
    from rocrate_validator import services

    settings = {"rocrate_uri": str(crate), "profile_identifier": PROFILE, "cache_path": cache, "offline": True}
    with no_network():
        with CachedSession(str(cache), backend="sqlite", expire_after=-1) as session:
            session.mount("https://", Contexts())
            for address in CONTEXTS:
                session.get(address).raise_for_status()
        return services.validate({**settings, "requirement_severity": "REQUIRED"})


def outcome(result) -> dict[str, int]:
    """How many required checks passed, failed, were skipped."""
    found = result.statistics
    checks = {"passed": found.passed_checks, "failed": found.failed_checks, "skipped": found.skipped_checks}
    return {name: len(listed) for name, listed in checks.items()}


@contextmanager
def no_network():
    """Refuse every look-up of an address and every connection, and fail if there was one, even if it was forgiven."""
    asked = []

    def refuse(*arguments, **_):
        asked.append(arguments)
        raise OSError("there is no network here")

    with patch.object(socket, "getaddrinfo", refuse), patch.object(socket.socket, "connect", refuse):
        yield
    assert not asked, asked

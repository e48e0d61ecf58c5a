"""The metadata of an object that people write: its name and what they note beside it."""

from collections.abc import Mapping

from pydantic import Field

from policies.model import Part
from policies.names import DnsLabel, ObjectName


class Metadata(Part):
    """The name of the policy and what people note beside it."""

    name: ObjectName = Field(description="The policy's name, usually the app's.")
    namespace: DnsLabel | None = Field(default=None, description="The app's namespace. Default: the current one.")
    labels: Mapping[str, str] = Field(default={}, description="Labels, untouched.")
    annotations: Mapping[str, str] = Field(default={}, description="Annotations, untouched.")

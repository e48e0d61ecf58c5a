"""Names and short texts: what Kubernetes and Prometheus accept, refused with the character at fault."""

import re
from typing import Annotated

from pydantic import AfterValidator, WithJsonSchema

from policies.model import refused

_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_METRIC_LABEL = "[a-zA-Z_][a-zA-Z0-9_]*"
_DIGEST = r"[0-9a-f]{12}"
_ENV_NAME = "[-._a-zA-Z][-._a-zA-Z0-9]*"
_SERVICE = "[a-z]([-a-z0-9]*[a-z0-9])?"
_TOKEN = "[a-zA-Z0-9]([-_a-zA-Z0-9]*[a-zA-Z0-9])?"
_HEADER_VALUE = r"[!#%&(-[\]-~]([ !#%&(-[\]-~]*[!#%&(-[\]-~])?"
# The grammar of github.com/distribution/reference: host and port, path, tag, digest.
_DOMAIN_PART = "([a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_PATH_PART = r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*"
_IMAGE = (
    rf"({_DOMAIN_PART}(\.{_DOMAIN_PART})*(:[0-9]{{1,5}})?/)?{_PATH_PART}(/{_PATH_PART})*"
    r"(:[A-Za-z0-9_][-.A-Za-z0-9_]{0,127})?(@sha256:[0-9a-f]{64})?"
)

# A ReplicaSet is called <deployment>-<hash of up to 10>, and a pod <ReplicaSet>-<5 characters>, cut to 63. The twin's
# Deployment is called <deployment>-twin. Only up to this length no pod loses a part of its ReplicaSet's name,
# by which the metrics of the two versions are told apart.
LONGEST_DEPLOYMENT = 63 - 5 - 1 - 10 - 1 - len("-twin")
# Names of policies and releases are also values of labels.
LONGEST_NAME = 63


def _fault(text: str, legal: str) -> str:
    """The first character of `text` outside `legal`, by its code point: a homoglyph looks right to the eye."""
    for index, char in enumerate(text):
        if not re.fullmatch(legal, char):
            shape = f"'{char}'" if char.isascii() and char.isprintable() else f"U+{ord(char):04X}"
            return f"{_cut(text)!a} (character {index + 1} is {shape})"
    return ""


def _cut(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."


def _named(text: str, pattern: str, legal: str, longest: int, allowed: str) -> str:
    if len(text) > longest:
        raise refused(f"{allowed}, at most {longest} characters", f"{_cut(text)!a} of {len(text)} characters")
    if not re.fullmatch(pattern, text, re.ASCII):
        raise refused(f"{allowed}, at most {longest} characters", _fault(text, legal))
    return text


def dns_label(text: str, longest: int = 63) -> str:
    allowed = "a DNS-1123 label: a-z, 0-9 and '-', a letter or digit first and last"
    return _named(text, _LABEL, "[-a-z0-9]", longest, allowed)


def dns_subdomain(text: str, longest: int = 253) -> str:
    allowed = "a DNS-1123 name: a-z, 0-9, '-' and '.', a letter or digit first and last in each part"
    return _named(text, _SUBDOMAIN, "[-.a-z0-9]", longest, allowed)


def _source(text: str) -> str:
    if "://" in text:
        raise refused("the name of a metric source in the controller's own configuration, never a URL")
    return dns_label(text)


def _endpoint(text: str) -> str:
    if "://" in text:
        raise refused("the name of an endpoint in the controller's own configuration, never a URL")
    return dns_label(text)


def _notifier(text: str) -> str:
    if "://" in text or "@" in text:
        raise refused("the name of a notifier in the controller's own configuration, never a URL or an address")
    return dns_label(text)


def _by_value(text: str) -> str:
    rest = text.replace("$incumbentHash", "").replace("$contenderHash", "")
    if not text or len(text) > 253 or not text.isprintable() or "$" in rest:
        raise refused(
            "a label value of 1 to 253 printable characters; only $incumbentHash and $contenderHash are marks"
        )
    return text


def _metric_label(text: str) -> str:
    allowed = "a label name of Prometheus: a-z, A-Z, 0-9 and '_', no digit first"
    if text in {"le", "__name__"}:
        raise refused("a label that tells pods, namespaces or requests apart; this one has a meaning of its own")
    return _named(text, _METRIC_LABEL, "[a-zA-Z0-9_]", 128, allowed)


def _service(text: str) -> str:
    allowed = "the name of a Service: a-z, 0-9 and '-', a letter first, a letter or digit last"
    return _named(text, _SERVICE, "[-a-z0-9]", 63, allowed)


def _token(text: str) -> str:
    allowed = "a name of a header or cookie: letters, digits, '-' and '_', a letter or digit first and last"
    return _named(text, _TOKEN, "[-_a-zA-Z0-9]", 63, allowed)


def _header_value(text: str) -> str:
    allowed = "the value of a header: printable ASCII without quotes, '$' and '\\', no blank first or last"
    return _named(text, _HEADER_VALUE, "[ !#%&(-[\\]-~]", 256, allowed)


def _config_map(text: str) -> str:
    allowed = "configMap/ and the name of a ConfigMap in the policy's namespace, such as configMap/checkout-settings"
    kind, slash, name = text.partition("/")
    if not slash or kind != "configMap" or "/" in name:
        raise refused(allowed)
    dns_subdomain(name)
    return text


def _digest(text: str) -> str:
    if not re.fullmatch(_DIGEST, text, re.ASCII):
        raise refused("the digest of a pod template: 12 hex digits, as `nightferry status` shows it")
    return text


def _env_name(text: str) -> str:
    allowed = "the name of an environment variable: letters, digits, '_', '-' and '.', no digit first"
    return _named(text, _ENV_NAME, "[-._a-zA-Z0-9]", 253, allowed)


def _image(text: str) -> str:
    allowed = "an image reference such as registry.example/app:v42 or registry.example/app@sha256:<64 hex digits>"
    if not text or len(text) > 1024 or not re.fullmatch(_IMAGE, text, re.ASCII):
        raise refused(allowed, _fault(text, "[-a-zA-Z0-9._/:@]"))
    return text


def _text(text: str) -> str:
    if not text.strip() or len(text) > 1024:
        raise refused("a text of 1 to 1024 characters")
    if not text.isprintable():
        fault = next((i, char) for i, char in enumerate(text) if not char.isprintable())
        raise refused("one line of printable characters", f"{_cut(text)!a} (character {fault[0] + 1})")
    return text


def _schema(pattern: str, longest: int) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "pattern": f"^{pattern}$", "minLength": 1, "maxLength": longest})


Digest = Annotated[str, AfterValidator(_digest), _schema(_DIGEST, 12)]
DnsLabel = Annotated[str, AfterValidator(dns_label), _schema(_LABEL, 63)]
DnsName = Annotated[str, AfterValidator(dns_subdomain), _schema(_SUBDOMAIN, 253)]
ObjectName = Annotated[
    str, AfterValidator(lambda text: dns_subdomain(text, LONGEST_NAME)), _schema(_SUBDOMAIN, LONGEST_NAME)
]
DeploymentName = Annotated[
    str, AfterValidator(lambda text: dns_subdomain(text, LONGEST_DEPLOYMENT)), _schema(_SUBDOMAIN, LONGEST_DEPLOYMENT)
]
SourceName = Annotated[str, AfterValidator(_source), _schema(_LABEL, 63)]
MetricLabel = Annotated[str, AfterValidator(_metric_label), _schema(_METRIC_LABEL, 128)]
EndpointName = Annotated[str, AfterValidator(_endpoint), _schema(_LABEL, 63)]
NotifierName = Annotated[str, AfterValidator(_notifier), _schema(_LABEL, 63)]
ByValue = Annotated[
    str, AfterValidator(_by_value), WithJsonSchema({"type": "string", "minLength": 1, "maxLength": 253})
]
ServiceName = Annotated[str, AfterValidator(_service), _schema(_SERVICE, 63)]
HeaderName = Annotated[str, AfterValidator(_token), _schema(_TOKEN, 63)]
HeaderValue = Annotated[
    str, AfterValidator(_header_value), WithJsonSchema({"type": "string", "minLength": 1, "maxLength": 256})
]
ConfigMapName = Annotated[str, AfterValidator(_config_map), _schema(f"configMap/{_SUBDOMAIN}", 263)]
EnvName = Annotated[str, AfterValidator(_env_name), _schema(_ENV_NAME, 253)]
Image = Annotated[str, AfterValidator(_image), WithJsonSchema({"type": "string", "minLength": 1, "maxLength": 1024})]
Text = Annotated[str, AfterValidator(_text), WithJsonSchema({"type": "string", "minLength": 1, "maxLength": 1024})]

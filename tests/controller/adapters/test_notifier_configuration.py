"""Who can be told, as the configuration says it: what it means, and what it must not say."""

from __future__ import annotations

from pathlib import Path

import pytest

from controller.configuration import configuration_from_text
from controller.outside.settings import HookSettings, MailSettings, Template
from policies.errors import PolicyRefused

WHOLE = """
notifiers:
  - name: release-room
    webhook: {urlFile: secrets/room, format: slack, timeout: 5s}
    template: {subject: "$app $words", text: "$because costs $$5"}
  - {name: pager, webhook: {url: "https://pager.example/in", secretFile: /etc/pager}}
  - name: night-shift
    email:
      smtp: "[::1]:465"
      tls: implicit
      from: nightferry@shop.example
      to: [a@shop.example, b+night@shop.example]
      credentialsFile: secrets/mail
      caFile: /etc/ca.crt
"""


def test_a_whole_configuration() -> None:
    room, pager, shift = configuration_from_text(WHOLE, "/etc/nightferry/configuration.yaml").notifiers
    folder = Path("/etc/nightferry")
    assert room == HookSettings(
        "release-room", url_file=folder / "secrets/room", format="slack", timeout=5.0,
        template=Template("$app $words", "$because costs $$5"),
    )  # fmt: skip
    assert pager == HookSettings("pager", url="https://pager.example/in", secret_file=Path("/etc/pager"))
    assert shift == MailSettings(
        "night-shift", "::1", 465, "nightferry@shop.example", ("a@shop.example", "b+night@shop.example"),
        tls="implicit", credentials_file=folder / "secrets/mail", ca_file=Path("/etc/ca.crt"),
    )  # fmt: skip
    assert (room.key, shift.key) == ("webhook/release-room", "email/night-shift")


MAIL = "smtp: 'mail.example:587', from: f@shop.example, to: [a@shop.example]"


@pytest.mark.parametrize(
    ("notifier", "words"),
    [
        ("{name: room}", "notifiers[0]: found neither webhook nor email; allowed: exactly one"),
        ("{name: room, webhook: {url: 'http://x'}, email: {" + MAIL + "}}", "found webhook and email"),
        ("{name: room, webhook: {}}", "notifiers[0].webhook: found neither url nor urlFile"),
        ("{name: room, webhook: {url: 'http://x', urlFile: x}}", "found url and urlFile"),
        ("{name: room, webhook: {url: 'http://me:secret@x'}}", "found a user in it"),
        ("{name: room, webhook: {url: 'http://x', format: teams}}", "generic, slack"),
        ("{name: room, webhook: {url: 'http://x', timeout: 2m}}", "found 2m; allowed: between 100ms and 1m"),
        ("{name: room, email: {from: a@x, to: [b@x]}}", "notifiers[0].email.smtp: found nothing; required"),
        ("{name: room, email: {smtp: mail, from: a@x, to: [b@x]}}", "allowed: host:port such as"),
        ("{name: room, email: {smtp: 'me@mail:25', from: a@x, to: [b@x]}}", "found no server"),
        ("{name: room, email: {smtp: 'mail:99999', from: a@x, to: [b@x]}}", "allowed: host:port such as"),
        ("{name: room, email: {smtp: 'mail:25', from: a@x, to: []}}", "email.to: found an empty list"),
        ("{name: room, email: {smtp: 'mail:25', from: \"a@x\\nBcc: c@x\", to: [b@x]}}", "an e-mail address such as"),
        ("{name: room, email: {smtp: 'mail:25', from: a@x, to: ['b@x, c@x']}}", "an e-mail address such as"),
        ("{name: room, email: {smtp: 'mail:25', from: a@x, to: ['\"b\" <b@x>']}}", "an e-mail address such as"),
        ("{name: room, email: {" + MAIL + ", tls: none, credentialsFile: x}}", "found credentials with tls: none"),
        ("{name: room, email: {" + MAIL + "}, template: {text: '$apps'}}", "found $apps; allowed: the marks $app"),
        ("{name: room, email: {" + MAIL + "}, template: {text: 'costs $5'}}", "found a $ that is no mark (write $$)"),
        ("{name: room, email: {" + MAIL + '}, template: {subject: "a\\nb"}}', "found more than one line"),
        ("{name: room, email: {smtp: 'mail..example:25', from: a@x, to: [b@x]}}", "allowed: host:port such as"),
        ("{name: room, email: {smtp: '" + "x" * 64 + ":25', from: a@x, to: [b@x]}}", "allowed: host:port such as"),
        ("{name: room, email: {smtp: 'mail:25', from: a@x..y, to: [b@x]}}", "an e-mail address such as"),
        ("{name: room, webhook: {url: 'http://a..b/'}}", "an address such as"),
        ("{name: 'http://x', webhook: {url: 'http://x'}}", "the name of a notifier"),
    ],
)  # fmt: skip
def test_a_fault_is_one_line_that_says_what_is_allowed(notifier: str, words: str) -> None:
    with pytest.raises(PolicyRefused) as refused:
        configuration_from_text(f"notifiers:\n  - {notifier}\n", "night.yaml")
    (first, *_) = refused.value.errors
    assert words in str(first)
    assert "\n" not in str(first) and "secret@" not in str(first)


def test_two_notifiers_of_one_name_are_refused() -> None:
    with pytest.raises(PolicyRefused, match=r"notifiers\[1\]\.name: found room for a second time"):
        one = "{name: room, webhook: {url: 'http://x'}}"
        configuration_from_text(f"notifiers: [{one}, {one}]")

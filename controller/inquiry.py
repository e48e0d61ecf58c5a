"""What gates ask outside the metric store: a Job per stage, or calls of a webhook; and whether they could at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from analysis.verdict import Verdict
from controller import jobs, webhooks
from controller.accompanied import Accompanied
from controller.attempt import Reading
from controller.findings import Finding, Refusal, Wait
from controller.jobs import JobRefused, Said
from controller.release.names import AppKey
from controller.release.observation import Observation
from controller.release.record import GateVerdict, Inquiry, Record
from controller.release.vocabulary import HoldReason
from controller.requests.failure import Failure, FailureKind
from controller.requests.looks import Permission, ReadObject
from controller.requests.outside import Spoken
from controller.settings import Settings
from policies.schema import Gate, Job, ReleasePolicy, ReleasePolicySpec, Webhook


def permissions(policy: ReleasePolicySpec) -> tuple[Permission, ...]:
    """What the gates of a policy need beyond a metric store."""
    return jobs.PERMISSIONS if any(gate.job is not None for gate in policy.gates) else ()


def of_gates(app: AppKey, policy: ReleasePolicySpec, seen: Observation, settings: Settings) -> Reading[Finding]:
    """Why the gates of a policy could not ask: an endpoint nobody configured, a template that is no Job."""
    for gate in policy.gates:
        if gate.webhook is not None and gate.webhook.endpoint not in settings.endpoints:
            known = ", ".join(sorted(settings.endpoints)) or "none"
            return Refusal(
                f"gate {gate.name}: endpoint {gate.webhook.endpoint} is not in the controller's configuration; "
                f"known: {known}"
            )
        if gate.job is None:
            continue
        ref = jobs.template_ref(gate.job)
        found = yield ReadObject(app.namespace, ref, fresh=True)
        if isinstance(found, Failure):
            if found.kind is FailureKind.ABSENT:
                return Refusal(f"gate {gate.name}: {ref} does not exist: create it with the Job under job.yaml")
            return Wait(HoldReason.PREFLIGHT_BLIND, f"gate {gate.name}: {ref}: {found.message}")
        try:
            jobs.read_template(found if isinstance(found, Mapping) else {}, jobs.selector_of(seen), app.namespace)
        except JobRefused as error:
            return Refusal(f"gate {gate.name}: {error}")
    return None


def ask_outside(
    app: AppKey, record: Record, seen: Observation, policy: ReleasePolicy, gate: Gate
) -> Reading[tuple[GateVerdict, Said]]:
    """What a gate that asks outside says at a look at a settled stage, and what is to be remembered and done."""
    before = next((each for each in record.inquiries if each.gate == gate.name), None)
    if before is not None and before.stage != record.stage:
        before = None
    said: Said
    if record.skip_gates or record.origin != "change":
        said = Said(Verdict.UNDECIDED, "not asked: the gates are skipped")
    elif not _asks_here(gate, policy.spec, record):
        asked = next(iter(gate.asks().values()))
        said = Said(Verdict.HEALTHY, f"not asked in this stage (at: {asked.at})")
    elif gate.job is not None:
        said = yield from _ask_job(app, record, seen, gate, gate.job, before)
    else:
        assert gate.webhook is not None
        said = yield from _ask_webhook(app, record, seen, gate, gate.webhook, before)
    return _verdict(gate, said, record, seen.now), said


def remembered(record: Record, news: Sequence[Inquiry]) -> tuple[Inquiry, ...]:
    """The inquiries of the present stage with what is new about them."""
    known = {each.gate: each for each in record.inquiries if each.stage == record.stage}
    known |= {each.gate: each for each in news}
    return tuple(known[name] for name in sorted(known))


def _asks_here(gate: Gate, policy: ReleasePolicySpec, record: Record) -> bool:
    """Whether a gate asks in the present stage; stages that mean the same pods are one, whatever their numbers."""
    shapes = [(each.contender, each.incumbent, each.weight, each.name) for each in Accompanied(policy).stages(record)]
    here = shapes[min(record.stage, len(shapes) - 1)]
    same = [number for number, shape in enumerate(shapes) if shape == here]
    return all(asked.at.covers(same) for asked in gate.asks().values())


def _ask_job(
    app: AppKey, record: Record, seen: Observation, gate: Gate, job: Job, before: Inquiry | None
) -> Reading[Said]:
    if before is not None and before.said is not None:
        return Said(before.said, before.because, before)
    ref = jobs.job_ref(seen.uid, gate.name, record.stage)
    found = yield ReadObject(app.namespace, ref, fresh=True)
    if isinstance(found, Mapping):
        return jobs.of_job(found, gate, job, ref, seen.uid, before, record.stage, seen.now)
    if isinstance(found, Failure) and found.kind is not FailureKind.ABSENT:
        return jobs.unread(ref, found)
    if before is not None and before.found:
        return Said(Verdict.BLIND, jobs.deleted(ref), before)
    source = jobs.template_ref(job)
    config = yield ReadObject(app.namespace, source, fresh=True)
    if not isinstance(config, Mapping):
        absent = Failure(FailureKind.ABSENT, "")
        return jobs.unread(source, config if isinstance(config, Failure) else absent)
    try:
        template = jobs.read_template(config, jobs.selector_of(seen), app.namespace)
    except JobRefused as error:
        return Said(Verdict.BLIND, str(error))
    env = jobs.environment(app.policy, seen.release, record, seen)
    made = jobs.manifest(template, gate, job, seen.release, seen.uid, ref, env)
    return jobs.to_start(gate, job, ref, made, record, before, seen.now)


def _ask_webhook(
    app: AppKey, record: Record, seen: Observation, gate: Gate, hook: Webhook, before: Inquiry | None
) -> Reading[Said]:
    inquiry = webhooks.begun(gate, record.stage, before, seen.now)
    number = webhooks.next_call(inquiry, seen.uid, hook, seen.now)
    if number is not None:
        answer = yield webhooks.call(app, seen.release, seen.uid, gate, hook, record, number)
        if isinstance(answer, Spoken | Failure):
            inquiry = webhooks.heard(inquiry, hook, answer)
    return webhooks.standing(inquiry, hook, seen.now)


def _verdict(gate: Gate, said: Said, record: Record, now: float) -> GateVerdict:
    """The verdict in the kernel's words. Time in a settled stage is this gate's observation: it needs no windows."""
    span = record.observing[-1]
    settled = (span.end if span.end is not None else now) - span.start
    spans = ((each.start, each.end if each.end is not None else now) for each in record.observing)
    watched = sum(end - start for start, end in spans if end > record.stage_since)
    known = said.inquiry
    evidence = {"tries": known.tries, "found": known.found} if known is not None else {}
    return GateVerdict(
        gate=gate.name,
        verdict=said.verdict,
        because=said.because,
        required=gate.required,
        observed=settled,
        watched=watched,
        evidence=evidence,
    )

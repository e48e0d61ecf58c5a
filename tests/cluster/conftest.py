"""One test bed for the whole run, shared by all workers of a parallel run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.bed.bed import Bed
from tests.cluster.bed.shaking import shake_requests, strength
from tests.cluster.bed.shared import joined, of_the_run
from tests.cluster.bed.site import Site
from tests.setup.needed import needed_programs

# More than a minute each, beside those that ask for their time themselves.
LONGEST = (
    "test_errors_that_begin_after_the_success_bring_the_warm_version_back",
    "test_y20_it_is_parked_when_its_window_closes_and_a_person_sends_it_on",
    "test_y20_it_waits_for_its_window_and_its_closing_turns_it_back",
    "test_three_cars_wait_for_their_night_and_leave_in_order_through_a_kill",
    "test_a_release_goes_all_the_way_by_weight",
    "test_what_people_change_while_it_sleeps_is_what_it_wakes_with",
    "test_a_kill_on_the_way_back",
    "test_a_job_that_the_api_server_refuses_is_said_and_waited_for",
    "test_an_abort_while_the_old_pods_are_kept_is_one_write_of_the_selector",
    "test_a_healthy_release_goes_all_the_way",
    "test_errors_in_mid_release_turn_it_back",
    "test_settings_are_released_with_the_app_alone_and_back",
    "test_it_sleeps_through_a_release_and_wakes_on_the_deployment_that_serves",
    "test_the_slots_take_turns_and_a_rollback_finds_the_warm_version",
    "test_errors_from_the_second_batch_on_turn_it_back_and_the_next_release_succeeds",
    "test_scaling_during_a_hold_is_followed_and_the_split_put_right",
    "test_a_release_survives_a_kill_in_every_phase_forward",
    "test_a_kill_at_the_switch_and_while_everything_is_given_back",
    "test_a_restart_by_a_person_while_the_old_pods_are_kept_drains_nothing",
    "test_a_healthy_version_gets_the_service_at_once_and_the_old_pods_stay_for_a_while",
    "test_a_deleted_crd_leaves_the_app_serving_and_comes_back",
    "test_an_app_comes_home_without_a_lost_request_and_nothing_of_ours_is_left",
    "test_a_release_survives_kills_in_mid_batch",
    "test_a_release_waits_for_prometheus_and_goes_on",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks every test of this folder, so that `-m "not cluster"` leaves them out.

    The longest begin first: at the end of a parallel run they would run alone.
    """
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.cluster)
    items.sort(key=lambda item: (_patience(item), item.name.partition("[")[0] in LONGEST), reverse=True)


def _patience(item: pytest.Item) -> float:
    """Seconds that a test asks for itself; a run in parallel is as long as what begins last."""
    asked = item.get_closest_marker("timeout")
    return float(asked.args[0]) if asked is not None and asked.args else 0.0


@pytest.fixture(scope="session")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    """The running bed. Without its programs the test is left out, or fails when the cluster tests are required."""
    programs = needed_programs()
    shake_requests(strength())
    with joined(of_the_run(tmp_path_factory.getbasetemp()) / "bed") as facts:
        bed = Bed(facts, programs, tmp_path_factory.mktemp("scratch"))
        yield bed
        bed.close()


@pytest.fixture
def site(bed: Bed, request: pytest.FixtureRequest) -> Iterator[Site]:
    """A namespace named after the test."""
    story = request.node.name.removeprefix("test_").replace("_", "-").lower()
    with bed.namespace("".join(c for c in story if c.isalnum() or c == "-")[:40].strip("-")) as site:
        yield site

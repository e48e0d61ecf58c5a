"""`trigger: template` beside a window: images that are set by day wait for the night, and the newest one leaves."""

from __future__ import annotations

from tests.controller.test_trigger import SPEC, App


def an_app() -> App:
    """It is 09:00 UTC; the window opens at 09:30."""
    app = App()
    window = {"from": "09:30", "to": "12:00", "zone": "UTC"}
    app.world.edit("ReleasePolicy", "checkout", {"spec": {**SPEC, "window": window}})
    app.runs(30)
    return app


def test_an_image_that_is_set_by_day_waits_for_the_window_and_moves_nothing() -> None:
    app = an_app()
    app.sets_image("v2")
    app.runs(600)
    assert app.releases() == [("Queued", "")]
    assert (app.images, app.paused()) == ({"v1"}, True)
    app.edits(replicas=5)  # another generation, the same version: no other release
    app.runs(300)
    assert app.releases() == [("Queued", "")]
    app.until(lambda: app.releases() == [("Succeeded", "Completed")])
    assert app.world.now - app.world.started > 1800.0


def test_a_second_image_before_the_window_opens_takes_the_place_of_the_first() -> None:
    app = an_app()
    app.sets_image("v2")
    app.runs(300)
    app.sets_image("v3")
    app.until(lambda: app.releases() == [("Cancelled", "Superseded"), ("Queued", "")])
    app.until(lambda: app.releases()[1] == ("Succeeded", "Completed"))
    assert app.images == {"v1", "v3"}

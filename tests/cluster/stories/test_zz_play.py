import os, subprocess, sys
from tests.cluster.bed.identities import PERSON
from tests.cluster.stories.story import Story
from tests.cluster.bed.waiting import eventually

def cli(story, *args):
    env = {**os.environ, "KUBECONFIG": str(story.bed.kubeconfig(PERSON, namespace=story.site.name)), "COLUMNS": "110"}
    r = subprocess.run([sys.executable, "-m", "controller", *args], env=env, capture_output=True, text=True)
    print(f"$ nightferry {' '.join(args)}   -> {r.returncode}\n{r.stdout}{r.stderr}")

def test_play(story: Story) -> None:
    story.opens(policy={"observe": {"atLeast": "10s", "atMost": "20s"}})
    cli(story, "status")
    cli(story, "release", "checkout", "--image", "registry.test/checkout:v2-errors5-from2", "--reason", "try")
    release = story.releases.await_new(set())
    eventually(lambda: story.releases.last(release).phase == "Canary", within=60, what="canary")
    import time; time.sleep(9)
    cli(story, "status")
    cli(story, "status", "-o", "json")
    cli(story, "pause", "checkout")
    time.sleep(2)
    cli(story, "status")
    cli(story, "resume", "checkout")
    cli(story, "explain", release)
    story.releases.await_phase(release, "RolledBack", within=150)
    cli(story, "status")
    cli(story, "explain", release)
    cli(story, "restore", "checkout")
    cli(story, "rollback", "checkout")
    cli(story, "abort", "checkout")
    cli(story, "release", "nothing", "--image", "x:y")
    print(subprocess.run(["kubectl", "--kubeconfig", str(story.bed.kubeconfig(PERSON, namespace=story.site.name)), "get", "releases,releasepolicies,events"], capture_output=True, text=True))
    print(story.controller.tail(30))

"""Who is there: keys, log-in, and what a wrong key is told."""

import os
import pathlib

import wandb
from ladder import BASE, ENTITY, KEY, PROJECT, capability, equal, main, python, raises, start, true, wandb_command

NO_KEY = {"WANDB_API_KEY": "", "NETRC": "netrc-of-this-test"}


@capability("login.command", "`wandb login` keeps the key for this server")
def _():
    pathlib.Path(NO_KEY["NETRC"]).unlink(missing_ok=True)
    wandb_command("login", "--relogin", "--host", BASE, KEY, **NO_KEY)
    true(KEY in pathlib.Path(NO_KEY["NETRC"]).read_text(), "the key is not in the netrc file")
    said = python("import wandb; print('who:', wandb.Api().default_entity)", **NO_KEY)
    true("who: " + ENTITY in said, "the key in the netrc file does not open the server")


@capability("login.verify", "`wandb login --verify` asks the server whether the key is good")
def _():
    wandb_command("login", "--relogin", "--verify", "--host", BASE, KEY, **NO_KEY)
    true(wandb.login(key=KEY, host=BASE, verify=True), "wandb.login says no")


@capability("login.wrong-key", "a wrong key is refused, and told so")
def _():
    if os.environ.get("INTEROP_OPEN"):
        return "this server is open: there are no wrong keys"
    wrong = "solera_" + "x" * 43
    said = wandb_command("login", "--relogin", "--verify", "--host", BASE, wrong, ok=False, WANDB_API_KEY="", NETRC="netrc-wrong")
    true(any(word in said.lower() for word in ("not logged in", "invalid", "unauthorized", "401", "failed", "unable")), "nothing was said of the wrong key")
    said = python(
        f"import wandb\ntry:\n  wandb.Api(api_key={wrong!r}).viewer; print('let', 'in')\nexcept Exception as e: print('refused:', e)",
        ok=False, WANDB_API_KEY="", NETRC="netrc-wrong2",
    )
    true("let in" not in said, "the wrong key opened the server")


@capability("login.viewer", "wandb.Api().viewer and default_entity")
def _():
    api = wandb.Api()
    equal(api.default_entity, ENTITY, "default entity")
    true(api.viewer.username, "no user name")
    true(ENTITY in api.viewer.teams, f"teams: {api.viewer.teams}")


@capability("login.unknown-entity", "an entity that does not exist is refused by its name")
def _():
    raises("init in a strange entity", lambda: start(entity="nobody-knows-this", settings={"init_timeout": 20}), "nobody-knows-this")


@capability("login.urls", "the URLs that a client prints open a page of the dashboard")
def _():
    import urllib.request

    run = start(id="urls")
    urls = [run.url, run.project_url]
    run.finish()
    for url in urls:
        true(url.startswith(BASE), f"{url} is elsewhere")
        request = urllib.request.Request(url, headers={"Accept": "text/html"})
        with urllib.request.urlopen(request, timeout=10) as answer:
            equal(answer.status, 200, url)
            true(PROJECT in answer.url or ENTITY in answer.url, f"{url} went to {answer.url}")


main()

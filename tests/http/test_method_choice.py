"""The form of a run names the methods of every backend, and says of those that cannot be used why not."""

from __future__ import annotations

import re

from http_for_tests import Server


def test_the_form_lists_backends_methods_and_why_they_cannot_be_used(server: Server) -> None:
    page = server.client.get(f"/datasets/{server.upload()['dataset_id']}/form").text
    groups = {
        label: (disabled, re.findall(r'<option value="([^"]+)"', body))
        for label, disabled, body in re.findall(r'<optgroup label="([^"]+)"( disabled)?>(.*?)</optgroup>', page)
    }
    assert list(groups) == ["SynthCity, which cannot be used here", "SDV, which cannot be used here"]
    assert all(disabled for disabled, _ in groups.values())
    assert "synthcity:adsgan" in groups["SynthCity, which cannot be used here"][1]
    told = re.search(r'id="method-help">.*?<details.*?>(.*?)</details>', page, re.DOTALL)
    assert told is not None
    assert "Why methods of SynthCity and SDV cannot be used here" in told[1]
    assert "SynthCity is not installed" in told[1]
    assert "SYNTHLOOM_SDV_LICENSED" in told[1]


def test_an_operator_with_a_licence_offers_sdv_like_any_other(guarded) -> None:
    server = guarded(auth="none", sdv_licensed=True)
    others = server.client.get("/v1/methods").json()["others"]
    assert {m["reason"].split(".")[0].split(": ")[-1] for m in others if m["backend"] == "sdv"} == {
        "SDV is not installed",
    }

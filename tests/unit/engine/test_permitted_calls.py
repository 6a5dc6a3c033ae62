"""What a caller may not use is neither called nor told about."""

from dataclasses import replace

import pytest
from scripted_calls import Recorder, Says, World, busy, call, deployment

from router_service.domain.call import Caller, Wishes
from router_service.domain.error import PermissionDenied
from router_service.domain.identity import Grants, Identity, IdentityKind

EVERYTHING = Grants(features=None, models=None, policies=None, tiers=None)


def known(**grants):
    return Identity(tenant="acme", principal="rk_1", kind=IdentityKind.API_KEY, grants=replace(EVERYTHING, **grants))


async def complete(scene, identity, **changes):
    return await scene.engine.complete(call(identity=identity, **changes), Recorder())


async def test_a_candidate_that_is_not_granted_is_never_asked_not_even_as_a_fallback():
    scene = World({"a": [busy()], "b": [Says("From b")], "c": [Says("From c")]})
    answer = await complete(scene, known(models=frozenset({"a", "c"})))
    assert answer.message.text == "From c"
    assert not scene.provider("b").requests
    assert [rejection.reason.value for rejection in answer.receipt.decision.rejections] == ["PERMISSION"]


async def test_a_caller_that_may_use_no_candidate_is_denied():
    scene = World({"a": [Says()], "b": [Says()]})
    with pytest.raises(PermissionDenied) as raised:
        await complete(scene, known(models=frozenset({"z"})))
    assert raised.value.metadata == {"a": "PERMISSION", "b": "PERMISSION"}


@pytest.mark.parametrize("name", ["a", "nobody-knows-this"])
async def test_naming_a_model_that_is_not_granted_tells_nobody_whether_it_exists(name):
    scene = World({"a": [Says()], "b": [Says()]})
    for wishes in (Wishes(model=name), Wishes(deployment=name)):
        with pytest.raises(PermissionDenied) as raised:
            await complete(scene, known(models=frozenset({"b"})), wishes=wishes)
        assert raised.value.message == (await denial(scene, "another")).replace("'another'", f"'{name}'")


async def denial(scene, name):
    with pytest.raises(PermissionDenied) as raised:
        await complete(scene, known(models=frozenset({"b"})), wishes=Wishes(model=name))
    return raised.value.message


async def test_a_deployment_is_granted_under_its_own_name_or_its_models():
    one = deployment("gpt-eu", model="gpt")
    scene = World({"gpt-eu": [Says()]}, deployments=[one])
    for granted in ("gpt", "gpt-eu"):
        for wishes in (Wishes(deployment="gpt-eu"), Wishes()):
            assert await complete(scene, known(models=frozenset({granted})), wishes=wishes)


@pytest.mark.parametrize(
    ("grants", "changes"),
    [
        ({"features": frozenset({"search"})}, {}),
        ({"tiers": frozenset({"paid"})}, {}),
        ({"policies": frozenset({"other"})}, {}),
        ({"policies": frozenset({"default"})}, {"wishes": Wishes(policy="nobody-knows-this")}),
    ],
)
async def test_features_tiers_and_policies_are_granted_too(grants, changes):
    scene = World({"a": [Says()]})
    with pytest.raises(PermissionDenied):
        await complete(scene, known(**grants), **changes)
    with pytest.raises(PermissionDenied):
        await scene.engine.route(call(identity=known(**grants), **changes))
    assert not scene.provider("a").requests


async def test_whoever_claims_no_tier_gets_the_default_one():
    scene = World({"a": [Says()]})
    identity = known(tiers=frozenset({"paid"}), default_tier="free")
    answer = await complete(scene, identity, caller=Caller(feature="chat"))
    assert answer.receipt.tier == "free"


async def test_models_are_listed_as_far_as_they_are_granted():
    scene = World({"a": [Says()], "b": [Says()]})
    assert [one.deployment.id for one in scene.engine.deployments(known(models=frozenset({"b"})))] == ["b"]
    assert len(scene.engine.deployments()) == 2

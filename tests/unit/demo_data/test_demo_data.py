from collections import Counter
from importlib.resources import as_file, files

import pytest

from router_service.config.configuration import Configuration
from router_service.config.load import load as load_configuration
from router_service.demo.prompts import SHIPPED, DemoPrompt, read_prompts
from router_service.demo.session import CONFIGURATION, FAULTS
from router_service.simulator import DEFAULT_MODELS, Fault, FaultKind
from router_service.simulator.script import load as load_script
from router_service.spend.catalogue import catalogue_facts


@pytest.fixture(scope="module")
def configuration() -> Configuration:
    return load_configuration(CONFIGURATION, catalogue_facts, {"SIMULATOR_URL": "http://127.0.0.1:1"})


@pytest.fixture(scope="module")
def prompts() -> list[DemoPrompt]:
    return read_prompts(SHIPPED)


def test_every_deployment_is_priced_and_served_by_the_simulated_provider(configuration: Configuration) -> None:
    served = {(model.provider, model.name) for model in DEFAULT_MODELS}
    for deployment in configuration.deployments.values():
        assert deployment.price is not None
        assert (deployment.provider, deployment.upstream_name) in served
        assert configuration.providers[deployment.provider].base_url.startswith(
            f"http://127.0.0.1:1/{deployment.provider}/"
        )


def test_the_window_of_no_deployment_is_larger_than_the_simulated_one(configuration: Configuration) -> None:
    windows = {(model.provider, model.name): model.context_window for model in DEFAULT_MODELS}
    for deployment in configuration.deployments.values():
        assert deployment.context_window is not None
        assert deployment.context_window <= windows[deployment.provider, deployment.upstream_name]


def test_the_prompts_are_a_mix_of_tiers_features_and_kinds(prompts: list[DemoPrompt]) -> None:
    assert len(prompts) >= 14
    assert {prompt.options["tier"] for prompt in prompts} == {"free", "pro", "enterprise"}
    assert len({prompt.options["feature"] for prompt in prompts}) >= 6
    assert {prompt.stream for prompt in prompts} == {True, False}
    simple = Counter(prompt.options.get("complexity") == "complex" for prompt in prompts)
    assert simple[True] / len(prompts) < 0.3
    assert any(sum(message["role"] == "user" for message in prompt.messages) > 10 for prompt in prompts)


def test_every_fault_is_for_a_provider_and_a_prompt_there_is(
    configuration: Configuration, prompts: list[DemoPrompt]
) -> None:
    script = load_script(FAULTS)
    everything = [prompt for prompt in prompts for _ in range(3)]
    struck: Counter[FaultKind] = Counter()
    for provider in configuration.providers:
        for prompt in everything:
            messages = [*prompt.messages, *({"role": "user", "content": turn} for turn in prompt.turns)]
            fault = script.fault_for(provider, "gpt-4o-mini", {}, {"messages": messages})
            struck.update([fault.kind] if isinstance(fault, Fault) else [])
    assert struck[FaultKind.RATE_LIMITED_SECONDS] == 1
    assert struck[FaultKind.CUT] == 1
    assert struck[FaultKind.IN_BAND_ERROR] == 2
    assert struck[FaultKind.UNAVAILABLE] == len(everything)


@pytest.mark.parametrize("name", ["router.yaml", "faults.yaml", "prompts.jsonl"])
def test_the_files_ship_with_the_package(name: str) -> None:
    with as_file(files("router_service") / "demo_data" / name) as path:
        assert path.is_file()

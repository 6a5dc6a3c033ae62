"""A configuration from the environment alone: what is half there is named."""

from __future__ import annotations

import logging

import pytest

from router_service.config.load import from_environment
from router_service.config.problem import ConfigurationError


@pytest.mark.parametrize(
    ("environ", "base_url"),
    [
        ({"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": "proxy.example.com/v1"}, "https://proxy.example.com/v1"),
        ({"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": "proxy:8080"}, "https://proxy:8080/v1"),
        ({"OLLAMA_HOST": "[::1]"}, "http://[::1]:11434/v1"),
        ({"OLLAMA_HOST": "0.0.0.0:1"}, "http://127.0.0.1:1/v1"),
    ],
)
def test_an_address_without_a_scheme_takes_the_presets(environ: dict[str, str], base_url: str) -> None:
    (provider,) = from_environment(environ, lambda *_: None).providers.values()
    assert provider.base_url == base_url


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"OLLAMA_HOST": "::1"}, "environment: OLLAMA_HOST: is not a URL. Write"),
        ({"OLLAMA_HOST": "http://h:abc"}, "environment: OLLAMA_HOST: is not a URL. Write"),
        ({"OLLAMA_HOST": "http://[::1"}, "environment: OLLAMA_HOST: is not a URL. Write"),
        ({"LLM_BASE_URL": "gpu:1/v1", "LLM_MODEL": "m"}, "environment: LLM_BASE_URL: is not a URL. Write"),
        ({"OPENAI_API_KEY": "a b"}, "environment: OPENAI_API_KEY: a key holds white space. Check"),
        (
            {"AZURE_OPENAI_API_KEY": "k"},
            "environment: AZURE_OPENAI_ENDPOINT is not set, which AZURE_OPENAI_API_KEY needs. "
            "Set AZURE_OPENAI_ENDPOINT and AZURE_OPENAI_DEPLOYMENT, or",
        ),
        (
            {"AZURE_OPENAI_API_KEY": "k", "AZURE_OPENAI_ENDPOINT": "https://a.openai.azure.com"},
            "environment: AZURE_OPENAI_DEPLOYMENT is not set",
        ),
        ({"LLM_BASE_URL": "http://h/v1"}, "environment: LLM_MODEL is not set, which LLM_BASE_URL needs. Set LLM_MODEL"),
        ({"VLLM_BASE_URL": "http://h/v1", "VLLM_MODEL": " , "}, "environment: VLLM_MODEL is not set"),
        ({"OLLAMA_MODEL": "m"}, "environment: OLLAMA_HOST is not set, which OLLAMA_MODEL needs"),
        ({"OPENAI_BASE_URL": "https://h/v1"}, "environment: OPENAI_API_KEY is not set"),
        ({}, "environment: there is no configuration file"),
    ],
)
def test_what_is_wrong_or_missing_is_named_by_its_variable(environ: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        from_environment(environ, lambda *_: None)
    (found,) = caught.value.problems
    assert str(found).startswith(message)


def test_a_provider_that_lacks_a_variable_is_left_out_beside_others(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        found = from_environment({"OPENAI_API_KEY": "k", "VLLM_BASE_URL": "http://h/v1"}, lambda *_: None)
    assert list(found.providers) == ["openai"]
    assert "VLLM_MODEL is not set" in caplog.text

"""`llmrouter check`: what is hardly meant is told, and fails a pipeline only where that is asked for."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from router_service.cli.main import app

MEANT = """\
providers: {openai: {api_key: "${KEY}"}}
models: {gpt-4o: {provider: openai}}
policies:
  default:
    rules:
      - {when: {tier: free}, use: gpt-4o}
"""
HARDLY_MEANT = MEANT + "      - {when: {tier: free, feature: chat}, use: gpt-4o}\n"


@pytest.mark.parametrize(
    ("text", "strict", "code"), [(MEANT, True, 0), (HARDLY_MEANT, False, 0), (HARDLY_MEANT, True, 1)]
)
def test_warnings_are_told_beside_the_result(tmp_path: Path, text: str, strict: bool, code: int) -> None:
    file = tmp_path / "router.yaml"
    file.write_text(text)
    result = CliRunner().invoke(app, ["check", str(file), *(["--strict"] if strict else [])], env={"KEY": "k"})
    assert result.exit_code == code
    assert result.stdout.startswith(f"{file}: valid. 1 provider, 1 deployment, 1 policy, fingerprint ")
    hidden = "policies.default.rules[1]: is never reached: policies.default.rules[0] before it matches every such call."
    warning = f"warning: {file}:7:9: {hidden} Put the rule with more conditions first.\n"
    assert result.stderr == ("" if text == MEANT else warning)

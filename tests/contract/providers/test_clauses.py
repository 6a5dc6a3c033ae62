"""What is known of upstream streams in the wild, clause by clause, and the test of each.

A name with a bracket is one case of a test, by the first of its parameters.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

CLAUSES: dict[str, tuple[str, ...]] = {
    # Framing
    "lines end with LF, CR or CRLF, and with nothing else": (
        "test_lines_end_with_lf_crlf_or_cr",
        "test_line_ends_may_be_mixed",
        "test_unicode_separators_do_not_end_a_line",
        "test_unicode_line_separators_do_not_split_an_event",
    ),
    "UTF-8 is decoded once a line is complete": ("test_utf8_cut_in_the_middle_of_a_character_is_whole_again",),
    "`data:` needs no space": (
        "test_data_needs_no_space",
        "test_the_space_after_data_is_optional_and_only_one_is_dropped",
    ),
    "comments are skipped": (
        "test_comments_are_not_output",
        "test_comments_blank_lines_and_unknown_fields_are_skipped",
    ),
    "comments do not reset the timer of content": (
        "test_comments_and_empty_deltas_never_reach_the_receiver",
        "test_a_flood_of_comments_after_output_is_no_output",
        "test_a_flood_without_content_is_no_output_and_ends_as_malformed",
    ),
    "blank lines come before plain JSON (DeepSeek)": (
        "test_blank_lines_before_plain_json_are_skipped",
        "test_blank_lines_for_an_answer_do_not_pile_up",
    ),
    "events without data are skipped": ("test_events_without_data_are_skipped",),
    "an event has at most 1 MiB": (
        "test_an_event_beyond_1_mib_is_malformed",
        "test_output_before_an_event_beyond_1_mib_is_in_the_reply",
        "test_a_finish_before_an_event_beyond_1_mib_is_a_finish",
    ),
    "a stream has at most 64 MiB": ("test_output_that_never_ends_is_malformed_and_what_came_is_in_the_reply",),
    "200 may come with a web page": ("test_a_web_page_with_200_is_malformed_and_not_quoted",),
    "a provider's HTML goes nowhere": (
        "test_a_web_page_with_200_is_malformed_and_not_quoted",
        "test_a_web_page_for_an_error_is_not_quoted",
        "test_nothing_of_the_body_is_kept",
    ),
    "any byte split gives the same": (
        "test_every_cut_in_two_gives_the_same_reply",
        "test_one_byte_at_a_time_gives_the_same_reply",
        "test_any_cuts_give_the_same_reply",
        "test_any_byte_split_gives_the_same_events",
        "test_a_seed_or_finding_holds",
    ),
    # Ending
    "success needs a finish reason that is not empty": (
        "test_an_empty_finish_reason_is_none",
        "test_the_end_without_a_finish_reason_is_truncated",
    ),
    "`[DONE]` alone is no success": ("test_done_alone_is_truncated",),
    "some never send a finish reason": (
        "test_done_alone_is_a_finish_where_the_provider_never_says_more",
        "test_the_end_without_done_is_truncated_even_there",
    ),
    "a clean end without either is truncated": (
        "test_the_end_without_a_finish_reason_is_truncated",
        "test_an_empty_stream_is_truncated",
        "test_an_event_cut_off_by_the_end_is_truncated",
    ),
    # Errors inside a 200
    "vLLM: an error with a code, then `[DONE]`": ("test_an_error_inside_a_200_is_an_error[vLLM]",),
    "OpenRouter: empty choices, an error at the top, codes as strings": (
        "test_an_error_inside_a_200_is_an_error[OpenRouter]",
        "test_an_error_inside_a_200_is_an_error[OpenRouter, a number as a string]",
    ),
    "Anthropic: `overloaded_error` without an end, 529": (
        "test_an_error_inside_a_200_is_an_error[Anthropic, without an end]",
    ),
    "Groq: a bare string, or nested": (
        "test_an_error_inside_a_200_is_an_error[Groq, bare string]",
        "test_an_error_inside_a_200_is_an_error[Groq, nested]",
    ),
    "llama.cpp: context overflow as a chunk": ("test_an_error_inside_a_200_is_an_error[llama.cpp]",),
    # Deltas
    "Azure's first chunk has no choices": ("test_azures_first_chunk_has_no_choices",),
    "Gemini's tool calls have no index, and finish with `stop`": (
        "test_geminis_tool_calls_have_no_index_and_finish_with_stop",
    ),
    "Ollama's tool calls all have index 0": ("test_ollamas_tool_calls_all_have_index_0",),
    "reasoning has two names": ("test_reasoning_has_two_names",),
    "Mistral refuses two fields with 422": ("test_mistral_names_its_own_fields",),
    "Mistral's error message may be an object": (
        "test_a_field_that_others_accept_is_told_from_a_bad_request",
        "test_a_response_is_classified_by_status_and_body[422 Mistral]",
    ),
    "usage is cumulative": ("test_usage_is_cumulative_and_the_last_one_wins",),
    "an explicit 0 is not missing": ("test_an_explicit_0_is_a_count_and_what_is_missing_stays",),
    # Retry hints
    "`retry-after-ms` comes first": ("test_milliseconds_are_the_first_choice",),
    "`retry-after` is a number or a date": ("test_seconds_may_be_a_fraction", "test_a_date_is_read_against_the_clock"),
    "0, what is past and what is no time say nothing": (
        "test_a_hint_that_says_nothing_passes_on_to_the_next",
        "test_a_useless_hint_of_a_real_answer_says_nothing",
    ),
    "longer than 120 s means not here": (
        "test_a_long_wait_means_not_here",
        "test_a_long_wait_is_kept_for_cooling_down_and_forbids_a_retry",
    ),
    "`x-should-retry` is obeyed": ("test_the_providers_own_word_is_kept", "test_a_provider_may_forbid_a_retry"),
    "Gemini's `retryDelay` is in the body": ("test_the_delay_of_gemini_is_read_from_the_body",),
    "a quota per day is fatal": (
        "test_a_response_is_classified_by_status_and_body[429 Gemini per day]",
        "test_a_quota_per_day_is_not_retried_whatever_its_delay",
    ),
    "`x-ratelimit-reset-*` are durations": (
        "test_durations_are_read_in_every_form_in_use",
        "test_the_used_up_window_counts",
    ),
}

_TESTS = Path(__file__).parents[2]


def sources_by_name() -> dict[str, str]:
    """The source of each module by the tests that are in it."""
    found = {}
    for folder in ("contract/providers", "unit/providers", "fuzz"):
        for file in (_TESTS / folder).glob("test_*.py"):
            source = file.read_text(encoding="utf-8")
            names = [node.name for node in ast.walk(ast.parse(source)) if hasattr(node, "name")]
            found.update(dict.fromkeys(names, source))
    return found


@pytest.mark.parametrize("clause", CLAUSES)
def test_every_clause_has_its_tests(clause: str) -> None:
    known = sources_by_name()
    for name in CLAUSES[clause]:
        test, _, case = name.removesuffix("]").partition("[")
        assert test in known
        assert f'"{case}"' in known[test] or not case

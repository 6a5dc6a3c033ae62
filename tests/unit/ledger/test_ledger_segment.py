from ledger_values import closed, intent, opened, terminal

from router_service.ledger.segment import line, scan, scans, segment_path

RECORDS = [opened(), intent(), terminal(finish_reason="stop\n\r\u2028"), closed()]


def written(folder, data):
    path = segment_path(folder, 1)
    path.write_bytes(data)
    return path


def test_a_segment_cut_anywhere_gives_the_whole_lines_before_the_cut(tmp_path):
    lines = [line(record) for record in RECORDS]
    data = b"".join(lines)
    for cut in range(len(data) + 1):
        written(tmp_path, data[:cut])
        [found] = scans(tmp_path)
        whole = sum(len(b"".join(lines[: number + 1])) <= cut for number in range(len(lines)))
        assert found.records == RECORDS[:whole]
        assert found.torn == (cut != found.end)
        assert not found.damaged


def test_every_changed_byte_is_noticed_and_the_other_lines_are_read(tmp_path):
    data = b"".join(line(record) for record in RECORDS)
    start = len(line(RECORDS[0]))
    for position in range(start, start + len(line(RECORDS[1])) - 1):
        damaged = bytearray(data)
        damaged[position] ^= 0x01
        found = scan(written(tmp_path, bytes(damaged)))
        assert found.damaged
        assert [record for record in found.records if record in RECORDS] == [RECORDS[0], *RECORDS[2:]]


def test_a_scan_goes_on_where_the_last_one_ended(tmp_path):
    data = b"".join(line(record) for record in RECORDS)
    path = written(tmp_path, data[:-5])
    first = scan(path)
    path.write_bytes(data)
    assert first.records + scan(path, first.end).records == RECORDS


def test_a_scan_takes_at_least_a_line_and_no_more_than_it_was_asked_for(tmp_path):
    path = written(tmp_path, b"".join(line(record) for record in RECORDS))
    start, seen = 0, []
    while (found := scan(path, start, 1)).records:
        assert len(found.records) == 1
        seen += found.records
        start = found.end
    assert seen == RECORDS


def test_a_record_of_a_newer_version_is_read_as_far_as_it_is_known(tmp_path):
    text = line(intent()).replace(b'"reason"', b'"season"')
    found = scan(written(tmp_path, text))
    assert (found.records, len(found.damaged)) == ([], 1)

"Checks that are written and await the reader they ask for; `MT_STRICT=1` runs them too."
import os
import pytest

awaited = {
    'sustain_is_the_rule', 'one_channel_is_read_by_the_rule', 'tracks_and_channels_are_read_by_the_rule', 'drums_are_left_out_and_counted',
    'chunks_do_not_matter', 'small_files', 'pretty_midi_keeps_the_order_of_the_foot', 'round_trip_on_the_grid', 'no_note_is_too_short_for_a_file',
    'a_slice_of_everything_is_everything', 'a_numpy_table_is_taken_or_refused_never_bent', 'several_processes_write_one_folder',
    'fuzz_only_midi_errors', 'odd_events_do_no_harm', 'an_unknown_event_takes_its_time',
    'a_file_that_kills_its_reader_is_listed', 'killed_from_outside',
}

def pytest_collection_modifyitems(items):
    skip = pytest.mark.skip(reason='awaits a reader that is strict about damaged and unusual MIDI; MT_STRICT=1 runs it')
    for o in items:
        name = o.originalname.removeprefix('test_')
        if (name in awaited or name=='a_file_is_read_as_it_sounds' and '2009_08_WAV' in o.name) and 'MT_STRICT' not in os.environ: o.add_marker(skip)

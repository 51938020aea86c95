from pyimagesearch.torture import trials


def test_trial_counts_when_trials_fail_count_each_sort_of_failure():
    counts = trials.TrialCounts("it")
    counts.count("fine")
    counts.count("run", executed=True)
    counts.count("half", "not whole", half_written=True)
    counts.count("much", over_memory=True, over_time=False)
    counts.count("end", "KeyError", traceback=True)
    assert counts.row() == ("it", "5", "1", "1", "1", "1", "0", "1")
    assert len(counts.failures) == 4
    # What was never measured is not a count of 0.
    assert trials.TrialCounts("other").row()[-3:] == ("-", "-", "0")

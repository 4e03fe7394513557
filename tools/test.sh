#!/bin/sh
# The whole suite: quick tests, then the slow ones (they start platforms and jobs and wait for them); both share the cores, file by file.
# Skipped tests are listed with their reason. TESTS and WORKERS come from make.
# Tests that failed run once more, alone, where they are few (three quick ones, ten slow ones): what passes then is a flake. It is told
# loudly and fails nothing; what fails twice does.
# The last line is the one plain count of all parts.
set -u
tests=${TESTS:-tests}
workers=${WORKERS:-2}
slow_workers=${SLOW_WORKERS:-$((workers + 1))} # they wait more than they compute
report=$(mktemp -d)
trap 'rm -rf "$report"' EXIT
# What the user's shell points at must not reach the tests.
for name in $(env | sed -n 's/^\(AWS_[A-Z0-9_]*\)=.*/\1/p'); do unset "$name"; done
# pytest writes the rewritten tests beside them (__pycache__), which takes 12 s of each worker otherwise: in the quick part, and in the slow one again.
unset PYTHONDONTWRITEBYTECODE

part() {
    name=$1
    shift
    echo "== $name tests"
    .venv/bin/python -m pytest $tests -q -rsfE --durations=10 --junitxml="$report/$name.xml" -o cache_dir="$report/$name" "$@"
    code=$?
    [ $code -eq 5 ] && code=0 # no test of this kind in what was asked for
    return $code
}

# A part, and its few failed tests once more: whether all have passed by then.
chances() {
    name=$1 most=$2
    shift 2
    part "$name" "$@" $spread
    code=$?
    [ $code -eq 1 ] || return $code # 1: tests failed. Else a worker died or pytest itself failed: tests that never ran are no flakes
    count=$(.venv/bin/python tools/count_tests.py --failed "$report/$name.xml")
    if [ "$count" -gt "$most" ]; then
        echo "== $count $name tests failed: too many for flakes, none runs once more"
        return 1
    fi
    echo "== $count $name test(s) failed: once more, alone"
    .venv/bin/python -m pytest $tests -q -rsfE "$@" -n 0 --junitxml="$report/$name-again.xml" -o cache_dir="$report/$name" \
        --last-failed --last-failed-no-failures none
}

failed=0
# No restart of a crashed worker: with loadfile the others would wait for its tests for ever.
# Files in the order of tests/conftest.py, the longest first.
spread="--dist loadfile --no-loadscope-reorder --max-worker-restart=0"
chances quick 3 -m "not slow" -n "$workers" || failed=1
chances slow 10 -m slow -n "$slow_workers" || failed=1
set -- "$report/quick.xml" "$report/slow.xml"
for second in "$report"/*-again.xml; do
    [ -f "$second" ] && set -- "$@" --again "$second"
done
.venv/bin/python tools/count_tests.py "$@" || failed=1
exit $failed

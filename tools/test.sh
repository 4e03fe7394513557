#!/bin/sh
# The whole suite: quick tests, then the slow ones (they start platforms and jobs and wait for them); both share the cores, file by file.
# Skipped tests are listed with their reason. TESTS and WORKERS come from make.
# Slow tests that failed, ten at most, run once more, alone: what passes then is a flake. It is told loudly and fails nothing; what
# fails twice does, and so does a quick test that fails once.
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

# Whether the slow tests that failed all pass alone.
again() {
    count=$(.venv/bin/python tools/count_tests.py --failed "$report/slow.xml")
    if [ "$count" -gt 10 ]; then
        echo "== $count slow tests failed: too many for flakes, none runs once more"
        return 1
    fi
    echo "== $count slow test(s) failed: once more, alone"
    .venv/bin/python -m pytest $tests -q -rsfE -m slow -n 0 --junitxml="$report/again.xml" -o cache_dir="$report/slow" \
        --last-failed --last-failed-no-failures none
}

failed=0
# No restart of a crashed worker: with loadfile the others would wait for its tests for ever.
# Files in the order of tests/conftest.py, the longest first.
spread="--dist loadfile --no-loadscope-reorder --max-worker-restart=0"
part quick -m "not slow" -n "$workers" $spread || failed=1
part slow -m slow -n "$slow_workers" $spread
case $? in
0) ;;
1) again || failed=1 ;; # tests failed
*) failed=1 ;;          # a worker died, pytest itself failed: tests that never ran are no flakes
esac
set -- "$report/quick.xml" "$report/slow.xml"
[ -f "$report/again.xml" ] && set -- "$@" --again "$report/again.xml"
.venv/bin/python tools/count_tests.py "$@" || failed=1
exit $failed

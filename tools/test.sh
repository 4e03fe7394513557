#!/bin/sh
# The whole suite: quick tests, then the slow ones (they start platforms and jobs and wait for them); both share the cores, file by file.
# Skipped tests are listed with their reason. TESTS and WORKERS come from make.
# The last line is the one plain count of both parts.
set -u
tests=${TESTS:-tests}
workers=${WORKERS:-2}
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
    .venv/bin/python -m pytest $tests -q -rsfE --durations=10 --junitxml="$report/$name.xml" "$@"
    code=$?
    [ $code -eq 5 ] && code=0 # no test of this kind in what was asked for
    return $code
}

failed=0
# No restart of a crashed worker: with loadfile the others would wait for its tests for ever.
# Files in the order of tests/conftest.py, the longest first.
spread="-n $workers --dist loadfile --no-loadscope-reorder --max-worker-restart=0"
part quick -m "not slow" $spread || failed=1
part slow -m slow $spread || failed=1
.venv/bin/python tools/count_tests.py "$report"/*.xml || failed=1
exit $failed

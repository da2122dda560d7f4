# Sourced by scripts that people start, before anything else: with --help, their head is the answer.
# shellcheck shell=bash
if [ "${1:-}" = --help ] || [ "${1:-}" = -h ]; then
    sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"
    exit
fi

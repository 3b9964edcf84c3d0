#!/usr/bin/env bash
# The demo is true: whatever examples/demo.sh claims it asserts, so it is run. Besides that it is plain text in a log, that
# what it keeps can be looked at as it says, and ended, and that whatever goes wrong in it is told and ends it.
#
# What always holds: a demo that somebody has kept is left alone.
set -euo pipefail
cd "$(dirname "$0")/.."

scratch=$(mktemp -d /tmp/gundb.XXXXXX)
export DEMO_KEPT=$scratch/kept
unset NO_COLOR
# shellcheck disable=SC2317 # the trap calls it
ended() {
    [[ ! -e $DEMO_KEPT ]] || examples/demo.sh stop
    rm -rf "$scratch"
}
trap ended EXIT

failed=0
wrong() {
    printf 'demo: %s\n' "$1" >&2
    failed=1
}

# What the log says to run, without what follows it on the line.
said() { sed -n "s|^    \($1.*\)|\1|p" "$scratch/log" | sed 's/ *#.*//'; }
runs() { (PATH=target/pg/15/bin:$PATH && eval "$1") >/dev/null 2>&1; }

DEMO_KEEP=1 examples/demo.sh >"$scratch/log" 2>&1 </dev/null || { cat "$scratch/log"; exit 1; }
printf 'the demo: %d s\n' "$SECONDS"
! grep -q $'[\e\r]' "$scratch/log" || wrong "a log has colours, or lines that are drawn anew"
mapfile -t commands < <(said 'psql ' && said '[^ ]*gundb ')
((${#commands[@]} == 5)) || wrong "five commands to look further should be named, not ${#commands[@]}"
for command in "${commands[@]}"; do
    runs "$command </dev/null" || wrong "this does not run, as the demo says: $command"
done
examples/demo.sh stop
! runs "${commands[0]} </dev/null" || wrong "a server was kept, and is there after its end"
[[ ! -e $DEMO_KEPT ]] || wrong "what was kept is still noted"

# A program that fails, and a claim that is not so.
status=0
GUNDB_BINARY=/bin/false examples/demo.sh >"$scratch/log" 2>&1 </dev/null || status=$?
((status == 1)) || wrong "a command that fails ends the demo with status $status"
(($(grep -c 'The end of the log of' "$scratch/log") == 3)) || wrong "the ends of the logs are not shown"
looks() { bash -c "source examples/look.sh && $1"; }
! looks 'proven "One is two." 1 2 && echo it goes on' >"$scratch/log" 2>&1 || wrong "a claim that is not so does not end a script"
! grep -q 'it goes on' "$scratch/log" || wrong "a script goes on after a claim that is not so"

# A terminal.
drawn() { script -qec "bash -c 'source examples/look.sh && act Title'" /dev/null </dev/null; }
[[ $(TERM=xterm drawn) == *$'\e[1m'* ]] || wrong "a terminal has no colours"
[[ $(TERM=xterm NO_COLOR=1 drawn) != *$'\e'* ]] || wrong "NO_COLOR has colours"

((failed)) || printf 'the demo and what becomes of its faults: %d s\n' "$SECONDS"
exit "$failed"

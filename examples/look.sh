# shellcheck shell=bash
# shellcheck disable=SC2034 # those who source this use the colours
# How the examples look, for scripts that `source` this file:
#
#   act TITLE                   a heading, with the seconds so far
#   tell TEXT                   a line between the statements
#   typed NAME PROMPT COMMAND   what is typed at a site, in the colour of that site
#   proven TEXT IS SHOULD       says that something holds; where it does not, says so and ends the script with status 1
#   bar PART WHOLE WIDTH        prints a bar that is full where PART is WHOLE
#   progress TEXT PART WHOLE    draws one line anew; progress_done takes it away
#
# What always holds: colours and lines that are drawn anew are for terminals alone, and not for who sets NO_COLOR; anywhere
# else it is plain text that reads the same. Blocks and ticks are drawn where the locale has UTF-8, and else # and ok.

bold='' dim='' red='' green='' yellow='' plain='' is_live=''
declare -A hue=()
if [[ -t 1 && -z ${NO_COLOR-} && ${TERM-dumb} != dumb ]]; then
    is_live=1 bold=$'\e[1m' dim=$'\e[2m' red=$'\e[31m' green=$'\e[32m' yellow=$'\e[33m' plain=$'\e[0m'
    hue=([ewr]=$'\e[34m' [jfk]=$'\e[35m' [lga]=$'\e[36m' [weather]=$'\e[33m')
fi
tick=ok block='#'
if [[ $(locale charmap 2>/dev/null) == UTF-8 ]]; then tick=✓ block=█; fi

act() { printf '\n%s== %s%s %s(%d s)%s\n' "$bold$yellow" "$1" "$plain" "$dim" "$SECONDS" "$plain"; }

tell() { printf '\n%s%s%s\n' "$dim" "$(fold -s -w 110 <<<"$1" | sed 's/^/-- /; s/ $//')" "$plain"; }

typed() { printf '%s%s%s%s %s%s%s\n' "${hue[$1]-}" "$1" "$2" "$plain" "$bold" "$3" "$plain"; }

proven() {
    if [[ $2 != "$3" ]]; then
        printf '%sNot so: %s It is "%s", and should be "%s".%s\n' "$red" "$1" "$2" "$3" "$plain" >&2
        exit 1
    fi
    printf '%s%s%s %s\n' "$green" "$tick" "$plain" "$1"
}

bar() {
    local full=$(($2 > 0 ? ($1 * $3 + $2 - 1) / $2 : 0)) drawn
    printf -v drawn '%*s' "$full" ''
    printf '%s%*s' "${drawn// /$block}" "$(($3 - full))" ''
}

progress() {
    [[ -z $is_live ]] || printf '\r%s %s%s%s %d of %d' "$1" "$green" "$(bar "$2" "$3" 30)" "$plain" "$2" "$3"
}
progress_done() { [[ -z $is_live ]] || printf '\r\e[K'; }

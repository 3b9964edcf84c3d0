#!/usr/bin/env bash
# The views of a field hospital, the same wherever its events are: in a directory (an edge node) or a database.
#
#   views.sh STORE        a directory, or postgres://user@host/database
set -euo pipefail

# One row a patient. triage is the last word; assessed is every word that nobody has overruled yet.
gundb --store "$1" view create patients care --key '@key as patient' '{
    "name":      {"fold": "lww", "value": {"Admitted": "name"}},
    "triage":    {"fold": "lww", "value": {"Triaged": "category"}},
    "assessed":  {"fold": "mv",  "value": {"Triaged": "category"}},
    "allergies": {"fold": "set", "add": {"AllergyFound": "to"}, "remove": {"AllergyRuledOut": "to"}}}'

# One row a patient and drug.
gundb --store "$1" view create drugs care --key '@key as patient, drug' '{
    "doses": {"fold": "count", "value": {"Given": true}},
    "mg":    {"fold": "sum",   "value": {"Given": "mg"}}}'

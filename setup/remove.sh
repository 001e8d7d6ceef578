#!/usr/bin/env bash
# Removes from a project what setup/project.sh and setup/repo.sh made: grants, roles, accounts, and triggers. It asks
# before it deletes the bucket or a repository of images. It changes nothing else.
set -euo pipefail
# shellcheck source=setup/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

USAGE='setup/remove.sh --project P --region R --bucket B [--dry-run]

  --project P, --region R, --bucket B    as for setup/project.sh
  --dry-run         look, and print the commands

Remove deployments first: schedules and functions stop working without their accounts.'

main() {
  DRY_RUN='' HELP='' PROJECT='' REGION='' BUCKET='' PREFIX=PREFIX
  read_options '--project --region --bucket' '--dry-run --help' "$@"
  if [ -n "$HELP" ]; then
    say "usage: $USAGE"
    return
  fi
  check_names
  end_if_mistaken
  PARTS='run deploy packages undeployed'
  start
  find_number
  remove_triggers
  each account note_account
  revoke_all project
  revoke_all bucket
  each repository revoke_on_repository
  each role remove_role
  EXISTING=$(ask iam service-accounts list '--format=value(email,description)')
  each account remove_account
  each repository remove_repository
  remove_bucket
  [ -n "$DRY_RUN" ] || tell_end
}

remove_triggers() {
  local name description triggers
  if ! triggers=$(look builds triggers list "--region=$REGION" '--format=value(name,description)'); then
    [ -n "$BLIND" ] || say "gcloud cannot list the triggers in $REGION. Delete those that setup/repo.sh made yourself."
    return 0
  fi
  while IFS=$'\t' read -r name description; do
    [[ $description != "$MARK"* ]] || change "delete the trigger $name" \
      gcloud builds triggers delete "$name" "--project=$PROJECT" "--region=$REGION"
  done <<<"$triggers"
}

revoke_on_repository() { revoke_all "repository:$1"; } # revoke_on_repository NAME FORMAT PURPOSE

revoke_all() { # revoke_all ON: removes every binding of our accounts from the policy of a resource
  local member role title expression name
  while IFS=$'\t' read -r member role title expression; do
    name=${member#serviceAccount:}
    name=${name%"@$PROJECT.iam.gserviceaccount.com"}
    case " $ACCOUNTS " in *" $name "*) unbind "$name" "$role" "$1" ${title:+"$title" "$expression"} ;; esac
  done < <(policy "$1")
}

remove_role() { # remove_role NAME TITLE PERMISSIONS
  local found
  found=$(look iam roles describe "$1" "--project=$PROJECT" '--format=value(deleted,description)') || return 0
  [[ $found != $'\t'"$MARK"* ]] || change "delete the role $1" gcloud iam roles delete "$1" "--project=$PROJECT"
}

remove_account() { # remove_account NAME RUNS CAN
  local address
  address=$(address "$1")
  [[ $'\n'$EXISTING != *$'\n'"$address"$'\t'"$MARK"* ]] || change "delete the account $1" \
    gcloud iam service-accounts delete "$address" "--project=$PROJECT"
}

remove_repository() { # remove_repository NAME FORMAT PURPOSE
  local description
  description=$(look artifacts repositories describe "$1" "--location=$REGION" '--format=value(description)') || return 0
  if [[ $description == "$MARK"* ]] && agrees "repository $1 with everything in it ($3)" "$1"; then
    change "delete the repository $1" \
      gcloud artifacts repositories delete "$1" "--project=$PROJECT" "--location=$REGION"
  fi
}

remove_bucket() {
  look storage buckets describe "gs://$BUCKET" '--format=value(name)' >/dev/null || return 0
  if agrees "bucket gs://$BUCKET with all results in it" "$BUCKET"; then
    change "delete gs://$BUCKET" gcloud storage rm "gs://$BUCKET" --recursive
  fi
}

agrees() { # agrees THING NAME: asks; true if the answer is the name, and in a dry run
  local answer=
  [ -z "$DRY_RUN" ] || return 0
  printf 'Delete the %s? This cannot be undone. To delete it, type %s: ' "$1" "$2"
  read -r answer || say ''
  [ "$answer" = "$2" ] || {
    say "The $1 stays."
    return 1
  }
}

tell_end() {
  say "Changes: $CHANGES." \
    "The APIs stay enabled, Private Google Access stays on, and Google's own accounts keep their roles."
}

main "$@"

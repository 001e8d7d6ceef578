#!/usr/bin/env bash
# Adds a repository to a project that setup/project.sh has set up: the grants of its prefix, and its trigger.
# A second run changes nothing.
set -euo pipefail
# shellcheck source=setup/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

USAGE='setup/repo.sh --project P --region R --bucket B --prefix NAME [options]

  --project P, --region R, --bucket B    as for setup/project.sh
  --prefix NAME     the folder of the bucket for this repository
  --schedule        the repository deploys: its builds run as notebook-deployer
  --connection C    also a trigger: the connection to GitHub in this region
  --url URL         the address of the repository, https://github.com/OWNER/NAME.git
  --branch PATTERN  the branches that the trigger builds (^main$)
  --config FILE     the build file of the trigger (cloudbuild.yaml)
  --dry-run         print the commands that a new repository needs, and call nothing'

main() {
  PREFIX='' CONNECTION='' URL='' BRANCH='^main$' CONFIG=cloudbuild.yaml SCHEDULE='' DRY_RUN='' HELP=''
  PROJECT='' REGION='' BUCKET=''
  read_options '--project --region --bucket --prefix --connection --url --branch --config' \
    '--schedule --dry-run --help' "$@"
  if [ -n "$HELP" ]; then
    say "usage: $USAGE"
    return
  fi
  check_names
  check_prefix
  [ -z "$CONNECTION$URL" ] || check_trigger
  end_if_mistaken
  [ -z "$SCHEDULE" ] || PARTS+=' deploy'
  BLIND=$DRY_RUN
  start
  find_number
  each account note_account
  set_up_prefix
  [ -z "$CONNECTION" ] || make_trigger
  [ -n "$DRY_RUN" ] || tell_end
}

check_trigger() {
  check_form --connection '[a-z][a-z0-9-]*' 'the name of a connection; a trigger needs --connection and --url'
  check_form --url 'https://[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+){2,}' 'https://github.com/OWNER/NAME.git'
}

make_trigger() {
  local name account=notebook-builder repository found url
  name=$(basename "$URL" .git | tr '._' '--')
  [ -z "$SCHEDULE" ] || account=notebook-deployer
  repository=projects/$PROJECT/locations/$REGION/connections/$CONNECTION/repositories/$name
  if ! url=$(look builds repositories describe "$name" "--connection=$CONNECTION" "--region=$REGION" '--format=value(remoteUri)'); then
    change "connect the repository $name" gcloud builds repositories create "$name" "--project=$PROJECT" \
      "--connection=$CONNECTION" "--region=$REGION" "--remote-uri=$URL"
  elif [ -n "$url" ] && [ "${url%.git}" != "${URL%.git}" ]; then
    stop "The connection $CONNECTION has a repository $name already, and it is $url, not $URL. Use another connection for it."
  fi
  account=projects/$PROJECT/serviceAccounts/$(address "$account")
  if ! found=$(look builds triggers describe "$name" "--region=$REGION" '--format=value(serviceAccount)'); then
    change "create the trigger $name, whose builds run as ${account##*/}" gcloud builds triggers create github \
      "--name=$name" "--project=$PROJECT" "--region=$REGION" "--description=$MARK" "--repository=$repository" \
      "--branch-pattern=$BRANCH" "--build-config=$CONFIG" "--service-account=$account"
  elif [ -n "$SCHEDULE" ] && [ "${found##*/}" != "${account##*/}" ]; then
    change "have the builds of the trigger $name run as ${account##*/}" gcloud builds triggers update github "$name" \
      "--project=$PROJECT" "--region=$REGION" "--service-account=$account"
  else
    say "The trigger $name exists, and keeps its branch and its build file."
  fi
}

tell_end() {
  if [ "$CHANGES" = 0 ]; then
    say 'Nothing to change.'
  else
    say "Changes: $CHANGES."
  fi
  say "In the repository's build file: NB_GCS_LOCATION=gs://$BUCKET/$PREFIX"
}

main "$@"

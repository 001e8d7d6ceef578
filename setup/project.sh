#!/usr/bin/env bash
# Sets up a Google Cloud project for Notebook Builder: APIs, bucket, repositories, accounts, roles, and grants.
# A second run changes nothing. docs/setup.md says what comes before and after.
set -euo pipefail
# shellcheck source=setup/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

USAGE='setup/project.sh --project P --region R --bucket B [options]

  --project P       the project; you need to be its owner, and it needs a billing account
  --region R        the region of the bucket, the repositories, and the VMs
  --bucket B        the bucket for everything that runs store; created if it is missing
  --prefix NAME     the folder of the bucket that your repositories use (notebooks)
  --subnetwork S    the subnetwork of the VMs (default); none leaves subnetworks as they are, for Shared VPC
  --schedule        also what the command deploy needs
  --packages        also a mirror of PyPI, for VMs without an external address
  --external-ip     also the permission that builds with NB_EXTERNAL_IP need
  --dry-run         print the commands that a new project needs, and call nothing'

main() {
  PREFIX=notebooks SUBNETWORK=default SCHEDULE='' PACKAGES='' EXTERNAL_IP='' DRY_RUN='' HELP='' PROJECT='' REGION='' BUCKET=''
  read_options '--project --region --bucket --prefix --subnetwork' '--schedule --packages --external-ip --dry-run --help' "$@"
  if [ -n "$HELP" ]; then
    say "usage: $USAGE"
    return
  fi
  check_names
  check_prefix
  check_form --subnetwork '[a-z]([a-z0-9-]{0,61}[a-z0-9])?' 'the name of a subnetwork'
  end_if_mistaken
  [ -z "$SCHEDULE" ] || PARTS+=' deploy'
  [ -z "$PACKAGES" ] || PARTS+=' packages'
  BLIND=$DRY_RUN
  start
  set_up
  [ -n "$DRY_RUN" ] || tell_end
}

set_up() {
  enable_apis
  find_number
  open_google_to_vms
  make_bucket
  each repository make_repository
  each account note_account
  EXISTING=$(ask iam service-accounts list '--format=value(email)')
  each account make_account
  each role make_role
  each grant grant_once
  set_up_prefix
}

enable_apis() {
  # The first call needs nothing new: what is not found here is a project, and no time helps.
  ENABLED=$(TRIES=1 ask services list '--format=value(config.name)' --enabled)
  MISSING=()
  each api note_missing_api
  [ ${#MISSING[@]} -eq 0 ] || change "enable ${MISSING[*]}" \
    gcloud services enable "${MISSING[@]}" "--project=$PROJECT"
}

note_missing_api() { has_line "$ENABLED" "$1" || MISSING+=("$1"); } # note_missing_api NAME

open_google_to_vms() { # VMs without an external address reach Google's APIs by Private Google Access
  local access
  [ "$SUBNETWORK" != none ] || return 0
  HINT="If there is no subnetwork '$SUBNETWORK' in $REGION, name the one for the VMs with --subnetwork, or create it:
  gcloud compute networks create default --project=$PROJECT --subnet-mode=auto"
  if ! access=$(look compute networks subnets describe "$SUBNETWORK" "--region=$REGION" '--format=value(privateIpGoogleAccess)') &&
    [[ " ${MISSING[*]-} " != *' compute.googleapis.com '* ]]; then
    stop "There is no subnetwork '$SUBNETWORK' in $REGION." "$HINT"
  fi
  [ "$access" = True ] || change "turn on Private Google Access of the subnetwork $SUBNETWORK" \
    gcloud compute networks subnets update "$SUBNETWORK" "--project=$PROJECT" "--region=$REGION" --enable-private-ip-google-access
  HINT=
}

make_bucket() { # conditions of roles need uniform access
  local uniform
  if ! uniform=$(look storage buckets describe "gs://$BUCKET" '--format=value(uniform_bucket_level_access)'); then
    change "create the bucket gs://$BUCKET" gcloud storage buckets create "gs://$BUCKET" "--project=$PROJECT" "--location=$REGION" \
      --uniform-bucket-level-access --public-access-prevention
  elif [ "$uniform" != True ]; then
    change "turn on uniform access of gs://$BUCKET" \
      gcloud storage buckets update "gs://$BUCKET" --uniform-bucket-level-access
  fi
}

make_repository() { # make_repository NAME FORMAT PURPOSE
  local more=()
  ! look artifacts repositories describe "$1" "--location=$REGION" '--format=value(format)' >/dev/null || return 0
  [ "$1" != pypi ] || more=(--mode=remote-repository --remote-repo-config-desc=PyPI --remote-python-repo=PYPI)
  change "create the repository $1" gcloud artifacts repositories create "$1" "--repository-format=$2" \
    "--project=$PROJECT" "--location=$REGION" "--description=$MARK: $3" ${more[@]+"${more[@]}"}
}

make_account() { # make_account NAME RUNS CAN
  has_line "$EXISTING" "$(address "$1")" || change "create the account $1" \
    gcloud iam service-accounts create "$1" "--project=$PROJECT" "--display-name=$2" "--description=$MARK: $3"
}

make_role() { # make_role NAME TITLE PERMISSIONS
  local found deleted held permissions=$3
  [ -z "$EXTERNAL_IP" ] || [ "$1" != notebookBuilder ] || permissions+=' compute.subnetworks.useExternalIp'
  permissions=$(tr ' ' '\n' <<<"$permissions" | sort | paste -sd , -)
  if ! found=$(look iam roles describe "$1" "--project=$PROJECT" '--format=value(deleted,includedPermissions)'); then
    change "create the role $1" gcloud iam roles create "$1" "--project=$PROJECT" "--title=$2" \
      "--description=$MARK" "--permissions=$permissions"
    return
  fi
  deleted=${found%%$'\t'*}
  held=$(tr ';' '\n' <<<"${found#*$'\t'}" | sort | paste -sd , -)
  [ "$deleted" != True ] || change "undelete the role $1" gcloud iam roles undelete "$1" "--project=$PROJECT"
  [ "$held" = "$permissions" ] || change "update the permissions of the role $1" \
    gcloud iam roles update "$1" "--project=$PROJECT" "--permissions=$permissions"
}

grant_once() { # grant_once ACCOUNTS ROLE ON PURPOSE [TITLE CONDITION]: a grant that is not of a prefix
  [[ ${6:-} == *PREFIX* ]] || grant_all "$1" "$2" "$3" ${5:+"$5" "$6"}
}

tell_end() {
  local image=$REGION-docker.pkg.dev/\$PROJECT_ID/notebook-builder/notebook-builder:0.1 account=notebook-builder
  local substitutions='_COMMAND: run'
  [ -z "$PACKAGES" ] || substitutions+=", _INDEX: https://$REGION-python.pkg.dev/\$PROJECT_ID/pypi/simple/"
  [ -z "$SCHEDULE" ] || account=notebook-deployer
  if [ "$CHANGES" = 0 ]; then
    say 'Nothing to change: the project is set up.'
  else
    say "The project is set up. Changes: $CHANGES."
  fi
  cat <<EOF

What comes next:

1. In a checkout of Notebook Builder, publish the image:

   gcloud beta builds submit --project=$PROJECT --region=$REGION --gcs-source-staging-dir=gs://$BUCKET/image-source \\
     --substitutions=_REGION=$REGION,_TAG=0.1,COMMIT_SHA=\$(git rev-parse HEAD) .

2. In your repository, write cloudbuild.yaml:

   steps: [{name: $image, args: [\$_COMMAND]}]
   serviceAccount: projects/\$PROJECT_ID/serviceAccounts/$account@\$PROJECT_ID.iam.gserviceaccount.com
   substitutions: {$substitutions}
   timeout: 18600s
   options:
     automapSubstitutions: true
     dynamicSubstitutions: true
     logging: CLOUD_LOGGING_ONLY
     env:
       - NB_GCS_LOCATION=gs://$BUCKET/$PREFIX
       - NB_VM_SERVICE_ACCOUNT=notebook-vm@\$PROJECT_ID.iam.gserviceaccount.com
EOF
  [ -z "$PACKAGES" ] || say "       - NB_INDEX_URL=\$_INDEX"
  cat <<EOF

3. There, check the set-up, then run the notebooks:

   gcloud beta builds submit --project=$PROJECT --region=$REGION --gcs-source-staging-dir=gs://$BUCKET/source \\
     --substitutions=_COMMAND=check .
   gcloud beta builds submit --project=$PROJECT --region=$REGION --gcs-source-staging-dir=gs://$BUCKET/source .

4. Connect GitHub on this page, then add a trigger with setup/repo.sh:

   https://console.cloud.google.com/cloud-build/repositories/2nd-gen;region=$REGION?project=$PROJECT
EOF
}

main "$@"

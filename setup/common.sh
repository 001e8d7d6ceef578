# shellcheck shell=bash
# What project.sh, repo.sh and remove.sh share: options, looks, changes, policies. Runs with bash 3.2 or newer.

TABLE="$(dirname "${BASH_SOURCE[0]}")/table.sh"
# The beginning of the description of what project.sh and repo.sh make. remove.sh removes nothing else.
# shellcheck disable=SC2034
MARK='Made by setup/project.sh of Notebook Builder'

# A new account, role or API can take two minutes until all of Google knows it.
TRIES=25
PAUSE=5
NOT_YET='does not exist|not found|NOT_FOUND|has not been used|is disabled|is not ready|cannot be found|concurrent policy changes'

NUMBER=NUMBER # in a dry run
PARTS=run     # the parts of the table that are wanted
ACCOUNTS=     # the accounts of these parts
CHANGES=0
MISTAKES=
HINT=  # what to do if Google refuses the next change
BLIND= # call nothing, not even to look

# ---- Options -------------------------------------------------------------------------------------------------------

mistake() { MISTAKES+="$1"$'\n'; }

read_options() { # read_options "VALUE OPTIONS" "FLAGS" ARGUMENTS…: sets a variable for each, as DRY_RUN for --dry-run
  local values=" $1 " flags=" $2 " name given
  shift 2
  while [ $# -gt 0 ]; do
    name=${1%%=*}
    given=${1#"$name"}
    case $values in
      *" $name "*)
        if [ -n "$given" ]; then
          given=${given#=}
        elif [ $# -gt 1 ] && [ "${2#--}" = "$2" ]; then
          given=$2
          shift
        else
          mistake "$name needs a value"
        fi
        ;;
      *)
        if [[ $flags != *" $1 "* ]]; then
          mistake "$1 is no option"
          name=--unknown
        fi
        given=yes
        ;;
    esac
    printf -v "$(variable_of "$name")" %s "$given"
    shift
  done
}

variable_of() { printf %s "${1#--}" | tr 'a-z-' 'A-Z_'; } # variable_of --dry-run: DRY_RUN

check_form() { # check_form OPTION PATTERN FORM: a mistake unless the value of the option has the form
  local variable
  variable=$(variable_of "$1")
  [[ ${!variable} =~ ^($2)$ || $MISTAKES == *"$1 needs"* ]] || mistake "$1 is '${!variable}': expected $3"
}

check_names() {
  check_form --project '[a-z][a-z0-9-]{4,28}[a-z0-9]' 'the ID of a project, such as my-project'
  check_form --region '[a-z]+-[a-z]+[0-9]+' 'a region, such as us-central1'
  check_form --bucket '[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]' "a bucket's name without gs://, such as my-project-notebooks"
}

check_prefix() {
  check_form --prefix '[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9._-]+)*' 'a folder of the bucket, such as my-repo'
  case $PREFIX in
    source | source/* | image-source | image-source/*) mistake "--prefix is '$PREFIX': this folder is for the sources of builds" ;;
  esac
}

end_if_mistaken() { # prints all mistakes, and USAGE
  [ -n "$MISTAKES" ] || return 0
  printf '%susage: %s\n' "$MISTAKES" "$USAGE" >&2
  exit 2
}

# ---- Calls ---------------------------------------------------------------------------------------------------------

say() { printf '%s\n' "$*"; }

stop() { # stop WORDS…: ends the script because of the project
  printf '%s\n' "$@" >&2
  exit 4
}

refused() { # refused WORDS COMMAND…: ends the script with Google's words
  local words=$1
  shift
  stop '' "refused: $(shell_words "$@")" "$words" '' ${HINT:+"$HINT"} 'Fix what this message says, then run the script again. It continues here.'
}

shell_words() { # prints a command as a shell reads it
  local word line=
  for word in "$@"; do
    [[ $word =~ ^[A-Za-z0-9_./:=@,+-]+$ ]] || word="'${word//\'/\'\\\'\'}'"
    line="$line $word"
  done
  say "${line# }"
}

start() { # finds gcloud
  export CLOUDSDK_CORE_DISABLE_PROMPTS=1 CLOUDSDK_CORE_PROJECT=$PROJECT
  WORK=$(mktemp -d)
  trap 'rm -rf "$WORK"' EXIT
  [ -n "$BLIND" ] || command -v gcloud >/dev/null || stop 'gcloud is missing. Install the Google Cloud CLI, or use Cloud Shell.'
}

find_number() { # sets NUMBER to the number of the project
  if [ -n "$BLIND" ]; then
    say '# NUMBER stands for the number of the project.'
  else
    NUMBER=$(ask projects describe "$PROJECT" '--format=value(projectNumber)')
  fi
}

# Repeats a command while a part of Google does not know yet what it needs.
call() { # call COMMAND…: its answer is in $WORK/answer
  local words try=1
  until "$@" >"$WORK/answer" 2>"$WORK/refusal" </dev/null; do
    words=$(tail -n 20 "$WORK/refusal")
    if [ "$try" -eq "$TRIES" ] || ! [[ $words =~ $NOT_YET ]]; then refused "$words" "$@"; fi
    [ "$try" -gt 1 ] || say '  waiting: something that this command needs is not ready yet' >&2
    try=$((try + 1))
    sleep "$PAUSE"
  done
}

ask() { # ask ARGUMENTS…: prints what gcloud answers; ends the script if Google refuses
  [ -z "$BLIND" ] || return 0
  call gcloud "$@"
  cat "$WORK/answer"
}

look() { # look ARGUMENTS…: prints a property of a resource; fails if the resource is missing, and if the script is blind
  [ -z "$BLIND" ] && gcloud "$@" 2>/dev/null
}

has_line() { [[ $'\n'$1$'\n' == *$'\n'"$2"$'\n'* ]]; } # has_line LINES LINE

change() { # change WHAT COMMAND…: says what it does, and does it; prints the command in a dry run
  if [ -n "$DRY_RUN" ]; then
    shell_words "${@:2}"
    return
  fi
  say "$1"
  call "${@:2}"
  CHANGES=$((CHANGES + 1))
}

# ---- The table -----------------------------------------------------------------------------------------------------

each() { # each KIND FUNCTION: calls FUNCTION with the values of each entry of a kind, if its part is wanted
  local kind=$1 with=$2
  # shellcheck source=setup/table.sh
  . "$TABLE"
}

entry() { # entry KIND PART VALUE…: an entry of the table, which `each` reads
  if [ "$1" = "$kind" ] && is_wanted "$2"; then "$with" "${@:3}"; fi
}

api() { entry api "$@"; }
repository() { entry repository "$@"; }
account() { entry account "$@"; }
role() { entry role "$@"; }
grant() { entry grant "$@"; }

is_wanted() { [[ " $PARTS " == *" $1 "* ]]; } # is_wanted PART

note_account() { ACCOUNTS+=" $1"; } # note_account NAME RUNS CAN

filled() { # filled TEXT: the text as one line, with values for the names that stand for them
  local text=${1//$'\n'/ }
  text=${text//NUMBER/$NUMBER}
  text=${text//BUCKET/$BUCKET}
  say "${text//PREFIX/$PREFIX}"
}

address() { # address ACCOUNT
  case $1 in
    *@*) filled "$1" ;;
    *) say "$1@$PROJECT.iam.gserviceaccount.com" ;;
  esac
}

role_name() { # role_name ROLE
  case $1 in
    */roles/* | roles/*) say "$1" ;;
    *) say "projects/$PROJECT/roles/$1" ;;
  esac
}

# ---- Policies ------------------------------------------------------------------------------------------------------

on_resource() { # on_resource ON VERB: sets COMMAND to gcloud's command for the policy of a resource
  local name=${1#*:}
  case $1 in
    project) COMMAND=(gcloud projects "$2" "$PROJECT") ;;
    bucket) COMMAND=(gcloud storage buckets "$2" "gs://$BUCKET") ;;
    repository:*) COMMAND=(gcloud artifacts repositories "$2" "$name" "--project=$PROJECT" "--location=$REGION") ;;
    account:*) COMMAND=(gcloud iam service-accounts "$2" "$(address "$name")" "--project=$PROJECT") ;;
  esac
}

policy() { # policy ON: prints the lines "MEMBER ROLE TITLE EXPRESSION" of a resource as it was at first, with tabs between
  local file=$WORK/${1//:/-}
  if ! [ -e "$file" ]; then
    on_resource "$1" get-iam-policy
    look "${COMMAND[@]:1}" '--flatten=bindings[].members' \
      '--format=value(bindings.members,bindings.role,bindings.condition.title,bindings.condition.expression)' >"$file" || true
  fi
  cat "$file"
}

grant_all() { # grant_all ACCOUNTS ROLE ON [TITLE CONDITION]: makes the bindings that are missing
  local account
  for account in ${1//,/ }; do
    case " $ACCOUNTS " in *" ${account/service-NUMBER@*/} "*) bind "$account" "${@:2}" ;; esac
  done
}

binding_of() { # binding_of ACCOUNT ROLE [TITLE CONDITION]: sets LINE, as `policy` prints it, and FLAGS for gcloud
  local member role title expression condition=None
  member=serviceAccount:$(address "$1")
  role=$(role_name "$2")
  title=$(filled "${3:-}")
  expression=$(filled "${4:-}")
  [ -z "$title" ] || condition="title=$title,expression=$expression"
  LINE=$member$'\t'$role$'\t'$title$'\t'$expression
  FLAGS=("--member=$member" "--role=$role" "--condition=$condition")
}

bind() { # bind ACCOUNT ROLE ON [TITLE CONDITION]: makes a binding if it is missing
  local agent
  binding_of "$1" "$2" "${@:4}"
  ! has_line "$(policy "$3")" "$LINE" || return 0
  case $1 in
    service-NUMBER@gcf-admin-robot.*) make_agent cloudfunctions ;;
    service-NUMBER@gcp-sa-*.iam.gserviceaccount.com)
      agent=${1#*@gcp-sa-}
      make_agent "${agent%%.*}"
      ;;
  esac
  on_resource "$3" add-iam-policy-binding
  change "grant $2 on $3 to $1${4:+, with a condition}" "${COMMAND[@]}" "${FLAGS[@]}"
}

unbind() { # unbind ACCOUNT ROLE ON [TITLE CONDITION]: removes a binding if it is there
  binding_of "$1" "$2" "${@:4}"
  has_line "$(policy "$3")" "$LINE" || return 0
  on_resource "$3" remove-iam-policy-binding
  change "revoke $2 on $3 of $1${4:+, with a condition}" "${COMMAND[@]}" "${FLAGS[@]}"
}

make_agent() { # make_agent SERVICE: has Google make the account that one of its services works as
  change "make Google's own account of $1" \
    gcloud beta services identity create "--service=$1.googleapis.com" "--project=$PROJECT"
}

# ---- The grants of a prefix ----------------------------------------------------------------------------------------

grant_for_prefix() { # grant_for_prefix ACCOUNTS ROLE ON PURPOSE [TITLE CONDITION]
  if [[ ${6:-} == *PREFIX* ]]; then grant_all "$1" "$2" "$3" "${5:-}" "${6:-}"; fi
}

revoke_for_prefix() { # revoke_for_prefix ACCOUNTS ROLE ON PURPOSE [TITLE CONDITION]
  if [[ ${6:-} == *PREFIX* ]]; then unbind "$1" "$2" "$3" "${5:-}" "${6:-}"; fi
}

set_up_prefix() { # makes the grants of a prefix; only `deploy` needs proofs that no other build can write
  local wanted=$PARTS
  each grant grant_for_prefix
  PARTS=undeployed
  if [[ " $wanted " == *' deploy '* ]]; then
    each grant revoke_for_prefix
  elif [[ $(policy bucket) != *$'\t'"$PREFIX-all"$'\t'* ]]; then
    each grant grant_for_prefix
  fi
  PARTS=$wanted
}

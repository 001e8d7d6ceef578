# shellcheck shell=bash disable=SC2016  # nothing in the texts is to expand
# The accounts of Notebook Builder with their roles, as data: the one source for the scripts beside this file, for the
# tables of docs/accounts.md, and for localcloud's default project (localcloud/profile/table.py). A test compares it with
# what `check` asks for.
#
#   api        PART NAME                                       an API to enable
#   repository PART NAME FORMAT PURPOSE                        a repository of Artifact Registry
#   account    PART NAME RUNS CAN                              a service account
#   role       PART NAME TITLE PERMISSIONS                     a custom role of the project
#   grant      PART ACCOUNT[,ACCOUNT] ROLE ON PURPOSE [TITLE CONDITION]
#
# Each entry is one command of bash, so that `source` reads it. Python reads it with `shlex`: quote with '…' or "…", and
# expand nothing.
#
# PART: `run` is always there, `deploy` with --schedule, `packages` with --packages. `undeployed` is for the prefix of a
#   repository that has no schedule.
# A grant holds for those of its accounts that are there. ROLE without `roles/` is a custom role.
# ON: `project`, `bucket`, `repository:NAME`, `account:NAME`.
# PROJECT, NUMBER, BUCKET and PREFIX stand for values. A grant whose condition has PREFIX is made once per repository,
# every other grant once per project.
#
# Two forms of conditions. Cloud Storage asks for `storage.objects.list` on the bucket, not on an object. A condition that
# begins with `resource.type != …Object` lets an account list; a condition without it does not. In the same way,
# `resource.type != …Instance` restricts the names of VMs only, not the other resources of the role.

api run compute.googleapis.com
api run storage.googleapis.com
api run cloudresourcemanager.googleapis.com
api run iam.googleapis.com
api run cloudbuild.googleapis.com
api run artifactregistry.googleapis.com
api run containeranalysis.googleapis.com
api run logging.googleapis.com
api run secretmanager.googleapis.com
api run bigquery.googleapis.com
api deploy cloudfunctions.googleapis.com
api deploy run.googleapis.com
api deploy eventarc.googleapis.com
api deploy pubsub.googleapis.com
api deploy cloudscheduler.googleapis.com

repository run notebook-builder docker "the image of Notebook Builder"
repository deploy gcf-artifacts docker "the images of functions; Cloud Functions uses this name"
repository packages pypi python "a mirror of PyPI for VMs without an external address"

account run notebook-builder \
  "builds of pull requests, and of branches that do not deploy" \
  "run notebooks, but not deploy"
account run notebook-vm \
  "the VM, and so the notebook" \
  'read what was staged for it, and write below `staging/`'
account run image-builder \
  "the build of Notebook Builder itself" \
  "publish the image"
account deploy notebook-deployer \
  "builds of the branch that deploys" \
  'do what `notebook-builder` can, and deploy'
account deploy notebook-scheduler \
  "scheduled builds" \
  "run notebooks, and write the versions of each day"
account deploy notebook-function \
  "the Cloud Function" \
  'read what is live, and submit builds that run as `notebook-scheduler`'
account deploy notebook-function-build \
  "the build of the function" \
  "read the function's source, and push its image"
account deploy notebook-trigger \
  "Eventarc, which delivers the topic's messages to the function" \
  "invoke that one function"

role run notebookBuilder "Notebook Builder" "\
compute.instances.create compute.instances.get compute.instances.list compute.instances.delete \
compute.instances.setMetadata compute.instances.setLabels compute.instances.setServiceAccount \
compute.instances.getSerialPortOutput compute.disks.create compute.disks.setLabels compute.subnetworks.use \
compute.zoneOperations.get compute.zoneOperations.list compute.regions.get compute.zones.list \
compute.machineTypes.list compute.acceleratorTypes.list \
compute.projects.get compute.machineTypes.get compute.acceleratorTypes.get compute.networks.get compute.subnetworks.get"
role run notebookBuildReader "Notebook Builder: own builds" "cloudbuild.builds.get"
role run notebookVmReader "Notebook VM: read" "storage.objects.get"
role run notebookVmWriter "Notebook VM: write" "storage.objects.create storage.objects.delete"
role deploy notebookDeployer "Notebook Deployer" "\
pubsub.topics.create pubsub.topics.get pubsub.topics.update pubsub.topics.delete pubsub.topics.publish \
cloudscheduler.jobs.create cloudscheduler.jobs.get cloudscheduler.jobs.update cloudscheduler.jobs.delete \
cloudscheduler.jobs.enable cloudscheduler.jobs.pause cloudscheduler.jobs.run cloudscheduler.jobs.fullView \
cloudfunctions.functions.create cloudfunctions.functions.get cloudfunctions.functions.list \
cloudfunctions.functions.update cloudfunctions.functions.delete cloudfunctions.functions.sourceCodeSet \
cloudfunctions.operations.get cloudfunctions.operations.list \
run.services.get run.services.getIamPolicy run.services.setIamPolicy cloudbuild.builds.get cloudbuild.builds.list"
role deploy notebookFunction "Notebook Function" "cloudbuild.builds.create cloudbuild.builds.get cloudbuild.builds.list"
role deploy notebookFunctionReader "Notebook Function: read" "storage.objects.get"

# Once per project: the accounts of builds.
grant run notebook-builder,notebook-deployer,notebook-scheduler notebookBuilder project \
  'create and delete VMs whose names begin with `nb-`; for `check` also quotas, machine types, and networks' \
  nb-instances 'resource.type != "compute.googleapis.com/Instance" || resource.name.extract("/instances/{name}").startsWith("nb-")'
grant run notebook-builder,notebook-deployer,notebook-scheduler notebookBuildReader project \
  "optional: read when the build itself ends"
grant run notebook-builder,notebook-deployer,notebook-scheduler,image-builder,notebook-function-build roles/logging.logWriter project \
  "write the build's log"
grant run notebook-builder,notebook-deployer,notebook-scheduler roles/storage.objectViewer bucket \
  "read what is in the bucket, and the source of a submitted build"
grant run notebook-builder,notebook-deployer,notebook-scheduler roles/storage.bucketViewer bucket \
  'optional: read the region and the access settings of the bucket, for `check`'
grant run notebook-builder,notebook-deployer,notebook-scheduler roles/artifactregistry.reader repository:notebook-builder \
  'pull the image; for `deploy`, read the digest of a tag'
grant run notebook-builder,notebook-deployer,notebook-scheduler roles/iam.serviceAccountUser account:notebook-vm \
  "attach the account to VMs"

# Once per project: the account of VMs, and the publisher of the image.
grant run notebook-vm roles/bigquery.jobUser project \
  "optional: for notebooks that query BigQuery"
grant run notebook-vm roles/bigquery.readSessionUser project \
  "optional: for notebooks that read BigQuery's results with its Storage API, as pandas-gbq and BigFrames do"
grant packages notebook-vm roles/artifactregistry.reader repository:pypi \
  "install packages"
grant run image-builder roles/artifactregistry.writer repository:notebook-builder \
  "push the image"
grant run image-builder roles/storage.objectViewer bucket \
  "fetch the checkout" \
  image-source 'resource.name.startsWith("projects/_/buckets/BUCKET/objects/image-source/")'

# Once per project: deployments.
grant deploy notebook-deployer notebookDeployer project \
  "topic and its messages, schedule, function, and its invoker; list the builds"
grant deploy notebook-deployer roles/iam.serviceAccountUser account:notebook-function \
  "create the function"
grant deploy notebook-deployer roles/iam.serviceAccountUser account:notebook-function-build \
  "create the function"
grant deploy notebook-deployer roles/iam.serviceAccountUser account:notebook-trigger \
  "create the function"
grant deploy notebook-function notebookFunction project \
  "submit builds, and find those that it submitted"
grant deploy notebook-function roles/iam.serviceAccountUser account:notebook-scheduler \
  "submit builds that run as this account"
grant deploy notebook-function-build roles/artifactregistry.writer repository:gcf-artifacts \
  "push the function's image"
grant deploy notebook-function-build roles/storage.objectViewer project \
  "fetch the function's source, which Cloud Functions keeps in a bucket of its own" \
  function-sources 'resource.name.startsWith("projects/_/buckets/gcf-v2-sources-NUMBER-")'
grant deploy service-NUMBER@gcp-sa-eventarc.iam.gserviceaccount.com roles/eventarc.serviceAgent project \
  "Google's own account of Eventarc, which can lack this role in a new project: create the trigger"
grant deploy service-NUMBER@gcf-admin-robot.iam.gserviceaccount.com roles/cloudfunctions.serviceAgent project \
  "Google's own account of Cloud Functions, which can lack this role in a new project: build and start the function"

# Once per repository: what is below its prefix.
grant run notebook-builder roles/storage.objectUser bucket \
  "stage the input, publish the results" \
  PREFIX-runs 'resource.type != "storage.googleapis.com/Object" ||
resource.name.startsWith("projects/_/buckets/BUCKET/objects/PREFIX/kits/") ||
resource.name.startsWith("projects/_/buckets/BUCKET/objects/PREFIX/staging/") ||
resource.name.startsWith("projects/_/buckets/BUCKET/objects/PREFIX/results/") ||
resource.name.startsWith("projects/_/buckets/BUCKET/objects/PREFIX/open/")'
grant undeployed notebook-builder roles/storage.objectUser bucket \
  'keep proofs, for `NB_REUSE_GREEN`; not where `deploy` would believe them' \
  PREFIX-proofs 'resource.name.startsWith("projects/_/buckets/BUCKET/objects/PREFIX/proofs/")'
grant deploy notebook-deployer roles/storage.objectUser bucket \
  "stage the input, publish the results, keep proofs, deploy" \
  PREFIX-all 'resource.type != "storage.googleapis.com/Object" ||
resource.name.startsWith("projects/_/buckets/BUCKET/objects/PREFIX/")'
grant deploy notebook-scheduler roles/storage.objectUser bucket \
  "stage the input, publish the results and the versions" \
  PREFIX-versions 'resource.type != "storage.googleapis.com/Object" ||
resource.name.startsWith("projects/_/buckets/BUCKET/objects/PREFIX/kits/") ||
resource.name.startsWith("projects/_/buckets/BUCKET/objects/PREFIX/staging/") ||
resource.name.startsWith("projects/_/buckets/BUCKET/objects/PREFIX/results/") ||
resource.name.startsWith("projects/_/buckets/BUCKET/objects/PREFIX/versions/") ||
resource.name.startsWith("projects/_/buckets/BUCKET/objects/PREFIX/locks/") ||
resource.name.startsWith("projects/_/buckets/BUCKET/objects/PREFIX/open/")'
grant run notebook-vm notebookVmReader bucket \
  "read what was staged" \
  PREFIX-read 'resource.name.startsWith("projects/_/buckets/BUCKET/objects/PREFIX/kits/") ||
resource.name.startsWith("projects/_/buckets/BUCKET/objects/PREFIX/staging/")'
grant run notebook-vm notebookVmWriter bucket \
  "write heartbeat, log, and results" \
  PREFIX-write 'resource.name.startsWith("projects/_/buckets/BUCKET/objects/PREFIX/staging/")'
grant deploy notebook-function notebookFunctionReader bucket \
  'read `live.json`' \
  PREFIX-live 'resource.name.startsWith("projects/_/buckets/BUCKET/objects/PREFIX/live/")'

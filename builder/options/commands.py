"""The commands, and what each of them reads and prints."""

from __future__ import annotations

COMMANDS = {
    "run": "runs the notebooks, each on a VM of its own, judges and publishes them (the default)",
    "plan": "prints what run would do; calls nothing, but with --proofs reads the bucket",
    "check": "asks Google whether run can: APIs, permissions, accounts, image, machines, quota, bucket, network",
    "reap": "deletes VMs of this tool whose own deadline has passed; touches nothing else",
    "deploy": "deploys notebooks that a recorded run found green: topic, function, schedule, and the tested files",
    "comment": "writes a run's summary as one comment on the pull request, and sets the commit's status",
    "options": "prints every option",
}
# The commands that read the options of a run.
PLANNING = ("run", "plan", "check", "deploy")
# What `deploy` does instead of putting something live, by its flag.
DEPLOY_ACTIONS = {
    "status": "prints what is live and its state; changes nothing",
    "rollback": "returns to the version that was live before",
    "undeploy": "removes schedule, function, topic and what is live; results and archives stay",
}
BACKFILL = "runs what is live for each of these days that has no green results, within NB_BUILDS_PER_HOUR"
CHECK_ACTIONS = {
    "boot": "also starts one VM for a minute or two, which costs cents, and reports what image and network give",
}
PLAN_ACTIONS = {
    "proofs": "also reads the bucket, and says for each job which run has proven it, or what has changed since",
}
ACTIONS = {"deploy": DEPLOY_ACTIONS, "check": CHECK_ACTIONS, "plan": PLAN_ACTIONS}
# The options that those of `deploy` require.
DEPLOY_ACTIONS_READ = ("gcs_location", "function")
# The options of a run that `comment` reads, from the environment and flags alone.
COMMENT_READS = ("gcs_location", "run_id", "log_format")
FORMATS = {
    "plan": ("text", "json"),
    "check": ("text", "json"),
    "options": ("text", "markdown", "json-schema"),
}

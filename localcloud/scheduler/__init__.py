"""Cloud Scheduler: jobs that publish to Pub/Sub at times that a cron schedule tells."""

from localcloud.scheduler.service import SchedulerService

__all__ = ["SchedulerService"]

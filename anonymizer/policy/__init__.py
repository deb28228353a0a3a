"""What is masked, and why: the one place that decides."""

from anonymizer.policy.decision import Policy
from anonymizer.policy.evidence import Evidence
from anonymizer.policy.people import SPREAD_SIGMAS

__all__ = ["SPREAD_SIGMAS", "Evidence", "Policy"]

"""What is masked, and why: the one place that decides."""

from anonymizer.policy.decision import Policy
from anonymizer.policy.evidence import Evidence
from anonymizer.policy.ledger import STAYS, Ledger, Permit, Standing
from anonymizer.policy.people import SPREAD_SIGMAS

__all__ = ["SPREAD_SIGMAS", "STAYS", "Evidence", "Ledger", "Permit", "Policy", "Standing"]

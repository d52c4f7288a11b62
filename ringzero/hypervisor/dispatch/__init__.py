"""Why a guest stopped running, and what answers: the exits that all techniques share."""

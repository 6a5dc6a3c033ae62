"""What hours do to a router: cancels, faults and idle streams by the thousand, and a provider that is down."""

"""What people look at: studies with their job runs, live, compared, and as a report to send."""

"""A page that follows an account's balance live, synced every second in the background."""

"""What strangers send, thrown at the code that reads it: by coverage for hours, by Hypothesis for seconds."""
